// @ts-check
/** Lower panels that show one call's list, refreshed while they are open. */
import { query } from "../api.js";
import { h, update } from "../dom.js";
import { view } from "../store.js";

const REFRESH_MS = 2500;

/** ORDER lower lists: tab, call, arguments, columns, newest first. */
export const lists = [
	{ tab: "dmesg", call: "dmesg", columns: ["time_ns", "level", "text"], last: true },
	{ tab: "sockets", call: "sockets", columns: ["pid", "family", "proto", "local", "remote", "state"] },
	{ tab: "files", call: "files", columns: ["pid", "fd", "type", "path"] },
	{ tab: "modules", call: "lsmod", columns: ["name", "size", "refcount", "state", "address"] },
	{ tab: "mounts", call: "mounts", columns: ["mountpoint", "fstype", "device", "options"] },
	{ tab: "changes", call: "diff", columns: ["time_ns", "change", "table", "row"], args: { since: "10m" }, last: true },
	{ tab: "learning", call: "kernels", columns: ["id", "symbol", "pattern", "tier", "executions", "speedup", "state"] },
	{ tab: "hot", call: "hot", columns: ["address", "symbol", "executions", "instructions", "share", "class"] },
];

/**
 * @param {string} name
 * @param {any} value
 */
function cell(name, value) {
	if (value === null || value === undefined) return "";
	if (name === "time_ns") {
		const seconds = Number(value) / 1e9;
		return seconds > 1e8 ? new Date(seconds * 1000).toLocaleTimeString() : seconds.toFixed(6);
	}
	if (name === "row") return Object.entries(value).filter(([k, v]) => v !== null && !/_ns|row_id|host|vm|last_/.test(k)).map(([k, v]) => `${k}=${v}`).join(" ");
	return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/**
 * @param {typeof lists[0]} list
 * @param {HTMLElement} root
 */
async function refresh(list, root) {
	try {
		const rows = await query(view.vm ?? "", list.call, /** @type {any} */ (list.args ?? {}));
		const shown = list.last ? rows.slice(-500).reverse() : rows.slice(0, 1000);
		update(root, JSON.stringify(shown), () => [rows.length ? h("table", {},
			h("thead", {}, h("tr", {}, ...list.columns.map((name) => h("th", {}, name.replace("_ns", ""))))),
			h("tbody", {}, ...shown.map((/** @type {any} */ row) => h("tr", {}, ...list.columns.map((name) => h("td", {}, cell(name, row[name])))))))
			: h("p", { class: "dim" }, "Nothing here.")]);
	} catch (error) {
		const text = /** @type {Error} */ (error).message;
		update(root, text, () => [h("p", { class: "dim" }, text)]);
	}
}

/** @param {typeof lists[0]} list */
export function listPanel(list) {
	const root = h("div", { class: "fill scroll list", id: `list-${list.tab}` });
	const turn = async () => {
		if (view.tab === list.tab && view.vm) await refresh(list, root);
		setTimeout(turn, REFRESH_MS);
	};
	turn();
	return { root, refresh: () => view.vm && refresh(list, root) };
}
