// @ts-check
/** Snapshots that the server keeps: take one, start a VM from one, see what changed since, throw one away. */
import { change, query, request } from "../api.js";
import { h, sizeText, update } from "../dom.js";
import { set, view } from "../store.js";
import { whileOpen } from "./lists.js";
import { notify } from "./notice.js";
import { table } from "./table.js";

/**
 * @param {string} call
 * @param {object} args
 */
const post = (call, args) => request(`/api/v1/${call}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(args) });

export function snapshotsPanel() {
	const name = /** @type {HTMLInputElement} */ (h("input", { type: "text", id: "snapshot-name", placeholder: "name (or none)", "aria-label": "Name of the snapshot", autocomplete: "off" }));
	const list = h("div", { id: "snapshot-list" });
	const changes = h("div", { id: "snapshot-changes" });

	const attempt = async (/** @type {string} */ what, /** @type {() => Promise<string>} */ work) => {
		notify(`${what} …`);
		try {
			notify(await work());
		} catch (error) {
			notify(`${what}: ${/** @type {Error} */ (error).message}`, "error");
		}
		refresh();
	};
	const take = () => attempt(`Taking a snapshot of ${view.vm}`, async () => {
		const made = await change(view.vm ?? "", "snapshot", { keep: name.value.trim() || `${view.vm}-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}` });
		name.value = "";
		return `Taken; the guest stood still for ${made.pause_ms.toFixed(1)} ms.`;
	});
	const restore = (/** @type {any} */ row) => attempt(`Starting a VM from ${row.name}`, async () => {
		const vm = await post("restore", { kept: row.name });
		set({ vm: vm.name, camera: "", pid: null, at: "" });
		return `${vm.name} runs.`;
	});
	const forget = (/** @type {any} */ row) => {
		if (confirm(`Throw the snapshot ${row.name} away?`)) attempt(`Removing ${row.name}`, async () => {
			await post("forget", { name: row.name });
			return `${row.name} is gone.`;
		});
	};
	const diff = async (/** @type {any} */ row) => {
		changes.replaceChildren(h("h3", {}, `Changed in ${view.vm} since ${row.name}`), h("p", { class: "dim" }, "Reading …"));
		try {
			const rows = await query(view.vm ?? "", "diff", { since: `@${row.taken}` });
			changes.lastElementChild?.replaceWith(rows.length ? table(rows.slice(-300).reverse(), ["time_ns", "change", "table", "row"]) : h("p", { class: "dim" }, "Nothing that was recorded."));
		} catch (error) {
			changes.lastElementChild?.replaceWith(h("p", { class: "dim" }, /** @type {Error} */ (error).message));
		}
	};
	const button = (/** @type {string} */ text, /** @type {() => void} */ onclick, /** @type {string} */ title) => h("button", { class: "small", title, onclick }, text);
	const refresh = async () => {
		try {
			const rows = await request("/api/v1/snapshots");
			update(list, JSON.stringify([rows, view.vm]), () => rows.length ? [table(rows.map((/** @type {any} */ r) => ({ ...r, size: sizeText(r.bytes), when: new Date(r.taken * 1000).toLocaleString() })),
				["name", "vm", "when", "size"], (row) => [button("restore", () => restore(row), "Start a new VM from it"), button("changes", () => diff(row), "What changed in the chosen VM since"),
					button("remove", () => forget(row), "Throw it away")])] : [h("p", { class: "empty dim" }, "No snapshot is kept.")]);
		} catch (error) {
			update(list, String(error), () => [h("p", { class: "error" }, /** @type {Error} */ (error).message)]);
		}
	};
	whileOpen("snapshots", refresh);
	return { root: h("div", { class: "fill scroll list pad", id: "list-snapshots" }, h("p", { class: "bar" }, name, h("button", { id: "snapshot-take", onclick: take }, "Take a snapshot")), list, changes), refresh };
}
