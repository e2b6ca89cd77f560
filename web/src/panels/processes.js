// @ts-check
/** The process list: searchable, refreshed, and a click selects a process's pages and flies to them. */
import { query } from "../api.js";
import { h, update } from "../dom.js";
import { cssColour, ownerColour, ownerSlot } from "../palette.js";
import { set, view } from "../store.js";

const REFRESH_MS = 2000;
/** @type {any[]} */
let rows = [];
let filter = "";
let failure = "";
/** @type {(pid: number) => void} */
let fly = () => {};

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
function choose(pid) {
	set({ pid: view.pid === pid ? null : pid });
	show();
	if (view.pid !== null) fly(pid);
}

export function show() {
	const body = document.getElementById("process-rows");
	const note = document.getElementById("process-note");
	if (!body || !note) return;
	const shown = matching();
	update(body, JSON.stringify([shown.map((r) => [r.pid, r.comm, r.state, r.rss_pages]), view.pid]), () => shown.map(line));
	note.textContent = failure || (view.vm ? (shown.length ? `${shown.length} of ${rows.length}` : "No process matches.") : "");
}

async function refresh() {
	const vm = view.vm;
	if (vm) {
		try {
			rows = await query(vm, "ps");
			failure = "";
		} catch (error) {
			rows = [];
			failure = /** @type {Error} */ (error).message;
		}
	} else {
		rows = [];
	}
	show();
	setTimeout(refresh, REFRESH_MS);
}

/** @param {number} pid */
export const processName = (pid) => rows.find((row) => row.pid === pid)?.comm ?? "";
export const processes = () => rows;

/** @param {(pid: number) => void} flyTo */
export function processesPanel(flyTo) {
	fly = flyTo;
	const search = h("input", { type: "search", placeholder: "filter", "aria-label": "Filter processes", id: "process-filter",
		oninput: (/** @type {Event} */ event) => {
			filter = /** @type {HTMLInputElement} */ (event.target).value;
			show();
		} });
	refresh();
	return h("section", { class: "grow", "aria-label": "Processes" }, h("header", {}, h("h2", {}, "Processes"), search),
		h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, h("th", { class: "n" }, "pid"), h("th", {}, "name"), h("th", {}, "S"), h("th", { class: "n" }, "MiB"))),
			h("tbody", { id: "process-rows" }))), h("footer", { id: "process-note", class: "dim" }));
}
