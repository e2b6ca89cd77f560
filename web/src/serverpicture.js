// @ts-check
/** Pictures drawn by the server, for browsers without WebGPU: the same camera and modes, one picture at a time. */
import { token } from "./api.js";
import { cameraText } from "./camera.js";

export class ServerPicture {
	/** @param {HTMLCanvasElement} canvas */
	constructor(canvas) {
		this.canvas = canvas;
		this.pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
		this.device = "";
	}

	/**
	 * @param {import("./store.js").View} view
	 * @param {import("./camera.js").Camera} camera
	 * @param {{ width: number, height: number }} size
	 */
	query(view, camera, size) {
		return new URLSearchParams({ camera: cameraText(camera), size: `${size.width}x${size.height}`, mode: view.mode,
			explode: String(view.explode), opacity: String(view.opacity), hidden: view.hidden, slice: view.slice, sphere: view.sphere,
			pid: view.pid === null ? "" : String(view.pid), ...(token() ? { token: token() } : {}) });
	}

	/**
	 * The server's answer; null while it is away, which the page says elsewhere.
	 * @param {import("./store.js").View} view
	 * @param {URLSearchParams} query
	 */
	async ask(view, query) {
		try {
			const answer = await fetch(`/api/v1/vms/${encodeURIComponent(view.vm ?? "")}/frame?${query}`);
			return answer.ok ? answer : null;
		} catch {
			return null;
		}
	}

	/**
	 * @param {import("./store.js").View} view
	 * @param {import("./camera.js").Camera} camera
	 * @param {{ width: number, height: number }} size
	 * @param {boolean} moving
	 * @param {{ start: number, end: number }[]} selection
	 */
	async draw(view, camera, size, moving, selection) {
		const query = this.query(view, camera, size);
		if (moving) query.set("draft", "1");
		if (selection.length) query.set("focus", selection.slice(0, 64).map((r) => `0x${r.start.toString(16)}-0x${r.end.toString(16)}`).join(","));
		const answer = await this.ask(view, query);
		if (!answer) return;
		this.device = answer.headers.get("x-device") ?? "";
		const bitmap = await answer.blob().then((blob) => createImageBitmap(blob)).catch(() => null);
		if (!bitmap) return;
		if (this.canvas.width !== size.width || this.canvas.height !== size.height) {
			this.canvas.width = size.width;
			this.canvas.height = size.height;
		}
		this.pen.drawImage(bitmap, 0, 0, this.canvas.width, this.canvas.height);
	}

	/**
	 * @param {import("./store.js").View} view
	 * @param {import("./camera.js").Camera} camera
	 * @param {{ width: number, height: number }} size
	 * @param {number} x
	 * @param {number} y
	 */
	async pick(view, camera, size, x, y) {
		const query = this.query(view, camera, size);
		query.set("pick", `${x},${y}`);
		const answer = await this.ask(view, query);
		if (!answer) return null;
		const hit = await answer.json().catch(() => null);
		if (!hit?.hit) return null;
		const address = Number(hit.address);
		return { page: Math.floor(address / 4096), byte: address % 4096, isExact: hit.exact, distance: 0 };
	}
}
