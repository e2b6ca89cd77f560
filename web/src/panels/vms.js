// @ts-check
/** The list of VMs, with what can be done to them. */
import { change, request } from "../api.js";
import { h, icon, sizeText, update } from "../dom.js";
import { notify } from "./notice.js";
import { set, view } from "../store.js";

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

async function launch() {
	const button = /** @type {HTMLButtonElement} */ (document.getElementById("launch"));
	button.disabled = true;
	notify("Starting a demo guest …");
	try {
		const vm = await request("/api/v1/vms", { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" });
		notify(`${vm.name} runs.`);
		set({ vm: vm.name, camera: "", pid: null, at: "" });
	} catch (error) {
		notify(/** @type {Error} */ (error).message, "error");
	}
	button.disabled = false;
}

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

/** @param {any} vm */
function row(vm) {
	const chosen = vm.name === view.vm;
	const controls = vm.state === "paused" ? button(vm, "resume", "Resume") : button(vm, "pause", "Pause");
	return h("li", { class: chosen ? "vm chosen" : "vm" },
		h("button", { class: "name", "aria-pressed": String(chosen), onclick: () => set({ vm: vm.name, camera: "", pid: null, at: "" }) },
			h("span", { class: `dot ${vm.state}` }), h("span", { class: "two" }, h("b", {}, vm.name), h("span", { class: "dim" }, `${vm.state} · ${sizeText(vm.mem_bytes ?? 0)}`))),
		vm.ours === false ? h("span", { class: "dim" }, "foreign") : h("span", { class: "actions" }, controls,
			button(vm, "reset", "Reset"), button(vm, "stop", "Stop")));
}

function show() {
	const list = document.getElementById("vm-list");
	if (!list) return;
	update(list, JSON.stringify([vms, view.vm]), () => vms.length ? vms.map(row) : [h("li", { class: "dim empty" }, "No VM runs.")]);
}

/** @param {any[]} list */
export function takeVms(list) {
	vms = list;
	if (!view.vm && vms.length) set({ vm: vms[0].name });
	show();
}

export const currentVm = () => vms.find((vm) => vm.name === view.vm);
export const refreshVms = show;

export function vmsPanel() {
	return h("section", { "aria-label": "Virtual machines" }, h("header", {}, h("h2", {}, "Machines"),
		h("button", { id: "launch", class: "small", title: "Start a demo guest", onclick: launch }, "+ start")), h("ul", { id: "vm-list" }));
}
