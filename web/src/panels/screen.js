// @ts-check
/** The guest's screen, by noVNC over the page's WebSocket. Opened when it is looked at, closed when it is not. */
import RFB from "novnc/core/rfb.js";
import { h } from "../dom.js";
import { on, onScreen, sendToScreen, showScreen } from "../live.js";
import { view, watch } from "../store.js";
import { currentVm } from "./vms.js";

/** What noVNC takes for a connection. */
class Channel {
	constructor() {
		this.binaryType = "arraybuffer";
		this.protocol = "";
		this.readyState = "connecting";
		this.onopen = () => {};
		this.onmessage = (/** @type {{ data: ArrayBuffer }} */ _) => {};
		this.onclose = (/** @type {object} */ _) => {};
		this.onerror = () => {};
	}

	/** @param {ArrayBuffer | Uint8Array} data */
	send(data) {
		sendToScreen(data instanceof Uint8Array ? data : new Uint8Array(data));
	}

	close() {
		this.readyState = "closed";
		showScreen(null);
	}
}

let channel = /** @type {Channel | null} */ (null);
let rfb = /** @type {any} */ (null);
let shown = "";

/** @param {HTMLElement} root */
export function screenPanel(root = h("div", { id: "screen", class: "fill screen" })) {
	const glass = h("div", { class: "fill" });
	const note = h("p", { class: "screen-note dim", role: "status" });
	root.append(glass, note);

	const close = () => {
		shown = "";
		rfb?.disconnect();
		rfb = null;
		channel = null;
		glass.replaceChildren();
	};
	const open = () => {
		const vm = currentVm();
		const wanted = view.tab === "screen" && vm?.screen ? vm.name : "";
		if (wanted === shown) return;
		close();
		note.textContent = !vm ? "" : vm.screen ? (wanted ? "Connecting …" : "") : `${vm.name} has no screen. Start one with a screen: “+ start”, or glassbox run --screen.`;
		if (!wanted) return;
		shown = wanted;
		channel = new Channel();
		rfb = new RFB(glass, channel, { shared: true });
		rfb.scaleViewport = true;
		rfb.background = "transparent";
		rfb.addEventListener("connect", () => (note.textContent = ""));
		showScreen(wanted);
	};

	onScreen((bytes) => channel?.onmessage({ data: bytes.slice().buffer }));
	on("screen", (message) => {
		if (message.state === "open" && channel) {
			channel.readyState = "open";
			channel.onopen();
		} else if (message.state === "closed") {
			const text = message.reason ?? "the screen was closed";
			if (channel) channel.readyState = "closed";
			channel?.onclose({ code: 1000, reason: text });
			close();
			note.textContent = text;
		}
	});
	on("connected", () => {
		close();
		open();
	});
	on("vms", open);
	watch(["tab", "vm"], open);
	return { root, refresh: open };
}
