// @ts-check
/** The 3D view: guests side by side in one scene, a camera, and a person who looks around. Draws with WebGPU, or shows
 * pictures that the server draws when the browser cannot. Input is in controls.js, lines and labels in overlay.js. */
import { between, cameraFrom, cameraText, fit, microscope, vectors } from "./camera.js";
import { Controls } from "./controls.js";
import { debounce, h } from "./dom.js";
import { clock, GuestView } from "./guestview.js";
import { boundsOf, voxelBox } from "./hilbert.js";
import { origins } from "./map.js";
import { nearBlocks } from "./near.js";
import { Overlay } from "./overlay.js";
import { PAGE } from "./pages.js";
import { FLAG_AO, FLAG_EDGES, FLAG_SELECT, openDevice, Renderer } from "./renderer.js";
import { NONE } from "./scene.js";
import { ServerPicture } from "./serverpicture.js";
import { settings } from "./settings.js";
import { set, shownVms, view, watch } from "./store.js";

const FLIGHT_MS = 900;
const NEAREST = 1.5; // voxels: a byte then fills the view
const FARTHEST = 60000;
const BYTE_DISTANCE = 14; // some hundred bytes are in view

/** @typedef {import("./pages.js").Range} Range */
/** @typedef {{ vm: string, page: number, byte: number, address: number, isExact: boolean, kind: any, owner: number }} Hit */

/**
 * @typedef {object} Events
 * @property {(guest: GuestView) => void} hello
 * @property {(guest: GuestView, state: any) => void} state
 * @property {(guest: GuestView) => void} changed
 * @property {(hit: Hit | null, x: number, y: number) => void} hovered
 * @property {(hud: any) => void} hud
 */

export class Landscape {
	/**
	 * @param {HTMLElement} root
	 * @param {Events} events
	 */
	constructor(root, events) {
		this.root = root;
		this.events = events;
		this.canvas = /** @type {HTMLCanvasElement} */ (h("canvas", { class: "volume", tabindex: "0", role: "application",
			"aria-label": "Memory of the guest in three dimensions. Arrow keys turn, plus and minus zoom, W A S D move, F shows all." }));
		this.message = h("div", { class: "message", role: "status" }, "Choose a VM, or start one.");
		root.append(this.canvas);
		this.overlay = new Overlay(root);
		root.append(this.message);
		/** @type {Map<string, GuestView>} */
		this.guests = new Map();
		/** @type {import("./camera.js").Camera} */
		this.camera = { yaw: 38, pitch: 27, distance: 2000, target: [256, 256, 256] };
		this.hovered = NONE;
		this.hoveredVm = "";
		/** @type {number[] | null} where it hovers */
		this.pointer = null;
		this.hovering = false;
		this.drawing = false;
		this.scale = 1;
		this.lodBias = 0;
		this.frameMs = 0;
		this.rate = { pages: 0, mb: 0, since: performance.now(), seen: 0, bytes: 0 };
		this.needsFrame = true;
		this.saveCamera = debounce(() => set({ camera: cameraText(this.camera) }), 300);
		this.preferSoon = debounce(() => this.prefer(), 150);
		this.controls = new Controls(this.canvas, {
			turn: (yaw, pitch) => this.moveCamera({ yaw: (this.camera.yaw + yaw) % 360, pitch: Math.max(-89, Math.min(89, this.camera.pitch + pitch)) }),
			pan: (dx, dy) => this.pan(dx, dy),
			zoom: (factor, x, y) => this.zoom(factor, x, y),
			hover: (x, y) => this.hover(x, y),
			leave: () => this.leave(),
			click: (x, y, near) => this.click(x, y, near),
			home: () => this.flyHome(),
			wake: () => this.redraw(),
		});
		watch(["mode", "explode", "opacity", "slice", "sphere", "wire", "at"], () => this.redraw());
		watch(["hidden"], () => this.forAll((guest) => guest.pages?.hide(view.hidden)));
		watch(["pid"], () => this.choosePid());
		watch(["vm", "beside"], () => this.open());
		new ResizeObserver(() => this.redraw()).observe(root);
	}

	async start() {
		const wanted = new URLSearchParams(location.search).get("draw") ?? settings.draw;
		this.gpu = wanted === "server" ? null : await openDevice();
		if (this.gpu) {
			this.renderer = new Renderer(this.gpu.device, this.canvas);
			if (this.gpu.isSoftware) this.scale = 0.35;
			this.gpu.device.lost.then((/** @type {GPUDeviceLostInfo} */ info) => this.deviceLost(info));
		} else {
			this.picture = new ServerPicture(this.canvas);
		}
		this.open();
		requestAnimationFrame((t) => this.tick(t));
	}

	/**
	 * A lost device is opened again, and the pages are fetched anew.
	 * @param {GPUDeviceLostInfo} info
	 */
	async deviceLost(info) {
		if (info.reason === "destroyed") return;
		this.say("The GPU was lost; opening it again.");
		for (const guest of this.guests.values()) guest.close();
		this.guests.clear();
		this.gpu = await openDevice();
		if (!this.gpu) return;
		this.renderer = new Renderer(this.gpu.device, this.canvas);
		this.open();
	}

	/** @param {string | null} text */
	say(text) {
		this.message.textContent = text ?? "";
		this.message.hidden = !text;
	}

	redraw() {
		this.needsFrame = true;
	}

	// --- guests ---

	/** The guest that lists, questions and the inspector are about. */
	get guest() {
		return this.guests.get(view.vm ?? "");
	}

	/** @param {(guest: GuestView) => void} change */
	forAll(change) {
		for (const guest of this.guests.values()) {
			change(guest);
			guest.relabel();
		}
	}

	/** Follows the VMs that are to be shown and lets go of others. */
	open() {
		if (this.gpu === undefined) return;
		const wanted = shownVms();
		for (const [vm, guest] of this.guests) {
			if (wanted.includes(vm)) continue;
			guest.close();
			this.guests.delete(vm);
		}
		this.overlay.labels = [];
		for (const vm of wanted) if (!this.guests.has(vm)) this.guests.set(vm, this.follow(vm));
		this.arrange();
		if (!view.vm) this.say("Choose a VM, or start one.");
		else if (this.guest?.pages) this.greet(this.guest);
		else this.say(`Reading the memory of ${view.vm} …`);
		this.redraw();
	}

	/** @param {string} vm */
	follow(vm) {
		return new GuestView(vm, this.gpu?.device ?? null, {
			hello: (guest) => this.greet(guest),
			state: (guest, state) => this.takeState(guest, state),
			lost: (guest, text) => guest.vm === view.vm && this.say(`Lost contact with ${vm} (${text}); trying again.`),
			changed: (guest) => {
				this.hasNews = true;
				this.events.changed(guest);
			},
		});
	}

	/** @param {GuestView} guest */
	greet(guest) {
		this.arrange();
		this.renderer?.fillPalette(/** @type {any} */ (guest.pages?.kinds));
		if (!view.camera) this.camera = this.fitted(this.wholeScene());
		if (guest.vm !== view.vm) return;
		if (guest.pages) guest.pages.pid = view.pid;
		this.camera = cameraFrom(view.camera) ?? this.camera;
		this.events.hello(guest);
		this.say(this.picture?.isShown === false ? "The server draws the first picture …" : null);
		this.preferSoon();
		this.redraw();
	}

	/**
	 * @param {GuestView} guest
	 * @param {any} state
	 */
	takeState(guest, state) {
		this.events.state(guest, state);
		if (guest.vm !== view.vm) return;
		if (state.state === "gone") this.say(`The VM is gone: ${state.reason ?? "it ended"}. Waiting for it to come back.`);
		else if (guest.pages && this.picture?.isShown !== false) this.say(null);
	}

	/** Puts the guests in their places. */
	arrange() {
		const shown = shownVms().map((vm) => this.guests.get(vm));
		const places = origins(shown.length, Math.max(4, ...shown.map((guest) => guest?.order ?? 0)), view.explode / 100);
		shown.forEach((guest, i) => {
			if (guest) guest.offset = places[i];
		});
	}

	/**
	 * Lights these ranges up; with none, the selected process's pages.
	 * @param {Range[]} ranges
	 */
	select(ranges) {
		this.guest?.pages?.select(ranges);
		this.guest?.relabel();
	}

	choosePid() {
		this.forAll((guest) => {
			if (!guest.pages) return;
			guest.pages.select([]);
			guest.pages.pid = guest.vm === view.vm ? view.pid : null;
		});
	}

	/**
	 * Whether the volume can show it: pictures of the server are of what is now.
	 * @param {any[] | null} rows   of the facts table `regions`; null: now
	 */
	showPast(rows) {
		this.guest?.pages?.showPast(rows);
		this.guest?.relabel();
		return Boolean(this.renderer);
	}

	/** @param {import("./overlay.js").Label[]} labels */
	setLabels(labels) {
		this.overlay.labels = labels;
		this.redraw();
	}

	/** @param {number | null} address   of a byte to outline */
	mark(address) {
		if (this.overlay.marked === address) return;
		this.overlay.marked = address;
		this.drawOverlay();
	}

	// --- the camera ---

	aspect() {
		return this.root.clientWidth / Math.max(1, this.root.clientHeight);
	}

	/** @param {{ low: number[], high: number[] }} box */
	fitted(box) {
		return fit(this.camera, box, this.aspect());
	}

	wholeScene() {
		const low = [0, 0, 0];
		const high = [16, 16, 16];
		for (const guest of this.guests.values()) {
			if (!guest.pages) continue;
			const box = boundsOf(guest.order, 0, Math.ceil(guest.topBytes / PAGE) * PAGE);
			for (let axis = 0; axis < 3; axis++) high[axis] = Math.max(high[axis], box.high[axis] * (1 + view.explode / 100) + guest.offset[axis]);
		}
		return { low, high };
	}

	/** @param {import("./camera.js").Camera} camera */
	flyTo(camera) {
		const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
		this.flight = { from: this.camera, to: camera, begin: performance.now(), ms: still ? 1 : FLIGHT_MS };
		this.redraw();
	}

	flyHome() {
		this.arrange();
		if (this.guest?.pages) this.flyTo(this.fitted(this.wholeScene()));
	}

	/** @param {Range[]} ranges */
	flyToRanges(ranges) {
		const guest = this.guest;
		if (!ranges.length || !guest?.pages) return;
		const low = [Infinity, Infinity, Infinity];
		const high = [-Infinity, -Infinity, -Infinity];
		for (const range of ranges.slice(0, 2000)) {
			const start = Math.floor(range.start / PAGE) * PAGE;
			const box = boundsOf(guest.order, start, Math.max(Math.ceil(range.end / PAGE) * PAGE, start + PAGE));
			for (let axis = 0; axis < 3; axis++) {
				low[axis] = Math.min(low[axis], this.explodedAt(box.low[axis], axis, guest));
				high[axis] = Math.max(high[axis], this.explodedAt(box.high[axis] - 1, axis, guest) + 1);
			}
		}
		this.flyTo(this.fitted({ low, high }));
	}

	/**
	 * Flies so near that single bytes can be told apart.
	 * @param {number} address
	 */
	flyToByte(address) {
		const guest = this.guest;
		if (!guest?.pages) return;
		const target = voxelBox(guest.order, address).low.map((v, axis) => this.explodedAt(v, axis, guest) + 0.5);
		this.flyTo({ ...this.camera, target, distance: BYTE_DISTANCE });
	}

	/**
	 * @param {number} v
	 * @param {number} axis
	 * @param {GuestView} guest
	 */
	explodedAt(v, axis, guest) {
		return v + Math.floor(v / 128) * 128 * (view.explode / 100) + guest.offset[axis];
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

	/**
	 * Towards or away from what lies at a pixel in the plane of the target.
	 * @param {number} factor
	 * @param {number} [x]
	 * @param {number} [y]
	 */
	zoom(factor, x = this.root.clientWidth / 2, y = this.root.clientHeight / 2) {
		const distance = Math.max(NEAREST, Math.min(FARTHEST, this.camera.distance * factor));
		const v = vectors(this.camera, this.root.clientWidth, this.root.clientHeight);
		const step = v.pixel * (this.camera.distance - distance);
		const [dx, dy] = [x - this.root.clientWidth / 2, y - this.root.clientHeight / 2];
		this.moveCamera({ distance, target: this.camera.target.map((t, i) => t + v.right[i] * dx * step - v.up[i] * dy * step) });
	}

	/** @param {Partial<import("./camera.js").Camera>} change */
	moveCamera(change) {
		this.flight = undefined;
		this.camera = { ...this.camera, ...change };
		this.moved();
	}

	moved() {
		this.movedAt = performance.now();
		this.saveCamera();
		this.preferSoon();
		this.redraw();
	}

	/** The camera in a guest's own voxels. */
	cameraOf(/** @type {GuestView} */ guest) {
		return { ...this.camera, target: this.camera.target.map((t, i) => t - guest.offset[i]) };
	}

	prefer() {
		for (const guest of this.guests.values()) if (guest.pages) guest.prefer(nearBlocks(this.cameraOf(guest), guest.order, guest.topBytes));
	}

	// --- drawing ---

	/** The clip sphere: the one that was chosen, else what makes way close up. */
	sphere() {
		const chosen = view.sphere.split(",").map(Number);
		return chosen.length === 4 && chosen.every(Number.isFinite) ? chosen : microscope(this.camera, view.explode / 100);
	}

	/**
	 * @param {GuestView} guest
	 * @returns {import("./renderer.js").Look}
	 */
	look(guest) {
		const ranges = view.slice.split(",").map((part) => part.split("-").map(Number));
		const cut = (/** @type {number} */ end, /** @type {number} */ none) =>
			[0, 1, 2].map((axis) => (ranges[axis]?.length === 2 ? (ranges[axis][end] / 100) * guest.side : none));
		return {
			camera: this.cameraOf(guest),
			mode: view.mode,
			explode: view.explode / 100,
			opacity: Math.max(0.01, view.opacity / 100),
			clip: [...cut(0, -1e9), ...cut(1, 1e9)],
			sphere: this.sphere().map((v, i) => v - (guest.offset[i] ?? 0)),
			flags: FLAG_AO | FLAG_EDGES | (guest.pages?.selects ? FLAG_SELECT : 0),
			hovered: this.hoveredVm === guest.vm ? this.hovered : NONE,
			now: clock(),
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
		this.controls.step(seconds);
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
		const flight = this.flight;
		if (!flight) return;
		const t = Math.min(1, (time - flight.begin) / flight.ms);
		this.camera = between(flight.from, flight.to, Math.max(0, t));
		if (t >= 1) this.flight = undefined;
		this.moved();
	}

	/** A slow GPU gets longer turns of work on what arrived. */
	takeQueued() {
		const turn = Math.max(12, Math.min(120, this.frameMs * 0.3)) / Math.max(1, this.guests.size);
		for (const guest of this.guests.values()) guest.takeQueued(performance.now() + turn);
	}

	/** News are drawn at once by a fast GPU; a slow one gets some rest between two pictures. */
	drawNews() {
		const rest = this.frameMs > 100 ? Math.min(5000, this.frameMs * 3) : 0;
		if (!this.hasNews || performance.now() - (this.drawnAt ?? 0) < rest) return;
		this.hasNews = false;
		this.redraw();
	}

	async frame() {
		const now = performance.now();
		const waiting = [...this.guests.values()].some((guest) => guest.queue.length > 0);
		const busy = now - (this.movedAt ?? 0) < 400 || waiting || Boolean(this.flight);
		if (!busy && this.scale < 1 && now - (this.drawnAt ?? 0) > this.frameMs) {
			this.scale = 1;
			this.lodBias = 0;
			this.redraw();
		}
		if (!this.needsFrame) return;
		this.needsFrame = false;
		await this.drawPicture(busy);
		this.drawnAt = performance.now();
		this.frameMs = this.drawnAt - now;
		if (busy) this.govern();
		this.drawOverlay();
		this.report();
	}

	/** @param {boolean} busy */
	async drawPicture(busy) {
		this.arrange();
		const size = this.pictureSize();
		if (this.renderer) {
			if (this.canvas.width !== size.width || this.canvas.height !== size.height) {
				this.canvas.width = size.width;
				this.canvas.height = size.height;
			}
			const parts = [...this.guests.values()].filter((guest) => guest.scene).map((guest) => ({ scene: /** @type {any} */ (guest.scene), look: this.look(guest) }));
			await this.renderer.render(parts, size.width, size.height);
		} else if (this.picture && this.guest?.pages) {
			const isFirst = !this.picture.isShown;
			await this.picture.draw(this.asked(size), size, busy, this.guest.pages.selection);
			if (isFirst && this.picture.isShown && this.guest?.state !== "gone") this.say(null);
		}
	}

	/**
	 * What a picture of the server is to show.
	 * @param {{ width: number, height: number }} size
	 */
	asked(size) {
		return { vm: view.vm ?? "", camera: cameraText(this.camera), size: `${size.width}x${size.height}`, mode: view.mode, explode: String(view.explode), opacity: String(view.opacity),
			hidden: view.hidden, slice: view.slice, sphere: this.sphere()[3] ? this.sphere().map((v) => v.toFixed(2)).join(",") : "", pid: view.pid === null ? "" : String(view.pid) };
	}

	/** Holds the frame time while the camera moves or pages come in; the picture is drawn in full once it rests. */
	govern() {
		const wanted = 1000 / settings.fps;
		if (this.frameMs > wanted * 1.3) this.scale = Math.max(0.2, this.scale * Math.max(0.4, Math.sqrt(wanted / this.frameMs)));
		else if (this.frameMs < wanted * 0.7) this.scale = Math.min(1, this.scale * 1.15);
		this.lodBias = this.scale < 0.5 ? 0.5 : 0;
	}

	/**
	 * Where the guests of a scene of several are, in the voxels of one of them.
	 * @param {GuestView} seen
	 */
	bricks(seen) {
		if (this.guests.size < 2) return [];
		return [...this.guests.values()].filter((guest) => guest.pages).map((guest) => {
			const low = guest.offset.map((v, i) => v - seen.offset[i]);
			const box = boundsOf(guest.order, 0, Math.ceil(guest.topBytes / PAGE) * PAGE);
			return { vm: guest.vm, low, high: low.map((v, i) => v + this.explodedAt(box.high[i] - 1, i, guest) + 1 - guest.offset[i]) };
		});
	}

	drawOverlay() {
		const guest = this.guest;
		if (!guest?.pages) return;
		this.overlay.draw({ camera: this.cameraOf(guest), order: guest.order, explode: view.explode / 100, wire: view.wire === "on", topBytes: guest.topBytes,
			hasLabels: settings.labels, chosen: view.at ? Number(view.at) : null, bricks: this.bricks(guest) });
	}

	/** Numbers for the HUD, at most four times a second. */
	report() {
		const now = performance.now();
		const rate = this.rate;
		if (now - rate.since > 1000) {
			let seen = 0;
			let bytes = 0;
			for (const guest of this.guests.values()) {
				seen += guest.pagesSeen;
				bytes += guest.stream.bytes;
			}
			const seconds = (now - rate.since) / 1000;
			this.rate = { pages: Math.max(0, Math.round((seen - rate.seen) / seconds)), mb: Math.max(0, (bytes - rate.bytes) / seconds / 1e6), since: now, seen, bytes };
		}
		const v = vectors(this.camera, 1, this.root.clientHeight || 1);
		let resident = 0;
		for (const guest of this.guests.values()) resident += guest.scene?.residentPages ?? 0;
		this.events.hud({
			frameMs: this.frameMs,
			scale: this.scale,
			lod: Math.max(0, Math.log2(Math.max(1, v.pixel * this.camera.distance)) + this.lodBias),
			pagesPerSecond: this.rate.pages,
			mbPerSecond: this.rate.mb,
			resident: this.gpu ? resident : null,
			drawing: this.gpu ? `WebGPU (${this.gpu.name})` : `pictures drawn by the server${this.picture?.device ? ` (${this.picture.device})` : ""}`,
			source: this.guest?.dirtySource,
			packed: this.guest?.stream.isPacked ?? false,
		});
	}

	// --- picking ---

	/**
	 * @param {number} x   CSS pixels
	 * @param {number} y
	 * @returns {Promise<Hit | null>}
	 */
	async pickAt(x, y) {
		const size = this.pictureSize();
		const px = Math.min(size.width - 1, Math.floor((x / this.root.clientWidth) * size.width));
		const py = Math.min(size.height - 1, Math.floor((y / this.root.clientHeight) * size.height));
		let best = null;
		let bestGuest = null;
		for (const guest of this.renderer ? this.guests.values() : [this.guest]) {
			if (!guest?.pages) continue;
			const hit = this.renderer ? guest.scene && (await this.renderer.pick(guest.scene, this.look(guest), size.width, size.height, px, py))
				: await this.picture?.pick(this.asked(size), px, py);
			if (!hit || (best && best.distance <= hit.distance)) continue;
			best = hit;
			bestGuest = guest;
		}
		if (!best || !bestGuest?.pages) return null;
		return { vm: bestGuest.vm, page: best.page, byte: best.byte, isExact: best.isExact, address: best.page * PAGE + best.byte,
			kind: bestGuest.pages.kinds[bestGuest.pages.kind(best.page)], owner: bestGuest.pages.owner(best.page) };
	}

	/**
	 * @param {number} x
	 * @param {number} y
	 * @returns {Promise<void>}
	 */
	async hover(x, y) {
		this.pointer = [x, y];
		if (!this.renderer || this.flight || this.hovering) return;
		this.hovering = true;
		const hit = await this.pickAt(x, y).finally(() => (this.hovering = false));
		if (this.pointer && (this.pointer[0] !== x || this.pointer[1] !== y)) return this.hover(this.pointer[0], this.pointer[1]);
		this.showHovered(this.pointer ? hit : null, x, y);
	}

	/** The pointer is elsewhere: a pick that is on its way is not shown. */
	leave() {
		this.pointer = null;
		this.showHovered(null, 0, 0);
	}

	/**
	 * @param {Hit | null} hit
	 * @param {number} x
	 * @param {number} y
	 */
	showHovered(hit, x, y) {
		if ((hit?.page ?? NONE) !== this.hovered || (hit?.vm ?? "") !== this.hoveredVm) {
			this.hovered = hit?.page ?? NONE;
			this.hoveredVm = hit?.vm ?? "";
			this.redraw();
		}
		this.mark(hit?.isExact && hit.vm === view.vm ? hit.address : null);
		this.events.hovered(hit, x, y);
	}

	/**
	 * @param {number} x
	 * @param {number} y
	 * @param {boolean} near
	 */
	async click(x, y, near) {
		const hit = await this.pickAt(x, y);
		if (!hit) return;
		set({ vm: hit.vm, pid: hit.vm === view.vm ? view.pid : null, at: `0x${hit.address.toString(16)}` });
		if (near) this.flyToRanges([{ start: hit.page * PAGE, end: (hit.page + 1) * PAGE }]);
	}
}
