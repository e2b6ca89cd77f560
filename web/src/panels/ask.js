// @ts-check
/** The query box: plain questions, with history and examples; answers light up and fly to what they are about. */
import { query } from "../api.js";
import { h } from "../dom.js";
import { view } from "../store.js";
import { processes } from "./processes.js";
import { table } from "./table.js";

const KEY = "glassbox-questions";
const examples = ["What processes are running?", "Which process uses the most memory?", "Highlight kernel memory allocations", "Page tables of PID 1",
	"Is anything listening on port 80?", "What changed in the last minute?", "How much memory is free?", "Show kernel errors", "Where is init_task?"];

/** @returns {string[]} */
function past() {
	try {
		return JSON.parse(localStorage.getItem(KEY) ?? "[]");
	} catch {
		return [];
	}
}

/** @param {string} question */
function remember(question) {
	localStorage.setItem(KEY, JSON.stringify([question, ...past().filter((q) => q !== question)].slice(0, 50)));
	options();
}

/** What was asked, examples, and questions about the processes that run now. */
function options() {
	const list = document.getElementById("questions");
	const names = [...new Set(processes().filter((row) => !row.kthread).map((row) => row.comm))].slice(0, 30);
	const about = names.flatMap((name) => [`page tables of ${name}`, `show me the kernel stack of ${name}`, `which files does ${name} have open?`]);
	list?.replaceChildren(...[...new Set([...past(), ...examples, ...about])].map((value) => h("option", { value })));
}

/**
 * The nearest questions that would have been understood.
 * @param {any} answer
 * @param {(question: string) => void} ask
 */
function suggestions(answer, ask) {
	const list = (answer.suggestions ?? []).slice(0, 5);
	return list.length ? h("p", { class: "bar" }, ...list.map((/** @type {string} */ text) => h("button", { class: "small", onclick: () => ask(text) }, text))) : null;
}

/** @param {any} answer */
function rowsOf(answer) {
	const rows = answer.rows ?? [];
	const columns = (answer.columns?.length ? answer.columns : Object.keys(rows[0] ?? {})).slice(0, 8);
	if (!rows.length || !columns.length) return null;
	return h("div", { class: "scroll answer-rows", tabindex: "0" }, table(rows.slice(0, 200), columns));
}

/** @param {(ranges: { start: number, end: number, text: string }[]) => void} light   shows what an answer is about */
export function askBox(light) {
	const panel = h("div", { id: "answer", class: "answer", hidden: true, "aria-live": "polite" });
	const close = () => {
		panel.hidden = true;
		light([]);
	};
	const show = (/** @type {(Node | null)[]} */ ...parts) => {
		panel.hidden = false;
		panel.replaceChildren(h("button", { class: "close small", "aria-label": "Close the answer", onclick: close }, "×"), ...(/** @type {Node[]} */ (parts.filter((p) => p !== null))));
	};
	const ask = async (/** @type {string} */ question) => {
		input.value = question;
		if (!view.vm) return show(h("p", { class: "error" }, "Choose a VM first."));
		try {
			const answer = await query(view.vm, "ask", { question });
			remember(question);
			show(h("p", { id: "answer-text" }, answer.answer), rowsOf(answer), suggestions(answer, ask), h("p", { class: "dim" }, `understood as: ${answer.understood}`));
			light((answer.ranges ?? []).map((/** @type {any} */ r) => ({ start: Number(r.start), end: Number(r.end), text: r.label ?? r.name ?? r.kind ?? r.start })));
		} catch (error) {
			show(h("p", { class: "error" }, /** @type {Error} */ (error).message));
		}
	};
	const input = /** @type {HTMLInputElement} */ (h("input", { id: "ask", type: "text", list: "questions", autocomplete: "off", "aria-label": "Ask about this guest",
		placeholder: "Ask: which process uses the most memory?", onfocus: options, onkeydown: (/** @type {KeyboardEvent} */ event) => {
			if (event.key === "Enter" && input.value.trim()) ask(input.value.trim());
			if (event.key === "Escape") close();
		} }));
	return h("div", { class: "ask", role: "search" }, input, h("datalist", { id: "questions" }), panel);
}
