// @ts-check
/** What the whole page knows. Parts of it that make up a view are kept in the address, so that a link shows
 * the same thing to somebody else. */

/**
 * @typedef {object} View
 * @property {string | null} vm
 * @property {string} mode      kind, owner, byte, entropy, heat
 * @property {string} camera    "yaw,pitch,distance,x,y,z"; "" fits everything
 * @property {string} slice     "low,high" per axis as x0-x1,y0-y1,z0-z1 in percent, or ""
 * @property {number} explode   percent
 * @property {number} opacity   percent
 * @property {string} hidden    names of kinds that are not drawn, comma separated
 * @property {number | null} pid   selected process
 * @property {string} at        selected address, "0x..." or ""
 * @property {string} tab       lower panel
 * @property {string} sphere    "x,y,z,radius" in voxels, or ""; a radius below 0 keeps what is inside
 * @property {string} wire      "on": outlines of blocks
 * @property {string} past      seconds since 1970 of the moment that is shown; "": now
 * @property {string} beside    VMs shown together, comma separated; "": the one VM
 */

/** @type {View} */
const defaults = { vm: null, mode: "kind", camera: "", slice: "", explode: 0, opacity: 100, hidden: "", pid: null, at: "",
	tab: "console", sphere: "", wire: "", past: "", beside: "" };

/** @type {View} */
export const view = { ...defaults };

/** @type {Map<string, Set<() => void>>} */
const listeners = new Map();

/**
 * Calls f when one of the named parts changes.
 * @param {(keyof View)[]} names
 * @param {() => void} f
 */
export function watch(names, f) {
	for (const name of names) {
		const set = listeners.get(name) ?? new Set();
		set.add(f);
		listeners.set(name, set);
	}
}

/** The VMs in the scene, in their places. */
export function shownVms() {
	const beside = view.beside.split(",").filter(Boolean);
	return !view.vm ? [] : beside.includes(view.vm) ? beside : [view.vm];
}

let timer = 0;

function writeAddress() {
	const query = new URLSearchParams();
	for (const [name, value] of Object.entries(view)) {
		const usual = defaults[/** @type {keyof View} */ (name)];
		if (value !== usual && value !== null && value !== "") query.set(name, String(value));
	}
	history.replaceState(null, "", `${location.pathname}?${query}`);
}

/** @param {Partial<View>} changes */
export function set(changes) {
	const changed = new Set();
	for (const [name, value] of Object.entries(changes)) {
		const key = /** @type {keyof View} */ (name);
		if (view[key] === value) continue;
		Object.assign(view, { [key]: value });
		for (const f of listeners.get(name) ?? []) changed.add(f);
	}
	for (const f of changed) f();
	clearTimeout(timer);
	timer = window.setTimeout(writeAddress, 200);
}

export function readAddress() {
	const query = new URLSearchParams(location.search);
	for (const [name, usual] of Object.entries(defaults)) {
		const text = query.get(name);
		if (text === null) continue;
		const value = typeof usual === "number" || name === "pid" ? Number(text) : text;
		if (!Number.isNaN(value)) Object.assign(view, { [name]: value });
	}
}
