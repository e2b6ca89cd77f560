// @ts-check
/** How the volume is shown: mode, legend with filters, slices, explode, x-ray. */
import { h, sizeText, update } from "../dom.js";
import { cssColour } from "../palette.js";
import { MODES } from "../renderer.js";
import { set, view, watch } from "../store.js";

/**
 * @param {string} name
 * @param {string} title
 * @param {keyof import("../store.js").View} key
 * @param {number} low
 * @param {number} high
 */
const slider = (name, title, key, low, high) => h("label", { title }, h("span", {}, name), h("input", { type: "range", min: low, max: high, value: String(view[key]), id: `tool-${key}`,
	oninput: (/** @type {Event} */ e) => set({ [key]: Number(/** @type {HTMLInputElement} */ (e.target).value) }) }));

/**
 * Two ends of one axis, in percent.
 * @param {number} axis
 */
function sliceControl(axis) {
	const parts = () => {
		const given = view.slice.split(",").map((p) => p.split("-").map(Number));
		return [0, 1, 2].map((i) => (given[i]?.length === 2 ? given[i] : [0, 100]));
	};
	const change = (/** @type {number} */ end) => (/** @type {Event} */ event) => {
		const all = parts();
		all[axis][end] = Number(/** @type {HTMLInputElement} */ (event.target).value);
		if (all[axis][0] >= all[axis][1]) all[axis][1 - end] = end ? all[axis][1] - 1 : all[axis][0] + 1;
		set({ slice: all.every(([a, b]) => a === 0 && b === 100) ? "" : all.map((p) => p.join("-")).join(",") });
	};
	const name = "XYZ"[axis];
	return h("label", { title: `Slice along ${name}` }, h("span", {}, name),
		h("input", { type: "range", min: 0, max: 99, value: String(parts()[axis][0]), "aria-label": `${name} from`, oninput: change(0) }),
		h("input", { type: "range", min: 1, max: 100, value: String(parts()[axis][1]), "aria-label": `${name} to`, oninput: change(1) }));
}

/**
 * @param {{ name: string, colour: number, words: string }[]} kinds
 * @param {Uint32Array} counts
 */
export function showLegend(kinds, counts) {
	const root = document.getElementById("legend");
	if (!root) return;
	const hidden = new Set(view.hidden.split(",").filter(Boolean));
	const present = kinds.map((kind, i) => ({ ...kind, count: counts[i] })).filter((kind) => kind.count && kind.name !== "none");
	update(root, JSON.stringify([present.map((k) => [k.name, k.count]), view.hidden]), () => present.map((kind) =>
		h("button", { class: hidden.has(kind.name) ? "kind off" : "kind", title: `${kind.words}: click to ${hidden.has(kind.name) ? "show" : "hide"}, double click for it alone`,
			"aria-pressed": String(!hidden.has(kind.name)), "data-kind": kind.name,
			onclick: () => toggle(kind.name), ondblclick: () => set({ hidden: present.filter((k) => k.name !== kind.name).map((k) => k.name).join(",") }) },
			h("i", { style: `background:${cssColour(kind.colour)}` }), kind.name, h("span", { class: "dim" }, sizeText(kind.count * 4096)))));
}

/** @param {string} name */
function toggle(name) {
	const hidden = new Set(view.hidden.split(",").filter(Boolean));
	if (!hidden.delete(name)) hidden.add(name);
	set({ hidden: [...hidden].join(",") });
}

export function modeButtons() {
	const root = h("div", { class: "modes", role: "radiogroup", "aria-label": "Colours" });
	const show = () => root.replaceChildren(...MODES.map((mode, i) => h("button", { role: "radio", "aria-checked": String(view.mode === mode), class: view.mode === mode ? "on" : "",
		title: `Colour by ${mode} (key ${i + 1})`, onclick: () => set({ mode }) }, mode)));
	watch(["mode"], show);
	show();
	return root;
}

/** @param {() => void} home */
export function toolsPanel(home) {
	return h("details", { class: "tools" }, h("summary", {}, "View"), slider("explode", "Moves blocks of 2 MiB apart", "explode", 0, 100),
		slider("solid", "Less is x-ray", "opacity", 2, 100), sliceControl(0), sliceControl(1), sliceControl(2),
		h("button", { class: "small", onclick: () => set({ explode: 0, opacity: 100, slice: "", hidden: "", sphere: "" }) }, "reset view"),
		h("button", { class: "small", onclick: home, title: "Key F" }, "show all"));
}
