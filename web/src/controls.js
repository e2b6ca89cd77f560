// @ts-check
/** Mouse, touch and keys on the volume, turned into moves of a camera. One finger or the left button turns; two
 * fingers, shift or the right button move; pinch and wheel zoom towards where they point. */

const TURN_DEGREES = 0.35;
const CLICK_PIXELS = 5;
const DOUBLE_TAP_MS = 320;
const MOVE_KEYS = new Set(["w", "a", "s", "d", "q", "e", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "+", "=", "-"]);

/**
 * @typedef {object} Moved
 * @property {(yaw: number, pitch: number) => void} turn   degrees
 * @property {(dx: number, dy: number) => void} pan        pixels
 * @property {(factor: number, x?: number, y?: number) => void} zoom   at a pixel, or the middle
 * @property {(x: number, y: number) => void} hover
 * @property {() => void} leave
 * @property {(x: number, y: number, near: boolean) => void} click   near: fly there
 * @property {() => void} home
 * @property {() => void} wake   keys are held: draw the next frame
 */

export class Controls {
	/**
	 * @param {HTMLElement} element
	 * @param {Moved} moved
	 */
	constructor(element, moved) {
		this.element = element;
		this.moved = moved;
		/** @type {Map<number, { x: number, y: number }>} */
		this.pointers = new Map();
		this.dragged = 0;
		this.tappedAt = 0;
		/** @type {Set<string>} */
		this.keys = new Set();
		this.bind();
	}

	bind() {
		const on = (/** @type {string} */ type, /** @type {(event: any) => void} */ f, /** @type {object} */ options = {}) =>
			this.element.addEventListener(type, f, options);
		on("pointerdown", (event) => this.down(event));
		on("pointermove", (event) => this.move(event));
		on("pointerup", (event) => this.up(event));
		on("pointercancel", (event) => this.pointers.delete(event.pointerId));
		on("pointerleave", () => this.moved.leave());
		on("contextmenu", (event) => event.preventDefault());
		on("wheel", (event) => {
			event.preventDefault();
			const at = this.place(event);
			this.moved.zoom(Math.exp(Math.max(-240, Math.min(240, event.deltaY)) * 0.0012), at.x, at.y);
		}, { passive: false });
		on("keydown", (event) => this.key(event, true));
		on("keyup", (event) => this.key(event, false));
		on("blur", () => this.keys.clear());
	}

	/** @param {MouseEvent} event */
	place(event) {
		const box = this.element.getBoundingClientRect();
		return { x: event.clientX - box.left, y: event.clientY - box.top };
	}

	/** @param {PointerEvent} event */
	down(event) {
		try {
			this.element.setPointerCapture(event.pointerId);
		} catch {
			/* the pointer is gone already */
		}
		this.element.focus({ preventScroll: true });
		if (!this.pointers.size) this.dragged = 0;
		else this.dragged = Infinity;
		this.pointers.set(event.pointerId, this.place(event));
	}

	/** @param {PointerEvent} event */
	move(event) {
		const at = this.place(event);
		const before = this.pointers.get(event.pointerId);
		if (!before) {
			if (event.pointerType !== "touch") this.moved.hover(at.x, at.y);
			return;
		}
		const dx = at.x - before.x;
		const dy = at.y - before.y;
		this.dragged += Math.abs(dx) + Math.abs(dy);
		this.pointers.set(event.pointerId, at);
		if (this.pointers.size === 2) this.pinch(event.pointerId, before, at);
		else if (this.pointers.size > 2) this.moved.pan(dx / this.pointers.size, dy / this.pointers.size);
		else if (event.shiftKey || event.buttons & 6) this.moved.pan(dx, dy);
		else this.moved.turn(-dx * TURN_DEGREES, dy * TURN_DEGREES);
	}

	/**
	 * Two fingers: apart zooms, together moves.
	 * @param {number} id
	 * @param {{ x: number, y: number }} before
	 * @param {{ x: number, y: number }} at
	 */
	pinch(id, before, at) {
		const other = [...this.pointers].find(([other]) => other !== id)?.[1];
		if (!other) return;
		const was = Math.hypot(before.x - other.x, before.y - other.y);
		const is = Math.hypot(at.x - other.x, at.y - other.y);
		this.moved.zoom(was / Math.max(1, is), (at.x + other.x) / 2, (at.y + other.y) / 2);
		this.moved.pan((at.x - before.x) / 2, (at.y - before.y) / 2);
	}

	/** @param {PointerEvent} event */
	up(event) {
		if (!this.pointers.delete(event.pointerId) || this.dragged > CLICK_PIXELS) return;
		const at = this.place(event);
		const near = event.timeStamp - this.tappedAt < DOUBLE_TAP_MS;
		this.tappedAt = near ? 0 : event.timeStamp;
		this.moved.click(at.x, at.y, near);
	}

	/**
	 * @param {KeyboardEvent} event
	 * @param {boolean} down
	 */
	key(event, down) {
		const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
		if (event.ctrlKey || event.metaKey || event.altKey) return;
		if (down && key === "f") this.moved.home();
		if (!MOVE_KEYS.has(key)) return;
		event.preventDefault();
		if (down) this.keys.add(key);
		else this.keys.delete(key);
		this.moved.wake();
	}

	/**
	 * Moves by the keys that are held down.
	 * @param {number} seconds
	 */
	step(seconds) {
		const turn = 70 * seconds;
		const step = 500 * seconds;
		const nearer = Math.exp(-1.5 * seconds);
		/** @type {Record<string, () => void>} */
		const moves = {
			ArrowLeft: () => this.moved.turn(-turn, 0), ArrowRight: () => this.moved.turn(turn, 0),
			ArrowUp: () => this.moved.turn(0, turn), ArrowDown: () => this.moved.turn(0, -turn),
			"+": () => this.moved.zoom(nearer), "=": () => this.moved.zoom(nearer), e: () => this.moved.zoom(nearer),
			"-": () => this.moved.zoom(1 / nearer), q: () => this.moved.zoom(1 / nearer),
			w: () => this.moved.pan(0, step), s: () => this.moved.pan(0, -step),
			a: () => this.moved.pan(step, 0), d: () => this.moved.pan(-step, 0),
		};
		for (const key of this.keys) moves[key]?.();
	}
}
