// @ts-check
/** What a person likes, kept by the browser. What belongs to a view is in the address instead (store.js). */

const KEY = "glassbox-settings";

/** @typedef {typeof usual} Settings */
const usual = {
	/** "dark", "light" or "system" */
	theme: "system",
	/** "auto", "server": who draws */
	draw: "auto",
	/** compress the page stream: "auto" when the page came from another machine, "always", "never" */
	pack: "auto",
	labels: true,
	/** pictures a second that the picture's size is held to while the camera moves */
	fps: 30,
	/** seconds between two looks at lists */
	refresh: 2,
};

function stored() {
	try {
		return JSON.parse(localStorage.getItem(KEY) ?? "{}");
	} catch {
		return {};
	}
}

export const settings = { ...usual, ...stored() };

/** @type {Set<() => void>} */
const listeners = new Set();

/** @param {() => void} f */
export const onSettings = (f) => listeners.add(f);

/** @param {Partial<Settings>} changes */
export function changeSettings(changes) {
	Object.assign(settings, changes);
	localStorage.setItem(KEY, JSON.stringify(settings));
	for (const f of listeners) f();
}

export const isLoopback = () => /^(localhost|127\.|\[::1\])/.test(location.hostname);
export const wantsPacking = () => settings.pack === "always" || (settings.pack === "auto" && !isLoopback());
