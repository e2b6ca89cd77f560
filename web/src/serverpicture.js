// @ts-check
/** Pictures drawn by the server, for browsers without WebGPU: the same camera and modes, one picture at a time. */
import { token } from "./api.js";

/** @typedef {{ vm: string } & Record<string, string>} Asked   arguments of .../frame */

export class ServerPicture {
	/** @param {HTMLCanvasElement} canvas */
	constructor(canvas) {
		this.canvas = canvas;
		this.pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
		this.device = "";
		this.isShown = false;
	}

	/**
	 * The server's answer; null while it is away, which the page says elsewhere.
	 * @param {Asked} asked
	 */
	async ask({ vm, ...rest }) {
		const headers = token() ? { Authorization: `Bearer ${token()}` } : undefined;
		try {
			const answer = await fetch(`/api/v1/vms/${encodeURIComponent(vm)}/frame?${new URLSearchParams(rest)}`, { headers });
			return answer.ok ? answer : null;
		} catch {
			return null;
		}
	}

	/**
	 * @param {Asked} asked
	 * @param {{ width: number, height: number }} size
	 * @param {boolean} moving
	 * @param {{ start: number, end: number }[]} selection
	 */
	async draw(asked, size, moving, selection) {
		const focus = selection.slice(0, 64).map((r) => `0x${r.start.toString(16)}-0x${r.end.toString(16)}`).join(",");
		const answer = await this.ask({ ...asked, ...(moving ? { draft: "1" } : {}), ...(focus ? { focus } : {}) });
		if (!answer) return;
		this.device = answer.headers.get("x-device") ?? "";
		const bitmap = await answer.blob().then((blob) => createImageBitmap(blob)).catch(() => null);
		if (!bitmap) return;
		if (this.canvas.width !== size.width || this.canvas.height !== size.height) {
			this.canvas.width = size.width;
			this.canvas.height = size.height;
		}
		this.pen.drawImage(bitmap, 0, 0, this.canvas.width, this.canvas.height);
		this.isShown = true;
	}

	/**
	 * @param {Asked} asked
	 * @param {number} x
	 * @param {number} y
	 */
	async pick(asked, x, y) {
		const answer = await this.ask({ ...asked, pick: `${x},${y}` });
		if (!answer) return null;
		const hit = await answer.json().catch(() => null);
		if (!hit?.hit) return null;
		const address = Number(hit.address);
		return { page: Math.floor(address / 4096), byte: address % 4096, isExact: hit.exact, distance: 0 };
	}
}
