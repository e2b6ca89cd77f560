// @ts-check
/** The 3D view: follows a VM's pages, draws them, and lets a person look around. Draws with WebGPU, or shows pictures
 * that the server draws when the browser cannot. */
import { between, cameraFrom, cameraText, fit, project, vectors } from "./camera.js";
import { debounce, h } from "./dom.js";
import { boundsOf, cubeAt } from "./hilbert.js";
import { ownerSlot } from "./palette.js";
import { FLAG_AO, FLAG_EDGES, FLAG_SELECT, openDevice, Renderer } from "./renderer.js";
import { NONE, PAGE_DATA, PAGE_HIDDEN, PAGE_SELECTED, Scene } from "./scene.js";
import { set, view, watch } from "./store.js";
import { PageStream } from "./stream.js";
import { ServerPicture } from "./serverpicture.js";

const PAGE = 4096;
const HAS_DATA = 1 << 8;
const HAS_BYTES = 1 << 9;
const FRAME_MS = 1000 / 30;
const MOVE_KEYS = new Set(["w", "a", "s", "d", "q", "e", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "+", "-"]);

/** @typedef {{ start: number, end: number, text: string, colour?: string }} Label */

export class Landscape {
	/**
	 * @param {HTMLElement} root
	 * @param {{ picked: (hit: any) => void, hovered: (hit: any, x: number, y: number) => void,
	 * hello: (hello: any) => void, state: (state: any) => void, hud: (hud: any) => void, counts: () => void }} events
	 */
	constructor(root, events) {
		this.root = root;
		this.events = events;
		this.canvas = /** @type {HTMLCanvasElement} */ (h("canvas", { class: "volume", tabindex: "0",
			"aria-label": "Memory of the guest in three dimensions. Arrow keys turn, plus and minus zoom, W A S D move, F shows all." }));
		this.overlay = /** @type {HTMLCanvasElement} */ (h("canvas", { class: "overlay" }));
		this.message = h("div", { class: "message", role: "status" }, "Choose a VM, or start one.");
		root.append(this.canvas, this.overlay, this.message);
		/** @type {import("./camera.js").Camera} */
		this.camera = { yaw: 38, pitch: 27, distance: 2000, target: [256, 256, 256] };
		/** @type {any[]} */
		this.kinds = [];
		/** @type {Label[]} */
		this.labels = [];
		/** @type {{ start: number, end: number }[]} */
		this.selection = [];
		this.hovered = NONE;
		this.drawing = false;
		this.scale = 1;
		this.lodBias = 0;
		this.frameMs = 0;
		this.dirtyPerSecond = 0;
		this.keys = new Set();
		this.needsFrame = true;
		this.queue = /** @type {(() => void)[]} */ ([]);
		this.saveCamera = debounce(() => set({ camera: cameraText(this.camera) }), 300);
		this.bindInput();
		watch(["mode", "explode", "opacity", "slice", "sphere"], () => this.redraw());
		watch(["hidden"], () => this.relabel());
		watch(["pid"], () => this.select([]));
		watch(["vm"], () => this.open(view.vm));
		new ResizeObserver(() => this.redraw()).observe(root);
	}

	async start() {
		const wanted = new URLSearchParams(location.search).get("draw");
		this.gpu = wanted === "server" ? null : await openDevice();
		if (this.gpu) {
			this.renderer = new Renderer(this.gpu.device, this.canvas);
			if (this.gpu.isSoftware) this.scale = 0.35;
			this.gpu.device.lost.then((/** @type {GPUDeviceLostInfo} */ info) => this.deviceLost(info));
		} else {
			this.picture = new ServerPicture(this.root, this.canvas);
		}
		requestAnimationFrame((t) => this.tick(t));
	}

	/**
	 * A lost device is opened again, and the pages are fetched anew.
	 * @param {GPUDeviceLostInfo} info
	 */
	async deviceLost(info) {
		if (info.reason === "destroyed") return;
		this.say("The GPU was lost; opening it again.");
		this.scene = undefined;
		this.gpu = await openDevice();
		if (!this.gpu) return;
		this.renderer = new Renderer(this.gpu.device, this.canvas);
		this.renderer.fillPalette(this.kinds);
		this.open(view.vm);
	}

	/** @param {string | null} text */
	say(text) {
		this.message.textContent = text ?? "";
		this.message.hidden = !text;
	}

	redraw() {
		this.needsFrame = true;
	}

	// --- following a VM ---

	/** @param {string | null} vm */
	open(vm) {
		this.stream?.close();
		this.stream = undefined;
		this.scene?.destroy();
		this.scene = undefined;
		this.queue = [];
		this.labels = [];
		this.redraw();
		if (!vm) {
			this.say("Choose a VM, or start one.");
			return;
		}
		this.say(`Reading the memory of ${vm} …`);
		this.stream = new PageStream(vm, {
			hello: (hello) => this.hello(hello),
			pages: (payload) => this.queue.push(() => this.takePages(payload)),
			coarse: (payload) => this.queue.push(() => this.takeCoarse(payload)),
			state: (state) => this.takeState(state),
			lost: (text) => this.say(`Lost contact with ${vm} (${text}); trying again.`),
		});
		this.stats = { pages: 0, since: performance.now(), bytes: 0 };
	}

	/** @param {any} hello */
	hello(hello) {
		this.queue = [];
		this.kinds = hello.kinds;
		this.topBytes = hello.top_bytes;
		this.dirtySource = hello.dirty_source;
		this.scene?.destroy();
		this.hiddenKinds();
		this.counts = new Uint32Array(this.kinds.length);
		this.kindOf = new Uint8Array(hello.frames);
		this.ownerOf = new Uint32Array(hello.frames);
		this.hasData = new Uint8Array(hello.frames);
		this.scene = this.gpu ? new Scene(this.gpu.device, hello.top_bytes) : undefined;
		this.order = Math.max(4, Math.ceil(Math.log2(hello.top_bytes) / 3 - 1e-9));
		this.renderer?.fillPalette(this.kinds);
		this.camera = cameraFrom(view.camera) ?? this.fitted(0, hello.top_bytes);
		this.events.hello(hello);
		this.say(null);
		this.redraw();
	}

	/** @param {any} state */
	takeState(state) {
		this.events.state(state);
		if (state.state === "gone") this.say(`The VM is gone: ${state.reason ?? "it ended"}. Waiting for it to come back.`);
		else if (state.state !== "running") this.say(null);
	}

	hiddenKinds() {
		const names = new Set(view.hidden.split(",").filter(Boolean));
		this.hidden = this.kinds.map((/** @type {any} */ kind) => names.has(kind.name));
	}

	/**
	 * The attribute word of a page.
	 * @param {number} page
	 * @param {boolean} hasData
	 */
	attributesOf(page, hasData) {
		const kind = this.kindOf?.[page] ?? 0;
		const owner = this.ownerOf?.[page] ?? 0;
		const selected = view.pid !== null ? owner === view.pid : this.isSelected(page);
		return kind | (ownerSlot(owner) << 8) | (hasData ? PAGE_DATA : 0) | (this.hidden?.[kind] ? PAGE_HIDDEN : 0) |
			(selected ? PAGE_SELECTED : 0);
	}

	/** @param {number} page */
	isSelected(page) {
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

	/** @param {DataView} payload */
	takeCoarse(payload) {
		const count = payload.getUint32(0, true);
		for (let i = 0, at = 4; i < count; i++, at += 16) {
			const page = payload.getUint32(at, true);
			this.learn(page, payload.getUint32(at + 4, true), payload.getUint32(at + 8, true));
			this.scene?.change(page, this.attributesOf(page, this.hasData?.[page] === 1), 0, null, payload.getUint32(at + 12, true));
		}
		this.changed();
	}

	/**
	 * Takes in what a page is for.
	 * @param {number} page
	 * @param {number} word
	 * @param {number} owner
	 */
	learn(page, word, owner) {
		if (!this.kindOf || !this.ownerOf || !this.hasData || !this.counts) return;
		const kind = word & 31;
		if (this.kindOf[page]) this.counts[this.kindOf[page]]--;
		this.counts[kind]++;
		this.kindOf[page] = kind;
		this.ownerOf[page] = owner;
		this.hasData[page] = word & HAS_DATA ? 1 : 0;
	}

	/** @param {DataView} payload */
	takePages(payload) {
		const count = payload.getUint32(0, true);
		const now = this.clock();
		for (let i = 0, at = 4; i < count; i++) {
			const page = payload.getUint32(at, true);
			const word = payload.getUint32(at + 4, true);
			const ago = payload.getUint32(at + 12, true);
			this.learn(page, word, payload.getUint32(at + 8, true));
			at += 16;
			const bytes = word & HAS_BYTES ? new Uint8Array(payload.buffer, payload.byteOffset + at, PAGE) : null;
			if (bytes) at += PAGE;
			const written = ago === NONE ? 0 : Math.max(1, now - ago);
			this.scene?.change(page, this.attributesOf(page, (word & HAS_DATA) !== 0), written, bytes, bytes ? NONE : 0);
		}
		if (this.stats) this.stats.pages += count;
		this.changed();
	}

	changed() {
		this.hasNews = true;
		this.events.counts();
	}

	/** News are drawn at once by a fast GPU; a slow one gets some rest between two pictures. */
	drawNews() {
		const rest = this.frameMs > 100 ? Math.min(5000, this.frameMs * 3) : 0;
		if (!this.hasNews || performance.now() - (this.drawnAt ?? 0) < rest) return;
		this.hasNews = false;
		this.redraw();
	}

	/** A clock in milliseconds for the heat of pages; never 0. */
	clock() {
		return Math.round(performance.now()) + 100000;
	}

	/** Sends the attributes of all pages again: other kinds are hidden, or others are selected. */
	relabel() {
		this.hiddenKinds();
		const scene = this.scene;
		if (!scene || !this.hasData) return;
		for (let page = 0; page < scene.nFrames; page++) {
			const attributes = this.attributesOf(page, this.hasData[page] === 1);
			if (attributes !== scene.attributes[page]) scene.change(page, attributes, scene.written[page], null, NONE);
		}
		this.changed();
	}

	/**
	 * Lights these ranges up; with none, the selected process's pages.
	 * @param {{ start: number, end: number }[]} ranges
	 */
	select(ranges) {
		this.selection = [...ranges].sort((a, b) => a.start - b.start);
		this.relabel();
	}

	// --- the camera ---

	aspect() {
		return this.root.clientWidth / Math.max(1, this.root.clientHeight);
	}

	/**
	 * @param {number} start
	 * @param {number} end
	 */
	fitted(start, end) {
		return fit(this.camera, boundsOf(this.order ?? 4, Math.floor(start / PAGE) * PAGE, Math.ceil(end / PAGE) * PAGE), this.aspect());
	}

	/** @param {import("./camera.js").Camera} camera */
	flyTo(camera) {
		this.flight = { from: this.camera, to: camera, begin: performance.now() };
		this.redraw();
	}

	flyHome() {
		if (this.topBytes) this.flyTo(this.fitted(0, this.topBytes));
	}

	/** @param {{ start: number, end: number }[]} ranges */
	flyToRanges(ranges) {
		if (!ranges.length || !this.order) return;
		const low = [Infinity, Infinity, Infinity];
		const high = [-Infinity, -Infinity, -Infinity];
		for (const range of ranges.slice(0, 2000)) {
			const box = boundsOf(this.order, range.start, Math.max(range.end, range.start + PAGE));
			for (let axis = 0; axis < 3; axis++) {
				low[axis] = Math.min(low[axis], box.low[axis]);
				high[axis] = Math.max(high[axis], box.high[axis]);
			}
		}
		this.flyTo(fit(this.camera, { low, high }, this.aspect()));
	}

	/**
	 * @param {number} dx
	 * @param {number} dy pixels
	 */
	orbit(dx, dy) {
		this.moveCamera({ yaw: (this.camera.yaw - dx * 0.35) % 360, pitch: Math.max(-89, Math.min(89, this.camera.pitch + dy * 0.35)) });
	}

	/**
	 * @param {number} dx
	 * @param {number} dy
	 */
	pan(dx, dy) {
		const v = vectors(this.camera, this.root.clientWidth, this.root.clientHeight);
		const step = v.pixel * this.camera.distance;
		this.moveCamera({ target: this.camera.target.map((t, i) => t - v.right[i] * dx * step + v.up[i] * dy * step) });
	}

	/** @param {number} factor */
	zoom(factor) {
		this.moveCamera({ distance: Math.max(3, Math.min(60000, this.camera.distance * factor)) });
	}

	/** @param {Partial<import("./camera.js").Camera>} change */
	moveCamera(change) {
		this.flight = undefined;
		this.camera = { ...this.camera, ...change };
		this.movedAt = performance.now();
		this.saveCamera();
		this.redraw();
	}

	bindInput() {
		const canvas = this.canvas;
		/** @type {Map<number, PointerEvent>} */
		const pointers = new Map();
		let dragged = 0;
		canvas.addEventListener("pointerdown", (event) => {
			canvas.setPointerCapture(event.pointerId);
			pointers.set(event.pointerId, event);
			dragged = 0;
		});
		canvas.addEventListener("pointermove", (event) => {
			const before = pointers.get(event.pointerId);
			if (!before) {
				this.hover(event);
				return;
			}
			const dx = event.clientX - before.clientX;
			const dy = event.clientY - before.clientY;
			dragged += Math.abs(dx) + Math.abs(dy);
			if (pointers.size === 2) this.pinch(pointers, event, dx, dy);
			else if (event.shiftKey || event.buttons & 6) this.pan(dx, dy);
			else this.orbit(dx, dy);
			pointers.set(event.pointerId, event);
		});
		const end = (/** @type {PointerEvent} */ event) => {
			if (pointers.delete(event.pointerId) && dragged < 4 && event.type === "pointerup") this.click(event);
		};
		canvas.addEventListener("pointerup", end);
		canvas.addEventListener("pointercancel", end);
		canvas.addEventListener("contextmenu", (event) => event.preventDefault());
		canvas.addEventListener("wheel", (event) => {
			event.preventDefault();
			this.zoom(Math.exp(event.deltaY * 0.0012));
		}, { passive: false });
		canvas.addEventListener("keydown", (event) => this.key(event, true));
		canvas.addEventListener("keyup", (event) => this.key(event, false));
		canvas.addEventListener("blur", () => this.keys.clear());
		canvas.addEventListener("dblclick", (event) => this.click(event, true));
	}

	/**
	 * Two fingers: apart zooms, together moves.
	 * @param {Map<number, PointerEvent>} pointers
	 * @param {PointerEvent} event
	 * @param {number} dx
	 * @param {number} dy
	 */
	pinch(pointers, event, dx, dy) {
		const other = [...pointers.values()].find((p) => p.pointerId !== event.pointerId);
		const before = pointers.get(event.pointerId);
		if (!other || !before) return;
		const was = Math.hypot(before.clientX - other.clientX, before.clientY - other.clientY);
		const is = Math.hypot(event.clientX - other.clientX, event.clientY - other.clientY);
		this.zoom(was / Math.max(1, is));
		this.pan(dx / 2, dy / 2);
	}

	/**
	 * @param {KeyboardEvent} event
	 * @param {boolean} down
	 */
	key(event, down) {
		const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
		if (event.ctrlKey || event.metaKey || event.altKey) return;
		if (down && key === "f") this.flyHome();
		if (!MOVE_KEYS.has(key)) return;
		event.preventDefault();
		if (down) this.keys.add(key);
		else this.keys.delete(key);
		this.redraw();
	}

	/**
	 * Moves by the keys that are held down.
	 * @param {number} seconds
	 */
	moveByKeys(seconds) {
		const turn = 200 * seconds;
		const step = 500 * seconds;
		for (const key of this.keys) {
			if (key === "ArrowLeft") this.orbit(turn, 0);
			else if (key === "ArrowRight") this.orbit(-turn, 0);
			else if (key === "ArrowUp") this.orbit(0, turn);
			else if (key === "ArrowDown") this.orbit(0, -turn);
			else if (key === "+") this.zoom(Math.exp(-1.5 * seconds));
			else if (key === "-") this.zoom(Math.exp(1.5 * seconds));
			else if (key === "w") this.pan(0, step);
			else if (key === "s") this.pan(0, -step);
			else if (key === "a") this.pan(step, 0);
			else if (key === "d") this.pan(-step, 0);
			else if (key === "q") this.zoom(Math.exp(1.5 * seconds));
			else if (key === "e") this.zoom(Math.exp(-1.5 * seconds));
		}
	}

	// --- drawing ---

	/** Fractions of each axis that are kept, in voxels. */
	clip() {
		const side = 2 ** (this.order ?? 10);
		const ranges = view.slice.split(",").map((part) => part.split("-").map(Number));
		const low = [0, 1, 2].map((axis) => (ranges[axis]?.length === 2 ? (ranges[axis][0] / 100) * side : -1e9));
		const high = [0, 1, 2].map((axis) => (ranges[axis]?.length === 2 ? (ranges[axis][1] / 100) * side : 1e9));
		return [...low, ...high];
	}

	look() {
		const sphere = view.sphere.split(",").map(Number);
		const selects = view.pid !== null || this.selection.length > 0;
		return {
			camera: this.camera,
			mode: view.mode,
			explode: view.explode / 100,
			opacity: Math.max(0.01, view.opacity / 100),
			clip: this.clip(),
			sphere: sphere.length === 4 && sphere.every(Number.isFinite) ? sphere : [0, 0, 0, 0],
			flags: FLAG_AO | FLAG_EDGES | (selects ? FLAG_SELECT : 0),
			hovered: this.hovered,
			now: this.clock(),
			lodBias: this.lodBias,
		};
	}

	/** Size of the drawn picture: the governor draws fewer pixels while the camera moves. */
	pictureSize() {
		const ratio = Math.min(2, devicePixelRatio);
		return {
			width: Math.max(16, Math.round(this.root.clientWidth * ratio * this.scale)),
			height: Math.max(16, Math.round(this.root.clientHeight * ratio * this.scale)),
		};
	}

	/** @param {number} time */
	tick(time) {
		const seconds = Math.min(0.1, (time - (this.tickedAt ?? time)) / 1000);
		this.tickedAt = time;
		this.moveByKeys(seconds);
		this.fly(time);
		if (!this.drawing) this.takeQueued();
		if (view.mode === "heat") this.hasNews = true;
		this.drawNews();
		if (!this.drawing) {
			this.drawing = true;
			this.frame().finally(() => (this.drawing = false));
		}
		requestAnimationFrame((t) => this.tick(t));
	}

	/** @param {number} time */
	fly(time) {
		if (!this.flight) return;
		const t = Math.min(1, (time - this.flight.begin) / 900);
		this.camera = between(this.flight.from, this.flight.to, Math.max(0, t));
		this.movedAt = time;
		this.redraw();
		if (t >= 1) {
			this.flight = undefined;
			this.saveCamera();
		}
	}

	/** Works on arrived messages for some milliseconds, so that the view stays fluent; a slow GPU gets longer turns. */
	takeQueued() {
		const end = performance.now() + Math.max(12, Math.min(120, this.frameMs * 0.3));
		while (this.queue.length && performance.now() < end) /** @type {() => void} */ (this.queue.shift())();
	}

	async frame() {
		const now = performance.now();
		const busy = now - (this.movedAt ?? 0) < 400 || this.queue.length > 0 || Boolean(this.flight);
		if (!busy && this.scale < 1 && now - (this.drawnAt ?? 0) > this.frameMs) {
			this.scale = 1;
			this.lodBias = 0;
			this.redraw();
		}
		if (!this.needsFrame) return;
		this.needsFrame = false;
		const size = this.pictureSize();
		this.canvas.width = size.width;
		this.canvas.height = size.height;
		if (this.scene && this.renderer) await this.renderer.render(this.scene, this.look(), size.width, size.height);
		else if (this.picture && view.vm && this.order) await this.picture.draw(view, this.camera, size, busy, this.selection);
		this.drawnAt = performance.now();
		this.frameMs = this.drawnAt - now;
		if (busy) this.govern();
		this.drawOverlay();
		this.report();
	}

	/** Holds the frame time while the camera moves or pages come in; the picture is drawn in full once it rests. */
	govern() {
		if (this.frameMs > FRAME_MS * 1.3) this.scale = Math.max(0.2, this.scale * Math.max(0.4, Math.sqrt(FRAME_MS / this.frameMs)));
		else if (this.frameMs < FRAME_MS * 0.7) this.scale = Math.min(1, this.scale * 1.15);
		this.lodBias = this.scale < 0.5 ? 0.5 : 0;
	}

	/** Labels and the box of the selected address, drawn over the volume. */
	drawOverlay() {
		const ratio = Math.min(2, devicePixelRatio);
		const { clientWidth: width, clientHeight: height } = this.root;
		this.overlay.width = width * ratio;
		this.overlay.height = height * ratio;
		const pen = /** @type {CanvasRenderingContext2D} */ (this.overlay.getContext("2d"));
		pen.scale(ratio, ratio);
		pen.font = "600 12px system-ui, sans-serif";
		pen.textBaseline = "middle";
		if (!this.order) return;
		const drawn = /** @type {{ x: number, y: number, w: number }[]} */ ([]);
		for (const label of this.labels) this.drawLabel(pen, label, width, height, drawn);
		if (view.at) this.drawBox(pen, boundsOf(this.order, Math.floor(Number(view.at) / PAGE) * PAGE, (Math.floor(Number(view.at) / PAGE) + 1) * PAGE), "#ffffff", width, height);
	}

	/**
	 * With explode, blocks of 128 voxels move apart.
	 * @param {number[]} point
	 * @param {number[]} inside
	 */
	exploded(point, inside) {
		const gap = 128 * (view.explode / 100);
		return point.map((p, axis) => p + Math.floor(inside[axis] / 128) * gap);
	}

	/**
	 * @param {CanvasRenderingContext2D} pen
	 * @param {{ low: number[], high: number[] }} box
	 * @param {string} colour
	 * @param {number} width
	 * @param {number} height
	 */
	drawBox(pen, box, colour, width, height) {
		const corners = [...Array(8).keys()].map((c) => project(this.camera, width, height,
			this.exploded([0, 1, 2].map((axis) => ((c >> axis) & 1 ? box.high[axis] : box.low[axis])), box.low)));
		pen.strokeStyle = colour;
		pen.lineWidth = 1.5;
		for (let c = 0; c < 8; c++) {
			for (const bit of [1, 2, 4]) {
				const a = corners[c];
				const b = corners[c | bit];
				if (c & bit || !a || !b) continue;
				pen.beginPath();
				pen.moveTo(a.x, a.y);
				pen.lineTo(b.x, b.y);
				pen.stroke();
			}
		}
	}

	/**
	 * @param {CanvasRenderingContext2D} pen
	 * @param {Label} label
	 * @param {number} width
	 * @param {number} height
	 * @param {{ x: number, y: number, w: number }[]} drawn
	 */
	drawLabel(pen, label, width, height, drawn) {
		const box = boundsOf(/** @type {number} */ (this.order), label.start, label.end);
		const middle = box.low.map((low, i) => (low + box.high[i]) / 2);
		const at = project(this.camera, width, height, this.exploded(middle, middle));
		if (!at || at.x < 0 || at.y < 0 || at.x > width || at.y > height) return;
		const w = pen.measureText(label.text).width + 12;
		if (drawn.some((d) => Math.abs(d.y - at.y) < 18 && at.x < d.x + d.w && d.x < at.x + w)) return;
		drawn.push({ x: at.x, y: at.y, w });
		pen.globalAlpha = 0.55;
		this.drawBox(pen, box, label.colour ?? "#9fb4cc", width, height);
		pen.globalAlpha = 0.8;
		pen.fillStyle = "#0b0e14";
		pen.beginPath();
		pen.roundRect(at.x, at.y - 9, w, 18, 5);
		pen.fill();
		pen.globalAlpha = 1;
		pen.fillStyle = label.colour ?? "#dfe8f3";
		pen.fillText(label.text, at.x + 6, at.y);
	}

	/** @param {Label[]} labels */
	setLabels(labels) {
		this.labels = labels;
		this.redraw();
	}

	report() {
		const stats = this.stats;
		const now = performance.now();
		if (stats && now - stats.since > 1000) {
			this.dirtyPerSecond = Math.round((stats.pages * 1000) / (now - stats.since));
			const bytes = this.stream?.bytes ?? 0;
			this.mbPerSecond = (bytes - stats.bytes) / (now - stats.since) / 1000;
			this.stats = { pages: 0, since: now, bytes };
		}
		const v = vectors(this.camera, 1, this.root.clientHeight || 1);
		this.events.hud({
			frameMs: this.frameMs,
			scale: this.scale,
			lod: Math.max(0, Math.log2(Math.max(1, v.pixel * this.camera.distance)) + this.lodBias),
			pagesPerSecond: this.dirtyPerSecond,
			mbPerSecond: this.mbPerSecond ?? 0,
			resident: this.scene?.residentPages ?? 0,
			waiting: this.queue.length,
			drawing: this.gpu ? `WebGPU (${this.gpu.name})` : `pictures drawn by the server${this.picture?.device ? ` (${this.picture.device})` : ""}`,
			source: this.dirtySource,
		});
	}

	// --- picking ---

	/** @param {MouseEvent} event */
	async pickAt(event) {
		const box = this.canvas.getBoundingClientRect();
		const size = this.pictureSize();
		const x = Math.floor(((event.clientX - box.left) / box.width) * size.width);
		const y = Math.floor(((event.clientY - box.top) / box.height) * size.height);
		if (this.scene && this.renderer) return this.renderer.pick(this.scene, this.look(), size.width, size.height, x, y);
		return this.picture && view.vm ? this.picture.pick(view, this.camera, size, x, y) : null;
	}

	/** @param {PointerEvent} event */
	async hover(event) {
		if (!this.scene) return;
		const hit = await this.pickAt(event);
		const page = hit?.page ?? NONE;
		if (page !== this.hovered) {
			this.hovered = page;
			this.redraw();
		}
		const kind = hit ? this.kinds[this.kindOf?.[page] ?? 0] : null;
		this.events.hovered(hit && { ...hit, kind, owner: this.ownerOf?.[page] ?? 0, address: page * PAGE + hit.byte }, event.clientX, event.clientY);
	}

	/**
	 * @param {MouseEvent} event
	 * @param {boolean} [near]
	 */
	async click(event, near = false) {
		this.canvas.focus();
		const hit = await this.pickAt(event);
		if (!hit) return;
		const address = hit.page * PAGE + hit.byte;
		set({ at: `0x${address.toString(16)}` });
		this.events.picked({ ...hit, address });
		if (near) this.flyToRanges([{ start: hit.page * PAGE, end: (hit.page + 1) * PAGE }]);
		this.redraw();
	}

	/**
	 * Voxel of an address, as `glassbox page` says it.
	 * @param {number} address
	 */
	voxelOf(address) {
		const cube = cubeAt(this.order ?? 4, address, 0);
		return [cube.x, cube.y, cube.z];
	}
}
