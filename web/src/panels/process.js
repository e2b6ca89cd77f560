// @ts-check
/** Everything about the selected process: its memory map, files, environment, kernel stack. */
import { query } from "../api.js";
import { h, update } from "../dom.js";
import { set, view, watch } from "../store.js";
import { processName } from "./processes.js";
import { table } from "./table.js";

const PARTS = /** @type {[string, string, string[]][]} */ ([
	["maps", "Memory map", ["start", "end", "perms", "kind", "path"]],
	["files", "Open files", ["fd", "type", "path"]],
	["sockets", "Sockets", ["fd", "proto", "local", "remote", "state"]],
	["stack", "Kernel stack", ["address", "symbol"]],
	["env", "Environment", ["name", "value"]],
]);

/**
 * @param {string} call
 * @param {string} title
 * @param {string[]} columns
 * @param {string} pid
 */
async function part(call, title, columns, pid) {
	const head = h("h3", {}, title);
	try {
		const answer = await query(view.vm ?? "", call, { pid });
		const rows = Array.isArray(answer) ? answer : answer.frames ?? answer.rows ?? Object.entries(answer).map(([name, value]) => ({ name, value }));
		const known = columns.filter((c) => rows.some((/** @type {any} */ row) => c in row));
		return [head, rows.length ? table(rows.slice(0, 500), known.length ? known : undefined) : h("p", { class: "dim" }, "None.")];
	} catch (error) {
		return [head, h("p", { class: "dim" }, /** @type {Error} */ (error).message)];
	}
}

export function processPanel() {
	const root = h("div", { class: "fill scroll list pad", id: "list-process", tabindex: "0" });
	const show = async () => {
		if (view.tab !== "process") return;
		const pid = view.pid;
		if (pid === null) {
			update(root, "none", () => [h("p", { class: "empty dim" }, "Choose a process on the left: its pages and page tables light up, and this shows what it holds.")]);
			return;
		}
		const parts = await Promise.all(PARTS.map(([call, title, columns]) => part(call, title, columns, String(pid))));
		if (view.pid !== pid) return;
		update(root, `${pid} ${JSON.stringify(parts.map((p) => p[1].textContent))}`, () => [h("h2", {}, `${processName(pid)} · ${pid}`,
			h("button", { class: "small", onclick: () => set({ pid: null }) }, "let go")), ...parts.flat()]);
	};
	watch(["pid", "tab", "vm"], show);
	return { root, refresh: show };
}
