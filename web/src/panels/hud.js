// @ts-check
/** Numbers of the picture at the edge of the volume. Each has its own place, so nothing moves when they change. */
import { h } from "../dom.js";

/** ORDER hud: id, title, what it says of the landscape's report */
const NUMBERS = /** @type {[string, string, (n: any) => string][]} */ ([
	["fps", "Pictures a second", (n) => (n.frameMs > 0 ? Math.min(999, 1000 / n.frameMs) : 0).toFixed(0)],
	["ms", "Milliseconds for one picture", (n) => n.frameMs.toFixed(1)],
	["scale", "Share of the full resolution that is drawn", (n) => `${Math.round(n.scale * 100)} %`],
	["LOD", "Bytes along the edge of what a pixel shows, as a power of two", (n) => n.lod.toFixed(1)],
	["MB/s", "Memory received", (n) => n.mbPerSecond.toFixed(1)],
	["pages/s", "Pages received a second", (n) => String(n.pagesPerSecond)],
	["pages", "Pages on the GPU", (n) => (n.resident === null ? "–" : String(n.resident))],
]);

export function hudPanel() {
	const values = NUMBERS.map(([, title]) => h("b", { title }, "–"));
	const drawing = h("span", { id: "hud-drawing" });
	const root = h("div", { class: "hud", id: "hud", role: "group", "aria-label": "Performance" },
		h("div", { class: "hud-numbers" }, ...NUMBERS.map(([name, title], i) => h("span", { title }, values[i], h("i", {}, name)))), drawing);
	return {
		root,
		/** @param {any} n */
		show(n) {
			NUMBERS.forEach(([, , text], i) => (values[i].textContent = text(n)));
			drawing.textContent = [n.drawing, n.source ? `dirty pages: ${n.source}` : "", n.packed ? "compressed" : ""].filter(Boolean).join(" · ");
		},
	};
}
