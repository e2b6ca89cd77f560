// @ts-check
/** Short messages at the edge of the page. */
import { h } from "../dom.js";

/**
 * @param {string} text
 * @param {"info" | "error"} [kind]
 */
export function notify(text, kind = "info") {
	const root = document.getElementById("notices");
	if (!root) return;
	const note = h("div", { class: `notice ${kind}`, role: kind === "error" ? "alert" : "status" }, text);
	root.append(note);
	setTimeout(() => note.remove(), kind === "error" ? 9000 : 4000);
}
