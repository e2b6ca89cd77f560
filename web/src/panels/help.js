// @ts-check
/** Keys and gestures. */
import { h } from "../dom.js";

const KEYS = [
	["drag · one finger", "turn"], ["shift + drag · right drag · two fingers · W A S D", "move"], ["wheel · pinch · + − · E Q", "zoom to where it points, down to single bytes"],
	["click · tap", "inspect a byte"], ["double click · double tap", "fly to its page"], ["B", "fly to the byte that is inspected"],
	["F", "show all"], ["1 – 5", "colour by kind, owner, byte, entropy, heat"], ["G", "wireframe"], ["L", "labels"], ["/", "ask a question"],
	["N", "back to now"], ["Esc", "let go of the selection"], ["?", "this help"]];

export function helpDialog() {
	const dialog = /** @type {HTMLDialogElement} */ (h("dialog", { id: "help", "aria-labelledby": "help-title" },
		h("h2", { id: "help-title" }, "Keys and gestures"),
		h("table", {}, h("tbody", {}, ...KEYS.map(([key, what]) => h("tr", {}, h("th", { scope: "row" }, key), h("td", {}, what))))),
		h("p", { class: "actions" }, h("button", { onclick: () => dialog.close() }, "Close"))));
	return dialog;
}
