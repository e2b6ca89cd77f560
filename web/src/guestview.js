// @ts-check
/** One guest in the scene: follows its pages, keeps what is known of them, and brings them to the GPU when the
 * browser draws itself. Several of these side by side make a scene of several VMs. */
import { orderOf } from "./hilbert.js";
import { sendNear } from "./live.js";
import { PAGE, Pages } from "./pages.js";
import { NONE, Scene } from "./scene.js";
import { view } from "./store.js";
import { PageStream } from "./stream.js";

const HAS_BYTES = 1 << 9;

/** A clock in milliseconds for the heat of pages; never 0. */
export const clock = () => Math.round(performance.now()) + 100000;

/**
 * @typedef {object} GuestEvents
 * @property {(guest: GuestView, hello: any) => void} hello
 * @property {(guest: GuestView, state: any) => void} state
 * @property {(guest: GuestView, text: string) => void} lost
 * @property {(guest: GuestView) => void} changed
 */

export class GuestView {
	/**
	 * @param {string} vm
	 * @param {GPUDevice | null} device   null: the server draws, only kinds and owners are kept
	 * @param {GuestEvents} events
	 */
	constructor(vm, device, events) {
		this.vm = vm;
		this.device = device;
		this.events = events;
		/** @type {(() => void)[]} messages that wait for their turn */
		this.queue = [];
		this.order = 0;
		this.topBytes = 0;
		this.streamNumber = 0;
		this.dirtySource = "";
		this.state = "";
		/** where its first voxel lies in the scene */
		this.offset = [0, 0, 0];
		this.pagesSeen = 0;
		this.preferred = "";
		this.isUsable = false;
		this.openedAt = performance.now();
		this.stream = new PageStream(vm, {
			hello: (hello) => this.hello(hello),
			pages: (payload) => this.queue.push(() => this.takePages(payload)),
			coarse: (payload) => this.queue.push(() => this.takeCoarse(payload)),
			state: (state) => {
				this.state = state.state;
				events.state(this, state);
			},
			lost: (text) => events.lost(this, text),
		});
	}

	close() {
		this.stream.close();
		this.scene?.destroy();
		this.scene = undefined;
		this.queue = [];
	}

	get side() {
		return 2 ** this.order;
	}

	/** @param {any} hello */
	hello(hello) {
		this.queue = [];
		this.scene?.destroy();
		this.topBytes = hello.top_bytes;
		this.order = orderOf(hello.top_bytes);
		this.dirtySource = hello.dirty_source;
		this.streamNumber = hello.stream ?? 0;
		this.isUsable = false;
		this.pages = new Pages(hello);
		this.pages.hide(view.hidden);
		this.scene = this.device ? new Scene(this.device, hello.top_bytes) : undefined;
		this.events.hello(this, hello);
	}

	/** @param {DataView} payload */
	takeCoarse(payload) {
		const pages = this.pages;
		if (!pages) return;
		const count = payload.getUint32(0, true);
		for (let i = 0, at = 4; i < count; i++, at += 16) {
			const page = payload.getUint32(at, true);
			pages.learn(page, payload.getUint32(at + 4, true), payload.getUint32(at + 8, true));
			this.scene?.change(page, pages.attributes(page), 0, null, payload.getUint32(at + 12, true));
		}
		this.events.changed(this);
	}

	/** @param {DataView} payload */
	takePages(payload) {
		const pages = this.pages;
		if (!pages) return;
		if (!this.isUsable) {
			this.isUsable = true;
			performance.measure("glassbox-usable", { start: this.openedAt, end: performance.now() });
		}
		const count = payload.getUint32(0, true);
		const now = clock();
		for (let i = 0, at = 4; i < count; i++) {
			const page = payload.getUint32(at, true);
			const word = payload.getUint32(at + 4, true);
			const ago = payload.getUint32(at + 12, true);
			pages.learn(page, word, payload.getUint32(at + 8, true));
			at += 16;
			const bytes = word & HAS_BYTES ? new Uint8Array(payload.buffer, payload.byteOffset + at, PAGE) : null;
			if (bytes) at += PAGE;
			const written = ago === NONE ? 0 : Math.max(1, now - ago);
			this.scene?.change(page, pages.attributes(page), written, bytes, bytes ? NONE : 0);
		}
		this.pagesSeen += count;
		this.events.changed(this);
	}

	/**
	 * Works on arrived messages until a moment, so that the view stays fluent.
	 * @param {number} end
	 */
	takeQueued(end) {
		while (this.queue.length && performance.now() < end) /** @type {() => void} */ (this.queue.shift())();
	}

	/** Sends the attributes of pages that changed: other kinds are hidden, others selected, another time is shown. */
	relabel() {
		const { scene, pages } = this;
		if (pages && scene) {
			for (let page = 0; page < scene.nFrames; page++) {
				const attributes = pages.attributes(page);
				if (attributes !== scene.attributes[page]) scene.change(page, attributes, scene.written[page], null, NONE);
			}
		}
		this.events.changed(this);
	}

	/**
	 * Tells the server which pages the camera is near.
	 * @param {[number, number][]} ranges   of frames, nearest first
	 */
	prefer(ranges) {
		const text = JSON.stringify(ranges);
		if (text === this.preferred || !this.streamNumber) return;
		this.preferred = text;
		sendNear(this.streamNumber, ranges);
	}
}
