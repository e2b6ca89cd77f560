// @ts-check
/** The stream of pages: fetch, cut into messages, reconnect. ORDER stream messages: src/server/live.c. */
import { token } from "./api.js";
import { wantsPacking } from "./settings.js";

export const HELLO = 1;
export const PAGES = 2;
export const COARSE = 3;
export const STATE = 4;

const RECONNECT_MS = 1000;

/**
 * @typedef {object} Handlers
 * @property {(hello: any) => void} hello
 * @property {(payload: DataView) => void} pages
 * @property {(payload: DataView) => void} coarse
 * @property {(state: any) => void} state
 * @property {(text: string) => void} lost   the connection broke; it will be tried again
 */

export class PageStream {
	/**
	 * @param {string} vm
	 * @param {Handlers} handlers
	 */
	constructor(vm, handlers) {
		this.vm = vm;
		this.handlers = handlers;
		this.controller = new AbortController();
		this.bytes = 0;
		this.isPacked = false;
		this.ended = false;
		this.run();
	}

	close() {
		this.ended = true;
		this.controller.abort();
	}

	async run() {
		while (!this.ended) {
			try {
				await this.readOnce();
				this.handlers.lost("the stream ended");
			} catch (error) {
				if (!this.ended) this.handlers.lost(String(/** @type {Error} */ (error).message));
			}
			await new Promise((resolve) => setTimeout(resolve, RECONNECT_MS));
		}
	}

	async readOnce() {
		const headers = token() ? { Authorization: `Bearer ${token()}` } : undefined;
		const answer = await fetch(`/api/v1/vms/${encodeURIComponent(this.vm)}/pages${wantsPacking() ? "?pack=zstd" : ""}`, { signal: this.controller.signal, headers });
		if (!answer.ok || !answer.body) throw new Error(`pages: ${answer.status}`);
		this.isPacked = answer.headers.get("content-encoding") === "zstd";
		const reader = answer.body.getReader();
		let kept = new Uint8Array(0);
		for (;;) {
			const { done, value } = await reader.read();
			if (done) return;
			this.bytes += value.length;
			let data = value;
			if (kept.length) {
				data = new Uint8Array(kept.length + value.length);
				data.set(kept);
				data.set(value, kept.length);
			}
			kept = this.deliver(data).slice();
		}
	}

	/**
	 * Hands out whole messages; returns what is left.
	 * @param {Uint8Array} data
	 */
	deliver(data) {
		let at = 0;
		const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
		while (at + 8 <= data.length) {
			const type = view.getUint32(at, true);
			const length = view.getUint32(at + 4, true);
			if (at + 8 + length > data.length) break;
			this.message(type, new DataView(data.buffer, data.byteOffset + at + 8, length));
			at += 8 + length;
		}
		return data.subarray(at);
	}

	/**
	 * @param {number} type
	 * @param {DataView} payload
	 */
	message(type, payload) {
		const text = () => JSON.parse(new TextDecoder().decode(payload));
		if (type === HELLO) this.handlers.hello(text());
		else if (type === PAGES) this.handlers.pages(payload);
		else if (type === COARSE) this.handlers.coarse(payload);
		else if (type === STATE) this.handlers.state(text());
	}
}
