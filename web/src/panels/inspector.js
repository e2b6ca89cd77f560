// @ts-check
/** What is known about one address: its page, its bytes, the instructions there. The hex view and the volume are linked:
 * the byte under the pointer stands out in both. */
import { query } from "../api.js";
import { h } from "../dom.js";
import { set, view, watch } from "../store.js";

const BYTES_SHOWN = 512;
const CODE = /text|module|cache|code|exec/;
let asked = 0;
/** @type {(address: number | null) => void} */
let markInVolume = () => {};

/** @param {any} page */
function facts(page) {
	const owner = [page.symbol ? "" : page.owner, page.owner_pid ? `pid ${page.owner_pid}` : ""].filter(Boolean).join(", ");
	const rows = [["address", page.physical], ["kind", `${page.kind}${page.meaning ? `: ${page.meaning}` : ""}`], ["owner", owner || (page.symbol ? null : "—")],
		["symbol", page.symbol], ["kernel address", page.kernel_address], ["references", page.refcount], ["mapped", page.mapcount],
		["flags", Array.isArray(page.flags) ? page.flags.join(" ") : page.flags], ["voxel", page.voxel?.join(", ")],
		["file", page.filesystem && page.owner ? `${page.owner} + ${page.file_offset}` : null]];
	const list = h("dl", { id: "page-facts" });
	for (const [name, value] of rows)
		if (value !== null && value !== undefined && value !== "") list.append(h("dt", {}, String(name)), h("dd", {}, String(value)));
	for (const mapping of (page.mappings ?? []).slice(0, 8))
		list.append(h("dt", {}, "mapped by"), h("dd", {}, h("button", { class: "plain", title: "Select this process", onclick: () => set({ pid: mapping.pid }) }, `${mapping.comm} (pid ${mapping.pid})`), ` at ${mapping.virtual} ${mapping.perms}`));
	return list;
}

/**
 * Bytes of the hex string of `read`.
 * @param {string} text
 */
const bytesOf = (text) => (text.match(/../g) ?? []).map((pair) => parseInt(pair, 16));

/**
 * 16 bytes a line; a click on a byte chooses it.
 * @param {number} start
 * @param {number[]} bytes
 * @param {number} chosen
 */
function hexView(start, bytes, chosen) {
	const root = h("div", { class: "hex", id: "hex", role: "group", "aria-label": "Bytes",
		onpointermove: (/** @type {PointerEvent} */ event) => markInVolume(addressAt(event)), onpointerleave: () => markInVolume(null),
		onclick: (/** @type {MouseEvent} */ event) => {
			const at = addressAt(event);
			if (at !== null) set({ at: `0x${at.toString(16)}` });
		} });
	for (let line = 0; line < bytes.length; line += 16) {
		const row = h("div", { class: "line" }, h("span", { class: "dim" }, (start + line).toString(16).padStart(9, "0")));
		const text = h("span", { class: "ascii" });
		for (let i = line; i < Math.min(line + 16, bytes.length); i++) {
			const address = start + i;
			const mark = address === chosen ? " chosen" : "";
			row.append(h("span", { class: `byte${bytes[i] ? "" : " zero"}${mark}`, "data-at": address }, bytes[i].toString(16).padStart(2, "0")));
			text.append(h("span", { class: mark.trim(), "data-at": address }, bytes[i] >= 32 && bytes[i] < 127 ? String.fromCharCode(bytes[i]) : "·"));
		}
		row.append(text);
		root.append(row);
	}
	return root;
}

/** @param {Event} event */
function addressAt(event) {
	const at = /** @type {HTMLElement} */ (event.target).dataset?.at;
	return at === undefined ? null : Number(at);
}

/**
 * Lights up a byte of the hex view, if it is shown.
 * @param {number | null} address
 */
export function markInHex(address) {
	const hex = document.getElementById("hex");
	for (const cell of hex?.querySelectorAll(".under") ?? []) cell.classList.remove("under");
	if (address === null) return;
	for (const cell of hex?.querySelectorAll(`[data-at="${address}"]`) ?? []) cell.classList.add("under");
}

/** @param {any[]} instructions */
const disassembly = (instructions) => h("div", { class: "code", id: "code" }, ...instructions.slice(0, 40).map((line) =>
	h("div", {}, h("span", { class: "dim" }, `${line.address}  `), line.text, line.symbol ? h("span", { class: "sym" }, `  ${line.symbol}`) : null)));

/**
 * @param {number} address
 * @param {(address: number) => void} fly
 */
function actions(address, fly) {
	return h("p", { class: "bar" }, h("button", { class: "small", id: "fly-byte", title: "Fly to this byte (key B)", onclick: () => fly(address) }, "fly to the byte"),
		h("button", { class: "small", title: "Forget the address", onclick: () => set({ at: "" }) }, "let go"));
}

/** @param {(address: number) => void} fly */
async function show(fly) {
	const root = document.getElementById("inspector");
	if (!root) return;
	const turn = ++asked;
	if (!view.at || !view.vm) {
		root.replaceChildren(h("p", { class: "dim" }, "Click a voxel to see its address, its owner and its bytes."));
		return;
	}
	const address = Number(view.at);
	const start = Math.max(0, Math.floor(address / 16) * 16 - 64);
	const vm = view.vm;
	const [page, bytes, code] = await Promise.allSettled([query(vm, "page", { address: view.at }),
		query(vm, "read", { address: `0x${start.toString(16)}`, length: String(BYTES_SHOWN) }),
		query(vm, "disasm", { address: view.at })]);
	if (turn !== asked) return;
	const parts = [];
	parts.push(page.status === "fulfilled" ? facts(page.value) : h("p", { class: "error" }, String(page.reason.message)), actions(address, fly));
	if (code.status === "fulfilled" && page.status === "fulfilled" && CODE.test(page.value.kind))
		parts.push(h("h3", {}, "Instructions"), disassembly(code.value.instructions ?? code.value));
	if (bytes.status === "fulfilled") parts.push(h("h3", {}, "Bytes"), hexView(start, bytesOf(bytes.value.bytes ?? bytes.value.hex ?? ""), address));
	root.replaceChildren(...parts);
}

/**
 * @param {(address: number) => void} fly
 * @param {(address: number | null) => void} mark   outlines a byte in the volume
 */
export function inspectorPanel(fly, mark) {
	markInVolume = mark;
	const goto = /** @type {HTMLInputElement} */ (h("input", { id: "goto", type: "text", placeholder: "0x address", "aria-label": "Go to address", onchange: () => {
		const text = goto.value.trim();
		if (/^(0x)?[0-9a-f]+$/i.test(text)) set({ at: text.startsWith("0x") ? text : `0x${text}` });
	} }));
	const look = () => {
		goto.value = view.at;
		show(fly);
	};
	watch(["at", "vm"], look);
	setTimeout(look, 0);
	return h("section", { "aria-label": "Inspector" }, h("header", {}, h("h2", {}, "Inspector"), goto), h("div", { id: "inspector", class: "scroll" }));
}
