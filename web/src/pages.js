// @ts-check
/** What is known about every page of one guest: what it is for, whose it is, whether it is shown or lit. Knows
 * nothing of drawing; gives the attribute words that the shaders read. */
import { ownerSlot } from "./palette.js";
import { PAGE_DATA, PAGE_HIDDEN, PAGE_SELECTED } from "./scene.js";

export const PAGE = 4096;
const HAS_DATA = 1 << 8;

/** @typedef {{ start: number, end: number }} Range */

export class Pages {
	/** @param {{ frames: number, kinds: { name: string }[] }} hello */
	constructor(hello) {
		this.kinds = hello.kinds;
		this.count = hello.frames;
		this.kindOf = new Uint8Array(hello.frames);
		this.ownerOf = new Uint32Array(hello.frames);
		this.hasData = new Uint8Array(hello.frames);
		/** pages of each kind */
		this.counts = new Uint32Array(hello.kinds.length);
		/** @type {boolean[]} */
		this.hidden = [];
		/** @type {Range[]} sorted */
		this.selection = [];
		this.pid = /** @type {number | null} */ (null);
		this.past = /** @type {{ kindOf: Uint8Array, ownerOf: Uint32Array } | null} */ (null);
	}

	/**
	 * Takes in what the stream says of a page.
	 * @param {number} page
	 * @param {number} word
	 * @param {number} owner
	 */
	learn(page, word, owner) {
		const kind = word & 31;
		if (page >= this.count || kind >= this.counts.length) return;
		if (this.kindOf[page]) this.counts[this.kindOf[page]]--;
		this.counts[kind]++;
		this.kindOf[page] = kind;
		this.ownerOf[page] = owner;
		this.hasData[page] = word & HAS_DATA ? 1 : 0;
	}

	/** @param {string} names of kinds, comma separated */
	hide(names) {
		const set = new Set(names.split(",").filter(Boolean));
		this.hidden = this.kinds.map((kind) => set.has(kind.name));
	}

	/** @param {Range[]} ranges */
	select(ranges) {
		this.selection = [...ranges].sort((a, b) => a.start - b.start);
	}

	/**
	 * Shows kinds and owners as they were: rows of the facts table `regions`; null: as they are.
	 * @param {{ start: string, end: string, kind: string, owner_pid: number | null }[] | null} rows
	 */
	showPast(rows) {
		this.past = null;
		if (!rows) return;
		const numbers = new Map(this.kinds.map((kind, i) => [kind.name, i]));
		this.past = { kindOf: new Uint8Array(this.count), ownerOf: new Uint32Array(this.count) };
		for (const row of rows) {
			const first = Number(row.start) / PAGE;
			const end = Number(row.end) / PAGE;
			this.past.kindOf.fill(numbers.get(row.kind) ?? 0, first, end);
			this.past.ownerOf.fill(row.owner_pid ?? 0, first, end);
		}
	}

	/** Pages of each kind at the moment that is shown. */
	shownCounts() {
		if (!this.past) return this.counts;
		const counts = new Uint32Array(this.kinds.length);
		for (const kind of this.past.kindOf) counts[kind]++;
		return counts;
	}

	/** @param {number} page */
	kind(page) {
		return (this.past ?? this).kindOf[page] ?? 0;
	}

	/** @param {number} page */
	owner(page) {
		return (this.past ?? this).ownerOf[page] ?? 0;
	}

	/** @param {number} page */
	isSelected(page) {
		if (this.pid !== null) return this.owner(page) === this.pid;
		const at = page * PAGE;
		let low = 0;
		let high = this.selection.length;
		while (low < high) {
			const middle = (low + high) >> 1;
			if (this.selection[middle].end <= at) low = middle + 1;
			else high = middle;
		}
		return low < this.selection.length && this.selection[low].start <= at;
	}

	get selects() {
		return this.pid !== null || this.selection.length > 0;
	}

	/**
	 * The attribute word of a page.
	 * @param {number} page
	 */
	attributes(page) {
		const kind = this.kind(page);
		return kind | (ownerSlot(this.owner(page)) << 8) | (this.hasData[page] ? PAGE_DATA : 0) |
			(this.hidden[kind] ? PAGE_HIDDEN : 0) | (this.isSelected(page) ? PAGE_SELECTED : 0);
	}
}
