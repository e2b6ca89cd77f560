// @ts-check
/** The query box: plain questions, with history and examples; answers light up and fly to what they are about. */
import { query } from "../api.js";
import { h } from "../dom.js";
import { view } from "../store.js";

const KEY = "glassbox-questions";
const examples = ["What processes are running?", "Which process uses the most memory?", "Highlight kernel memory allocations", "Page tables of PID 1",
	"Is anything listening on port 80?", "What changed in the last minute?", "How much memory is free?", "Show kernel errors", "Where is init_task?"];

/** @returns {string[]} */
const past = () => JSON.parse(localStorage.getItem(KEY) ?? "[]");

/** @param {string} question */
function remember(question) {
	localStorage.setItem(KEY, JSON.stringify([question, ...past().filter((q) => q !== question)].slice(0, 50)));
	options();
}

function options() {
	const list = document.getElementById("questions");
	list?.replaceChildren(...[...past(), ...examples].map((value) => h("option", { value })));
}

/** @param {any} answer */
function table(answer) {
	const rows = answer.rows ?? [];
	const columns = (answer.columns?.length ? answer.columns : Object.keys(rows[0] ?? {})).slice(0, 8);
	if (!rows.length || !columns.length) return null;
	const text = (/** @type {any} */ v) => (v === null || v === undefined ? "" : typeof v === "object" ? JSON.stringify(v) : String(v));
	return h("div", { class: "scroll answer-rows" }, h("table", {}, h("thead", {}, h("tr", {}, ...columns.map((/** @type {string} */ c) => h("th", {}, c)))),
		h("tbody", {}, ...rows.slice(0, 200).map((/** @type {any} */ row) => h("tr", {}, ...columns.map((/** @type {string} */ c) => h("td", {}, text(row[c]))))))));
}

/** @param {(ranges: { start: number, end: number }[], focus: string | null) => void} light */
export function askBox(light) {
	const panel = h("div", { id: "answer", class: "answer", hidden: true, "aria-live": "polite" });
	const close = () => {
		panel.hidden = true;
		light([], null);
	};
	const show = (/** @type {(Node | null)[]} */ ...parts) => {
		panel.hidden = false;
		panel.replaceChildren(h("button", { class: "close small", "aria-label": "Close the answer", onclick: close }, "×"), ...(/** @type {Node[]} */ (parts.filter((p) => p !== null))));
	};
	const ask = async (/** @type {string} */ question) => {
		if (!view.vm) return show(h("p", { class: "error" }, "Choose a VM first."));
		try {
			const answer = await query(view.vm, "ask", { question });
			remember(question);
			show(h("p", { id: "answer-text" }, answer.answer), table(answer), h("p", { class: "dim" }, `understood as: ${answer.understood}`));
			light((answer.ranges ?? []).map((/** @type {any} */ r) => ({ start: Number(r.start), end: Number(r.end) })), answer.focus ?? null);
		} catch (error) {
			show(h("p", { class: "error" }, /** @type {Error} */ (error).message));
		}
	};
	const input = /** @type {HTMLInputElement} */ (h("input", { id: "ask", type: "text", list: "questions", autocomplete: "off", "aria-label": "Ask about this guest",
		placeholder: "Ask: which process uses the most memory?", onkeydown: (/** @type {KeyboardEvent} */ event) => {
			if (event.key === "Enter" && input.value.trim()) ask(input.value.trim());
			if (event.key === "Escape") close();
		} }));
	setTimeout(options, 0);
	return h("div", { class: "ask", role: "search" }, input, h("datalist", { id: "questions" }), panel);
}
