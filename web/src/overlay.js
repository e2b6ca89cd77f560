// @ts-check
/** Lines and labels over the volume: boxes of regions with their names, the chosen page, the byte under the pointer,
 * the wireframe. Drawn on a canvas of its own, by the same camera. */
import { h } from "./dom.js";
import { project } from "./camera.js";
import { boundsOf, voxelBox } from "./hilbert.js";
import { PAGE } from "./pages.js";

const BLOCK = 128; // voxels: what explosion moves apart
const MOST_BLOCKS = 512;

/** @typedef {{ start: number, end: number, text: string, colour?: string }} Label */
/** @typedef {{ low: number[], high: number[] }} Box */

export class Overlay {
	/** @param {HTMLElement} root */
	constructor(root) {
		this.root = root;
		this.canvas = /** @type {HTMLCanvasElement} */ (h("canvas", { class: "overlay", "aria-hidden": "true" }));
		root.append(this.canvas);
		/** @type {Label[]} */
		this.labels = [];
		/** the byte under the pointer, in the volume or in the hex view */
		this.marked = /** @type {number | null} */ (null);
	}

	/**
	 * @param {object} what
	 * @param {import("./camera.js").Camera} what.camera
	 * @param {number} what.order
	 * @param {number} what.explode   0 .. 1
	 * @param {boolean} what.wire
	 * @param {boolean} what.hasLabels
	 * @param {number | null} what.chosen   an address
	 * @param {number} what.topBytes
	 * @param {{ vm: string, low: number[], high: number[] }[]} what.bricks   guests, when there are several
	 */
	draw(what) {
		const ratio = Math.min(2, devicePixelRatio);
		this.width = this.root.clientWidth;
		this.height = this.root.clientHeight;
		this.canvas.width = this.width * ratio;
		this.canvas.height = this.height * ratio;
		this.pen = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
		this.pen.scale(ratio, ratio);
		this.pen.font = "600 12px system-ui, sans-serif";
		this.pen.textBaseline = "middle";
		this.camera = what.camera;
		this.order = what.order;
		this.gap = BLOCK * what.explode;
		if (what.wire) this.wireframe(what.topBytes);
		/** @type {{ x: number, y: number, w: number }[]} */
		const drawn = [];
		for (const brick of what.bricks) this.brick(brick);
		if (what.hasLabels) for (const label of this.labels) this.label(label, drawn);
		if (what.chosen !== null) {
			const page = Math.floor(what.chosen / PAGE) * PAGE;
			this.box(boundsOf(what.order, page, page + PAGE), "#ffffff", 0.9);
			this.box(voxelBox(what.order, what.chosen), "#f2a65e", 1);
		}
		if (this.marked !== null) this.box(voxelBox(what.order, this.marked), "#5ec8f2", 1);
	}

	/**
	 * With explode, blocks move apart.
	 * @param {number[]} point
	 * @param {number[]} inside   a point of the same block
	 */
	exploded(point, inside) {
		return point.map((p, axis) => p + Math.floor(inside[axis] / BLOCK) * /** @type {number} */ (this.gap));
	}

	/** @param {number[]} point */
	at(point) {
		return project(/** @type {any} */ (this.camera), /** @type {number} */ (this.width), /** @type {number} */ (this.height), point);
	}

	/**
	 * @param {Box} box
	 * @param {string} colour
	 * @param {number} alpha
	 */
	box(box, colour, alpha) {
		const pen = /** @type {CanvasRenderingContext2D} */ (this.pen);
		const corners = [...Array(8).keys()].map((c) =>
			this.at(this.exploded([0, 1, 2].map((axis) => ((c >> axis) & 1 ? box.high[axis] : box.low[axis])),
				[0, 1, 2].map((axis) => ((c >> axis) & 1 ? box.high[axis] - 1 : box.low[axis])))));
		pen.globalAlpha = alpha;
		pen.strokeStyle = colour;
		pen.lineWidth = 1.5;
		pen.beginPath();
		for (let c = 0; c < 8; c++) {
			for (const bit of [1, 2, 4]) {
				const a = corners[c];
				const b = corners[c | bit];
				if (c & bit || !a || !b) continue;
				pen.moveTo(a.x, a.y);
				pen.lineTo(b.x, b.y);
			}
		}
		pen.stroke();
		pen.globalAlpha = 1;
	}

	/**
	 * Outlines of equal aligned blocks of memory, as small as there may be of them.
	 * @param {number} topBytes
	 */
	wireframe(topBytes) {
		let bytes = PAGE;
		while (topBytes / bytes > MOST_BLOCKS) bytes *= 8;
		for (let start = 0; start < topBytes; start += bytes)
			this.box(boundsOf(/** @type {number} */ (this.order), start, start + bytes), "#9fb4cc", 0.22);
	}

	/**
	 * The name of a guest over its memory.
	 * @param {{ vm: string, low: number[], high: number[] }} brick
	 */
	brick({ vm, low, high }) {
		const at = this.at([(low[0] + high[0]) / 2, high[1], (low[2] + high[2]) / 2]);
		if (at) this.tag(vm, at.x - this.tagWidth(vm) / 2, at.y - 16, "#dfe8f3");
	}

	/** @param {string} text */
	tagWidth(text) {
		return /** @type {CanvasRenderingContext2D} */ (this.pen).measureText(text).width + 12;
	}

	/**
	 * Words on a dark ground.
	 * @param {string} text
	 * @param {number} x   of its left end
	 * @param {number} y   of its middle
	 * @param {string} colour
	 */
	tag(text, x, y, colour) {
		const pen = /** @type {CanvasRenderingContext2D} */ (this.pen);
		pen.globalAlpha = 0.82;
		pen.fillStyle = "#0b0e14";
		pen.beginPath();
		pen.roundRect(x, y - 9, this.tagWidth(text), 18, 5);
		pen.fill();
		pen.globalAlpha = 1;
		pen.fillStyle = colour;
		pen.fillText(text, x + 6, y);
	}

	/**
	 * @param {Label} label
	 * @param {{ x: number, y: number, w: number }[]} drawn
	 */
	label(label, drawn) {
		const box = boundsOf(/** @type {number} */ (this.order), Math.floor(label.start / PAGE) * PAGE, Math.ceil(label.end / PAGE) * PAGE);
		const middle = box.low.map((low, i) => (low + box.high[i]) / 2);
		const at = this.at(this.exploded(middle, middle));
		if (!at || at.x < 0 || at.y < 0 || at.x > /** @type {number} */ (this.width) || at.y > /** @type {number} */ (this.height)) return;
		const w = this.tagWidth(label.text);
		if (drawn.some((d) => Math.abs(d.y - at.y) < 18 && at.x < d.x + d.w && d.x < at.x + w)) return;
		drawn.push({ x: at.x, y: at.y, w });
		this.box(box, label.colour ?? "#9fb4cc", 0.55);
		this.tag(label.text, at.x, at.y, label.colour ?? "#dfe8f3");
	}
}
