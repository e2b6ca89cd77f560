// @ts-check
/** The guest's serial console in a terminal. */
import { Terminal } from "xterm";
import * as fit from "xterm/lib/addons/fit/fit";
import { h } from "../dom.js";
import { on, onConsole, showConsole, typeInto } from "../live.js";
import { view, watch } from "../store.js";

/** @type {any} */
let terminal = null;

export function fitConsole() {
	if (terminal?.element && document.getElementById("console")?.offsetParent) fit.fit(terminal);
}

function attach() {
	terminal?.clear();
	terminal?.reset();
	showConsole(view.vm);
}

export function consolePanel() {
	const root = h("div", { id: "console", class: "fill" });
	terminal = new Terminal({ cursorBlink: true, rendererType: "dom", scrollback: 5000, fontSize: 13, theme: { background: "#0b0e14" } });
	const decoder = new TextDecoder();
	setTimeout(() => {
		terminal.open(root);
		fitConsole();
	}, 0);
	terminal.on("data", (/** @type {string} */ data) => typeInto(data));
	onConsole((/** @type {Uint8Array} */ bytes) => terminal.write(decoder.decode(bytes, { stream: true })));
	on("console", (message) => {
		if (message.state === "closed") terminal.write(`\r\n[console: ${message.reason ?? "closed"}]\r\n`);
	});
	watch(["vm"], attach);
	attach();
	new ResizeObserver(fitConsole).observe(root);
	return root;
}
