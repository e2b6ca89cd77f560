declare module "glassbox-tables" {
	export const HILBERT_OCTANT: number[][];
	export const HILBERT_NEXT: number[][];
}
declare module "novnc/core/rfb.js";
declare module "xterm";
declare module "xterm/lib/addons/fit/fit";
declare module "*.wgsl" {
	const text: string;
	export default text;
}

/* WebGPU as far as the page uses it: Debian's TypeScript does not know it yet. */
declare const GPUBufferUsage: Record<string, number>;
declare const GPUTextureUsage: Record<string, number>;
declare const GPUMapMode: Record<string, number>;
type GPUDevice = any;
type GPUBuffer = any;
type GPUTexture = any;
type GPUTextureFormat = string;
type GPUBindGroup = any;
type GPUCanvasContext = any;
type GPUCommandEncoder = any;
type GPUComputePipeline = any;
type GPUDeviceLostInfo = { reason: string; message: string };
interface Navigator {
	gpu?: any;
}
interface CanvasRenderingContext2D {
	roundRect(x: number, y: number, w: number, h: number, r: number): void;
}
