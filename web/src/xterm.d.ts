declare module "xterm";
declare module "xterm/lib/addons/fit/fit";
declare module "*.wgsl" {
	const text: string;
	export default text;
}
