// @ts-check
/** Small helpers to build the page without a framework. */

/**
 * Makes an element: h("button", { class: "x", onclick: f }, "text", child).
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Node | string | null | undefined)} children
 * @returns {HTMLElement}
 */
export function h(tag, attributes = {}, ...children) {
	const element = document.createElement(tag);
	for (const [name, value] of Object.entries(attributes)) {
		if (value === undefined || value === null || value === false) continue;
		if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
		else element.setAttribute(name, value === true ? "" : String(value));
	}
	for (const child of children) if (child !== null && child !== undefined) element.append(child);
	return element;
}

/**
 * Replaces children only when the text form changed, so that nothing flickers or loses focus.
 * @param {HTMLElement} element
 * @param {string} key
 * @param {() => (Node | string)[]} build
 */
export function update(element, key, build) {
	if (element.dataset.key === key) return;
	element.dataset.key = key;
	element.replaceChildren(...build());
}

/** @param {number} bytes */
export function sizeText(bytes) {
	const units = ["B", "KiB", "MiB", "GiB", "TiB"];
	let unit = 0;
	while (bytes >= 1024 && unit < units.length - 1) {
		bytes /= 1024;
		unit++;
	}
	return `${bytes >= 10 || unit === 0 ? Math.round(bytes) : bytes.toFixed(1)} ${units[unit]}`;
}

/** @param {number} value */
export const hex = (value) => `0x${value.toString(16)}`;

/**
 * Runs f at most once per pause.
 * @param {() => void} f
 * @param {number} pauseMs
 */
export function debounce(f, pauseMs) {
	let timer = 0;
	return () => {
		clearTimeout(timer);
		timer = window.setTimeout(f, pauseMs);
	};
}

const icons = { pause: "M3 2h4v12H3zM9 2h4v12H9z", resume: "M4 2l10 6-10 6z", reset: "M8 3a5 5 0 1 0 5 5h-2a3 3 0 1 1-3-3v2l4-3-4-3z", stop: "M3 3h10v10H3z", beside: "M1 4h6v8H1zM9 4h6v8H9z" };

/** @param {keyof typeof icons} name */
export function icon(name) {
	const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
	svg.setAttribute("viewBox", "0 0 16 16");
	svg.setAttribute("class", "icon");
	svg.setAttribute("aria-hidden", "true");
	const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
	path.setAttribute("d", icons[name]);
	svg.append(path);
	return svg;
}
