// @ts-check
/** The list of VMs, with what can be done to them, and the form that starts one. */
import { change, request } from "../api.js";
import { h, icon, sizeText, update } from "../dom.js";
import { notify } from "./notice.js";
import { set, shownVms, view } from "../store.js";

/** @type {any[]} */
let vms = [];

/**
 * @param {string} vm
 * @param {string} what
 * @param {object} [args]
 */
async function act(vm, what, args = {}) {
	try {
		await change(vm, what, args);
	} catch (error) {
		notify(`${what} ${vm}: ${/** @type {Error} */ (error).message}`, "error");
	}
}

/** @param {string} name */
const choose = (name) => set({ vm: name, beside: shownVms().includes(name) ? view.beside : "", camera: "", pid: null, at: "" });

/**
 * @param {any} vm
 * @param {"pause" | "resume" | "reset" | "stop"} what
 * @param {string} title
 */
const button = (vm, what, title) =>
	h("button", { class: "small", title, "aria-label": `${title} ${vm.name}`, onclick: (/** @type {Event} */ event) => {
		event.stopPropagation();
		act(vm.name, what);
	} }, icon(what));

/**
 * Shows or hides a VM beside the chosen one.
 * @param {any} vm
 */
function besideButton(vm) {
	const shown = shownVms();
	const isShown = shown.includes(vm.name);
	return h("button", { class: isShown ? "small on" : "small", "aria-pressed": String(isShown), title: isShown ? "Take it out of the scene" : "Show it beside the chosen VM, in one scene",
		"aria-label": `Show ${vm.name} in the scene`, onclick: () => set({ beside: (isShown ? shown.filter((name) => name !== vm.name) : [...shown, vm.name]).join(","), camera: "" }) }, icon("beside"));
}

/** @param {any} vm */
function row(vm) {
	const chosen = vm.name === view.vm;
	const controls = vm.state === "paused" ? button(vm, "resume", "Resume") : button(vm, "pause", "Pause");
	return h("li", { class: chosen ? "vm chosen" : "vm" },
		h("button", { class: "name", "aria-pressed": String(chosen), onclick: () => choose(vm.name) },
			h("span", { class: `dot ${vm.state}` }), h("span", { class: "two" }, h("b", {}, vm.name), h("span", { class: "dim" }, `${vm.state} · ${sizeText(vm.mem_bytes ?? 0)}`))),
		h("span", { class: "actions" }, vms.length > 1 && !chosen ? besideButton(vm) : null,
			...(vm.ours === false ? [h("span", { class: "dim" }, "foreign")] : [controls, button(vm, "reset", "Reset"), button(vm, "stop", "Stop")])));
}

function show() {
	const list = document.getElementById("vm-list");
	if (!list) return;
	update(list, JSON.stringify([vms, view.vm, view.beside]), () => vms.length ? vms.map(row) : [h("li", { class: "dim empty" }, "No VM runs. “+ start” boots the demo guest.")]);
}

/** @param {any[]} list */
export function takeVms(list) {
	vms = list;
	if (!view.vm && vms.length) set({ vm: vms[0].name });
	show();
}

export const currentVm = () => vms.find((vm) => vm.name === view.vm);
export const refreshVms = show;

/** ORDER start form: argument of `run`, label, kind of input, what is shown when empty */
const FIELDS = /** @type {[string, string, string, string][]} */ ([
	["name", "Name", "text", "vm1, vm2, …"], ["mem", "Memory", "text", "128M"], ["cpus", "CPUs", "number", "1"], ["profile", "Demo kernel", "text", "5.10"],
	["screen", "A screen", "checkbox", ""], ["kaslr", "KASLR", "checkbox", ""], ["net", "Network", "checkbox", ""], ["learn", "Learning", "checkbox", ""], ["offload", "Offload", "checkbox", ""],
	["kernel", "Own kernel (file of the server)", "text", ""], ["initrd", "Its initrd", "text", ""], ["append", "Its command line", "text", ""], ["disk", "Disk image", "text", ""], ["iso", "CD image", "text", ""],
]);

/** @param {HTMLFormElement} form */
function startArguments(form) {
	/** @type {Record<string, any>} */
	const args = {};
	for (const [name, , kind] of FIELDS) {
		const input = /** @type {HTMLInputElement} */ (form.elements.namedItem(`start-${name}`));
		const text = input.value.trim();
		if (kind === "checkbox" ? !input.checked : !text) continue;
		args[name] = kind === "checkbox" ? true : kind === "number" ? Number(text) : name === "mem" ? bytesOf(text) : name === "disk" ? [text] : text;
	}
	return args;
}

/** @param {string} text   "128M" */
function bytesOf(text) {
	const match = /^(\d+)\s*([KMGT]?)i?B?$/i.exec(text);
	if (!match) throw new Error(`“${text}” is not a size; 64M or 1G is`);
	return Number(match[1]) * 1024 ** ["", "K", "M", "G", "T"].indexOf(match[2].toUpperCase());
}

/** @param {HTMLFormElement} form */
async function launch(form) {
	const button = /** @type {HTMLButtonElement} */ (document.getElementById("launch"));
	button.disabled = true;
	try {
		const args = startArguments(form);
		notify("Starting a guest …");
		const vm = await request("/api/v1/vms", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(args) });
		notify(`${vm.name} runs.`);
		set({ vm: vm.name, camera: "", pid: null, at: "", beside: "", ...(args.screen ? { tab: "screen" } : {}) });
	} catch (error) {
		notify(/** @type {Error} */ (error).message, "error");
	}
	button.disabled = false;
}

export function startDialog() {
	const field = (/** @type {[string, string, string, string]} */ [name, label, kind, placeholder]) => h("label", { class: kind === "checkbox" ? "field check" : "field" }, h("span", {}, label),
		h("input", { type: kind, id: `start-${name}`, name: `start-${name}`, placeholder, min: kind === "number" ? 1 : null, autocomplete: "off" }));
	const form = /** @type {HTMLFormElement} */ (h("form", { method: "dialog", onsubmit: () => launch(form) }, h("h2", { id: "start-title" }, "Start a guest"),
		h("div", { class: "fields" }, ...FIELDS.slice(0, 9).map(field)), h("details", {}, h("summary", {}, "Boot something else"), h("div", { class: "fields" }, ...FIELDS.slice(9).map(field))),
		h("p", { class: "actions" }, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), h("button", { id: "start-go", class: "on" }, "Start"))));
	const dialog = /** @type {HTMLDialogElement} */ (h("dialog", { id: "start", "aria-labelledby": "start-title" }, form));
	return dialog;
}

/** @param {() => void} start   asks what to start */
export function vmsPanel(start) {
	return h("section", { "aria-label": "Virtual machines" }, h("header", {}, h("h2", {}, "Machines"),
		h("button", { id: "launch", class: "small", title: "Start a guest", onclick: start }, "+ start")), h("ul", { id: "vm-list" }));
}
