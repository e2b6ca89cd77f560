// @ts-check
/** The WebSocket: the list of VMs, the console and the screen. Reconnects by itself. Messages: docs/stream.md. */
import { token } from "./api.js";

/** @type {WebSocket | null} */
let socket = null;
/** @type {Map<string, Set<(message: any) => void>>} */
const listeners = new Map();
/** ORDER pipes: first byte of binary messages */
const CONSOLE = 1;
const SCREEN = 2;
/** @type {Map<number, (bytes: Uint8Array) => void>} */
const pipes = new Map();
let wantedConsole = /** @type {string | null} */ (null);

/**
 * @param {string} type
 * @param {(message: any) => void} f
 */
export function on(type, f) {
	const set = listeners.get(type) ?? new Set();
	set.add(f);
	listeners.set(type, set);
}

/** @param {(bytes: Uint8Array) => void} f */
export const onConsole = (f) => pipes.set(CONSOLE, f);
/** @param {(bytes: Uint8Array) => void} f */
export const onScreen = (f) => pipes.set(SCREEN, f);

/** @param {object} message */
function send(message) {
	if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

/** @param {any} message */
function emit(message) {
	for (const f of listeners.get(message.type) ?? []) f(message);
}

export function connect() {
	const scheme = location.protocol === "https:" ? "wss" : "ws";
	socket = new WebSocket(`${scheme}://${location.host}/ws${token() ? `?token=${token()}` : ""}`);
	socket.binaryType = "arraybuffer";
	socket.onopen = () => {
		emit({ type: "connected" });
		if (wantedConsole) send({ type: "console", vm: wantedConsole });
	};
	socket.onmessage = (event) => {
		if (typeof event.data === "string") emit(JSON.parse(event.data));
		else pipes.get(new Uint8Array(event.data)[0])?.(new Uint8Array(event.data, 1));
	};
	socket.onclose = () => {
		emit({ type: "disconnected" });
		setTimeout(connect, 1000);
	};
}

/** @param {string | null} vm */
export function showConsole(vm) {
	wantedConsole = vm;
	send({ type: "console", vm });
}

/** @param {string} data */
export const typeInto = (data) => send({ type: "input", data });

/** @param {string | null} vm */
export const showScreen = (vm) => send({ type: "screen", vm });

/** @param {Uint8Array} bytes */
export function sendToScreen(bytes) {
	const message = new Uint8Array(bytes.length + 1);
	message[0] = SCREEN;
	message.set(bytes, 1);
	if (socket?.readyState === WebSocket.OPEN) socket.send(message);
}

/**
 * Which frames of a page stream to send first.
 * @param {number} stream
 * @param {[number, number][]} ranges
 */
export const sendNear = (stream, ranges) => send({ type: "near", stream, ranges });
