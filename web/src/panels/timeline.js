// @ts-check
/** The past of the chosen VM as a strip: how much began and ended when, and a slider to any moment that was recorded.
 * A past moment shows the process list and the kinds of pages of then (facts: docs/facts.md). */
import { query } from "../api.js";
import { h } from "../dom.js";
import { set, view, watch } from "../store.js";
import { notify } from "./notice.js";

const STEPS = 200;
const LOOK_MS = 5000;

const time = (/** @type {number} */ seconds) => new Date(seconds * 1000).toLocaleTimeString();

export class Timeline {
	/** @param {(rows: any[] | null) => boolean} showRegions   whether the volume shows them too */
	constructor(showRegions) {
		this.showRegions = showRegions;
		this.first = 0;
		this.last = 0;
		this.canvas = /** @type {HTMLCanvasElement} */ (h("canvas", { "aria-hidden": "true" }));
		this.slider = /** @type {HTMLInputElement} */ (h("input", { type: "range", id: "timeline", min: 0, max: 1000, value: 1000, "aria-label": "Moment that is shown", disabled: true,
			oninput: () => this.slide() }));
		this.now = h("button", { class: "small on", id: "timeline-now", title: "Show what is now (key N)", onclick: () => set({ past: "" }) }, "now");
		this.text = h("span", { class: "dim time", id: "timeline-text", role: "status" }, "");
		this.root = h("section", { class: "timeline", "aria-label": "Timeline" }, this.now, h("div", { class: "track" }, this.canvas, this.slider), this.text);
		watch(["past"], () => this.show());
		watch(["vm"], () => {
			set({ past: "" });
			this.look();
		});
		new ResizeObserver(() => this.draw()).observe(this.canvas);
		this.turn();
	}

	async turn() {
		if (!document.hidden) await this.look();
		setTimeout(() => this.turn(), LOOK_MS);
	}

	async look() {
		const vm = view.vm;
		if (!vm) return this.nothing("");
		try {
			const answer = await query(vm, "timeline", { steps: String(STEPS) });
			if (vm !== view.vm) return;
			if (!answer.first_ns) return this.nothing("the recording begins");
			this.first = answer.first_ns / 1e9;
			this.last = Math.max(answer.last_ns / 1e9, this.first + 1);
			this.answer = answer;
			this.slider.disabled = false;
			if (!view.past) this.text.textContent = `recorded since ${time(this.first)}`;
			this.place();
			this.draw();
		} catch {
			this.nothing("nothing of the past is recorded");
		}
	}

	/** @param {string} text */
	nothing(text) {
		this.answer = null;
		this.slider.disabled = true;
		this.text.textContent = text;
		this.draw();
	}

	slide() {
		const part = Number(this.slider.value) / 1000;
		clearTimeout(this.soon);
		if (part >= 1) return set({ past: "" });
		const at = this.first + part * (this.last - this.first);
		this.text.textContent = time(at);
		this.soon = window.setTimeout(() => set({ past: at.toFixed(1) }), 150);
	}

	place() {
		const at = view.past ? Number(view.past) : this.last;
		this.slider.value = String(Math.round(((at - this.first) / (this.last - this.first)) * 1000));
	}

	async show() {
		const past = view.past;
		this.now.classList.toggle("on", !past);
		this.root.classList.toggle("then", Boolean(past));
		if (this.answer) this.place();
		if (!past) {
			this.showRegions(null);
			this.look();
			return;
		}
		this.text.textContent = time(Number(past));
		try {
			const rows = await query(view.vm ?? "", "history", { table: "regions", at: `@${past}` });
			if (view.past !== past) return;
			const isShown = this.showRegions(rows.length ? rows : null);
			if (!rows.length) this.text.textContent = `${time(Number(past))} · kinds of pages were not recorded`;
			else if (!isShown) this.text.textContent = `${time(Number(past))} · the picture is of now`;
		} catch (error) {
			notify(/** @type {Error} */ (error).message, "error");
			set({ past: "" });
		}
	}

	draw() {
		const ratio = Math.min(2, devicePixelRatio);
		const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
		this.canvas.width = width * ratio;
		this.canvas.height = height * ratio;
		const pen = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
		pen.scale(ratio, ratio);
		if (!this.answer) return;
		const x = (/** @type {number} */ ns) => ((ns / 1e9 - this.first) / (this.last - this.first)) * width;
		const tall = (/** @type {number} */ n) => Math.min(1, Math.log2(1 + n) / 7) * (height / 2 - 1);
		const w = Math.max(2, width / STEPS - 1);
		for (const bucket of this.answer.buckets ?? []) {
			pen.fillStyle = "#4cc38a";
			pen.fillRect(x(bucket.time_ns), height / 2 - tall(bucket.began), w, tall(bucket.began));
			pen.fillStyle = "#f2a65e";
			pen.fillRect(x(bucket.time_ns), height / 2, w, tall(bucket.ended));
		}
		pen.fillStyle = "#ff7b72";
		for (const event of this.answer.events ?? []) pen.fillRect(x(event.time_ns), 0, 1.5, height);
	}
}
