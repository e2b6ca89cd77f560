// @ts-check
/** How the volume is shown: mode, legend with filters, slices, clip sphere, explode, x-ray, wireframe. */
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
function slider(name, title, key, low, high) {
	const input = /** @type {HTMLInputElement} */ (h("input", { type: "range", min: low, max: high, value: String(view[key]), id: `tool-${key}`, oninput: () => set({ [key]: Number(input.value) }) }));
	watch([key], () => (input.value = String(view[key])));
	return h("label", { class: "tool", title }, h("span", {}, name), input);
}

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
	const ends = [0, 1].map((end) => /** @type {HTMLInputElement} */ (h("input", { type: "range", min: end, max: 99 + end, value: String(parts()[axis][end]), "aria-label": `${name} ${end ? "to" : "from"}`,
		id: `slice-${name.toLowerCase()}-${end ? "to" : "from"}`, oninput: change(end) })));
	watch(["slice"], () => ends.forEach((input, end) => (input.value = String(parts()[axis][end]))));
	return h("div", { class: "tool", role: "group", title: `Slice along ${name}`, "aria-label": `Slice along ${name}` }, h("span", {}, name), ...ends);
}

/**
 * A sphere around what the camera looks at, whose inside is cut out or kept.
 * @param {() => { target: number[], side: number }} place
 */
function sphereControl(place) {
	const size = /** @type {HTMLInputElement} */ (h("input", { type: "range", min: 1, max: 100, value: 25, id: "tool-sphere-size", "aria-label": "Radius of the clip sphere", oninput: () => change() }));
	const choice = /** @type {HTMLSelectElement} */ (h("select", { id: "tool-sphere", "aria-label": "Clip sphere", onchange: () => change() },
		...[["", "none"], ["out", "cut out"], ["keep", "keep"]].map(([value, text]) => h("option", { value }, text))));
	const change = () => {
		const { target, side } = place();
		const radius = (Number(size.value) / 100) * side * 0.6 * (choice.value === "keep" ? -1 : 1);
		set({ sphere: choice.value ? [...target, radius].map((v) => v.toFixed(1)).join(",") : "" });
	};
	const show = () => {
		const radius = Number(view.sphere.split(",")[3]);
		choice.value = !view.sphere ? "" : radius < 0 ? "keep" : "out";
		size.disabled = !view.sphere;
	};
	watch(["sphere"], show);
	show();
	return h("div", { class: "tool", role: "group", title: "A sphere around what the camera looks at", "aria-label": "Clip sphere" }, h("span", {}, "sphere"), choice, size);
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

/**
 * @param {() => void} home
 * @param {() => { target: number[], side: number }} place   what the camera looks at
 */
export function toolsPanel(home, place) {
	const wire = /** @type {HTMLInputElement} */ (h("input", { type: "checkbox", id: "tool-wire", onchange: () => set({ wire: wire.checked ? "on" : "" }) }));
	const show = () => (wire.checked = view.wire === "on");
	watch(["wire"], show);
	show();
	return h("details", { class: "tools", id: "tools" }, h("summary", {}, "View"), slider("explode", "Moves blocks of 2 MiB apart", "explode", 0, 100),
		slider("solid", "Less is x-ray", "opacity", 2, 100), sliceControl(0), sliceControl(1), sliceControl(2), sphereControl(place),
		h("label", { class: "tool check", title: "Outlines of equal blocks of memory (key G)" }, wire, "wireframe"),
		h("p", { class: "bar" }, h("button", { class: "small", onclick: () => set({ explode: 0, opacity: 100, slice: "", hidden: "", sphere: "", wire: "" }) }, "reset"),
			h("button", { class: "small", onclick: home, title: "Key F" }, "show all")));
}
