// @ts-check
/** What things in the volume are called: labels of kernel sections, of a process's parts, of an answer's ranges, and
 * the line beside the pointer. */
import { query } from "./api.js";
import { view } from "./store.js";

/** @typedef {import("./overlay.js").Label} Label */

const PLAIN = new Set(["free", "none", "anon", "page-cache"]);
const LEAST_PAGES = 8;
const REST_MS = 220;

/**
 * The largest region of each kind.
 * @param {any[]} regions
 */
function largest(regions) {
	const best = new Map();
	for (const region of regions) if ((best.get(region.kind)?.pages ?? 0) < region.pages) best.set(region.kind, region);
	return [...best.values()];
}

/**
 * @param {any} region
 * @param {string} text
 * @param {string} [colour]
 * @returns {Label}
 */
const label = (region, text, colour) => ({ start: Number(region.start), end: Number(region.end), text, colour });

/** @returns {Promise<Label[]>} */
export async function kernelLabels() {
	const regions = await query(view.vm ?? "", "regions");
	return largest(regions.filter((/** @type {any} */ r) => !PLAIN.has(r.kind))).filter((r) => r.pages >= LEAST_PAGES).map((r) => label(r, r.owner ? `${r.kind} · ${r.owner}` : r.kind));
}

/**
 * Where a process's memory is, with a label for each kind of it.
 * @param {number} pid
 * @param {string} name
 */
export async function aboutProcess(pid, name) {
	const regions = await query(view.vm ?? "", "regions", { pid: String(pid) });
	return {
		ranges: regions.map((/** @type {any} */ r) => ({ start: Number(r.start), end: Number(r.end) })),
		labels: largest(regions).map((r) => label(r, `${name} · ${r.kind}`, r.kind === "page-table" ? "#9be9ff" : "#ffd479")),
	};
}

/** @param {{ start: number, end: number, text: string }[]} ranges */
export const answerLabels = (ranges) => ranges.slice(0, 12).map((r) => label(r, r.text, "#b8f2a0"));

/** Says what lies under the pointer: at once what the page knows, and the symbol or file once the pointer rests. */
export class Tip {
	/**
	 * @param {HTMLElement} root
	 * @param {(pid: number) => string} nameOf
	 */
	constructor(root, nameOf) {
		this.root = root;
		this.nameOf = nameOf;
	}

	/**
	 * @param {import("./landscape.js").Hit | null} hit
	 * @param {number} x   of the window
	 * @param {number} y
	 */
	show(hit, x, y) {
		clearTimeout(this.timer);
		this.root.hidden = !hit;
		this.hit = hit;
		if (!hit) return;
		const isOther = hit.vm !== view.vm; // of whose processes the page has no list
		const owner = !hit.owner ? "" : isOther ? `pid ${hit.owner}` : `${this.nameOf(hit.owner)} (pid ${hit.owner})`;
		this.line = [isOther ? hit.vm : "", `0x${hit.address.toString(16)}`, hit.kind?.name, owner].filter(Boolean).join(" · ");
		this.root.textContent = this.line;
		const right = x > innerWidth * 0.6;
		this.root.style.transform = `translate(${right ? x - 14 : x + 14}px, ${y + 14}px) ${right ? "translateX(-100%)" : ""}`;
		this.timer = window.setTimeout(() => this.ask(hit), REST_MS);
	}

	/** @param {import("./landscape.js").Hit} hit */
	async ask(hit) {
		try {
			const page = await query(hit.vm, "page", { address: `0x${hit.address.toString(16)}` });
			if (this.hit !== hit) return;
			const name = page.symbol ?? page.owner;
			if (name && !String(this.line).includes(name)) this.root.textContent = `${this.line} · ${name}`;
		} catch {
			/* the page knows nothing more */
		}
	}
}
