// @ts-check
/** The process list: searchable, refreshed, and a click selects a process. Of a past moment when
 * one is shown. */
import { query } from "../api.js";
import { h, update } from "../dom.js";
import { cssColour, ownerColour, ownerSlot } from "../palette.js";
import { settings } from "../settings.js";
import { set, view, watch } from "../store.js";

/** @type {any[]} */
let rows = [];
let filter = "";
let failure = "";

function matching() {
	const text = filter.toLowerCase();
	return rows.filter((row) => !text || `${row.pid} ${row.comm} ${row.args ?? ""}`.toLowerCase().includes(text));
}

/** @param {any} row */
function line(row) {
	const chosen = row.pid === view.pid;
	return h("tr", { class: `${chosen ? "chosen" : ""}${row.kthread ? " kthread" : ""}`, tabindex: "0", "data-pid": row.pid, "aria-selected": String(chosen),
		title: row.args ?? row.comm, onclick: () => choose(row.pid), onkeydown: (/** @type {KeyboardEvent} */ e) => e.key === "Enter" && choose(row.pid) },
		h("td", { class: "n" }, String(row.pid)),
		h("td", {}, h("i", { class: "owner", style: `background:${cssColour(ownerColour(ownerSlot(row.kthread ? 0 : row.pid)))}` }), row.comm),
		h("td", {}, row.state), h("td", { class: "n" }, row.rss_pages === null ? "" : `${((row.rss_pages * 4096) / 1048576).toFixed(1)}`));
}

/** @param {number} pid */
const choose = (pid) => set({ pid: view.pid === pid ? null : pid });

export function show() {
	const body = document.getElementById("process-rows");
	const note = document.getElementById("process-note");
	if (!body || !note) return;
	const shown = matching();
	update(body, JSON.stringify([shown.map((r) => [r.pid, r.comm, r.state, r.rss_pages]), view.pid]), () => shown.map(line));
	const when = view.past ? ` at ${new Date(Number(view.past) * 1000).toLocaleTimeString()}` : "";
	note.textContent = failure || (view.vm ? (shown.length ? `${shown.length} of ${rows.length}${when}` : "No process matches.") : "");
	note.classList.toggle("error", Boolean(failure));
}

async function read() {
	const { vm, past } = view;
	if (!vm) {
		rows = [];
	} else {
		try {
			const answer = await (past ? query(vm, "history", { table: "processes", at: `@${past}` }) : query(vm, "ps"));
			if (vm !== view.vm || past !== view.past) return;
			rows = answer;
			failure = "";
		} catch (error) {
			if (vm !== view.vm) return;
			rows = [];
			failure = /** @type {Error} */ (error).message;
		}
	}
	show();
}

async function refresh() {
	if (!document.hidden) await read();
	setTimeout(refresh, settings.refresh * 1000);
}

/** @param {number} pid */
export const processName = (pid) => rows.find((row) => row.pid === pid)?.comm ?? "";
export const processes = () => rows;

export function processesPanel() {
	const search = h("input", { type: "search", placeholder: "filter", "aria-label": "Filter processes", id: "process-filter",
		oninput: (/** @type {Event} */ event) => {
			filter = /** @type {HTMLInputElement} */ (event.target).value;
			show();
		} });
	watch(["vm"], () => {
		rows = [];
		show();
		read();
	});
	watch(["past"], read);
	watch(["pid"], show);
	refresh();
	return h("section", { class: "grow", "aria-label": "Processes" }, h("header", {}, h("h2", {}, "Processes"), search),
		h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, h("th", { class: "n" }, "pid"), h("th", {}, "name"), h("th", {}, "S"), h("th", { class: "n" }, "MiB"))),
			h("tbody", { id: "process-rows" }))), h("footer", { id: "process-note", class: "dim", role: "status" }));
}
