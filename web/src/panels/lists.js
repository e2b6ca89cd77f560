// @ts-check
/** Lower panels that show one call's list, refreshed while they are open. */
import { query } from "../api.js";
import { h, update } from "../dom.js";
import { settings } from "../settings.js";
import { view } from "../store.js";
import { table } from "./table.js";

/** ORDER lower lists: tab, call, arguments, columns, newest first. */
export const lists = [
	{ tab: "dmesg", call: "dmesg", columns: ["time_ns", "level", "text"], last: true },
	{ tab: "sockets", call: "sockets", columns: ["pid", "family", "proto", "local", "remote", "state"] },
	{ tab: "files", call: "files", columns: ["pid", "fd", "type", "path"] },
	{ tab: "modules", call: "lsmod", columns: ["name", "size", "refcount", "state", "address"] },
	{ tab: "mounts", call: "mounts", columns: ["mountpoint", "fstype", "device", "options"] },
	{ tab: "changes", call: "diff", columns: ["time_ns", "change", "table", "row"], args: { since: "10m" }, last: true },
	{ tab: "audit", call: "audit", columns: ["time", "user", "call", "args", "outcome"], last: true },
];

/**
 * @param {typeof lists[0]} list
 * @param {HTMLElement} root
 */
async function refresh(list, root) {
	try {
		const rows = await query(view.vm ?? "", list.call, /** @type {any} */ (list.args ?? {}));
		const shown = list.last ? rows.slice(-500).reverse() : rows.slice(0, 1000);
		update(root, JSON.stringify(shown), () => [rows.length ? table(shown, list.columns) : h("p", { class: "empty dim" }, "Nothing here.")]);
	} catch (error) {
		const text = /** @type {Error} */ (error).message;
		update(root, text, () => [h("p", { class: "empty dim" }, text)]);
	}
}

/**
 * Runs f while a tab is open, at once and again and again.
 * @param {string} tab
 * @param {() => Promise<void> | void} f
 */
export function whileOpen(tab, f) {
	const turn = async () => {
		if (view.tab === tab && view.vm && !document.hidden) await f();
		setTimeout(turn, settings.refresh * 1000);
	};
	turn();
}

/** @param {typeof lists[0]} list */
export function listPanel(list) {
	const root = h("div", { class: "fill scroll list", id: `list-${list.tab}`, tabindex: "0" });
	const look = () => refresh(list, root);
	whileOpen(list.tab, look);
	return { root, refresh: () => view.vm && look() };
}
