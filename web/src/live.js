// @ts-check
/** The WebSocket: the list of VMs and the console. Reconnects by itself. */
import { token } from "./api.js";

/** @type {WebSocket | null} */
let socket = null;
/** @type {Map<string, Set<(message: any) => void>>} */
const listeners = new Map();
/** @type {Set<(bytes: Uint8Array) => void>} */
const consoles = new Set();
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
export const onConsole = (f) => consoles.add(f);

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
		else if (new Uint8Array(event.data)[0] === 1) for (const f of consoles) f(new Uint8Array(event.data, 1));
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
