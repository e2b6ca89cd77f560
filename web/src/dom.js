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

/** Replaces children only when the text form changed, so that nothing flickers or loses focus.
 * @param {HTMLElement} element @param {string} key @param {() => (Node | string)[]} build */
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

/** Runs f at most once per pause. @param {() => void} f @param {number} pauseMs */
export function debounce(f, pauseMs) {
	let timer = 0;
	return () => {
		clearTimeout(timer);
		timer = window.setTimeout(f, pauseMs);
	};
}
