// @ts-check
/** What was learned of the guest's code and who does its work: shares by substrate, proved kernels with their proofs
 * and speedups, the hottest code. */
import { change, query, request } from "../api.js";
import { h, update } from "../dom.js";
import { set, view } from "../store.js";
import { whileOpen } from "./lists.js";
import { notify } from "./notice.js";
import { table } from "./table.js";

/** ORDER substrates: key of `share` in hybrid's answer, name, colour */
const SUBSTRATES = [["qemu", "QEMU", "#5b6b80"], ["native", "Pixel CPU on the CPU", "#4cc38a"], ["gpu", "Pixel CPU on the GPU", "#5ec8f2"]];

/** @param {any} share   percent by substrate, or null where unknown */
function shares(share) {
	if (!share || share.qemu === null || share.qemu === undefined) return h("p", { class: "dim" }, "Who does the work is known once offload was on for a moment and loops were learned.");
	const percent = (/** @type {number} */ v) => `${v.toFixed(v > 0 && v < 10 ? 1 : 0)} %`;
	return h("div", { id: "shares" },
		h("div", { class: "bar-of-shares", role: "img", "aria-label": SUBSTRATES.map(([key, name]) => `${name} ${percent(share[key] ?? 0)}`).join(", ") },
			...SUBSTRATES.map(([key, , colour]) => h("i", { style: `width:${share[key] ?? 0}%;background:${colour}` }))),
		h("p", { class: "keys" }, ...SUBSTRATES.map(([key, name, colour]) => h("span", {}, h("i", { class: "owner", style: `background:${colour}` }), `${name} `, h("b", {}, percent(share[key] ?? 0))))));
}

/**
 * Rows of the library joined with what they did in this guest.
 * @param {any[]} library
 * @param {any[]} slots
 */
function kernelRows(library, slots) {
	return library.map((kernel) => {
		const slot = slots.find((s) => kernel.id.startsWith(String(s.id).slice(2)) || s.id === kernel.id) ?? {};
		const speedup = slot.speedup ?? kernel.speedup;
		return { symbol: kernel.symbol, pattern: kernel.pattern, proof: kernel.proof ? `${kernel.proof.status} in ${Number(kernel.proof.ms).toFixed(1)} ms` : "", tests: kernel.tests,
			tier: slot.tier ?? kernel.tier ?? "", executions: slot.executions ?? kernel.executions, speedup: speedup ? `${Number(speedup).toFixed(1)} ×` : "", state: slot.state ?? kernel.state };
	});
}

/** @param {any[]} hot */
function hotTable(hot) {
	return table(hot.slice(0, 40), ["symbol", "share", "executions", "instructions", "class"], (row) => [
		h("button", { class: "small", title: "Show this code in the inspector", onclick: () => showCode(row.address) }, "show")]);
}

/** @param {string} address   virtual, of the kernel */
async function showCode(address) {
	try {
		const answer = await query(view.vm ?? "", "vtop", { address });
		set({ at: answer.physical });
	} catch (error) {
		notify(/** @type {Error} */ (error).message, "error");
	}
}

export function learningPanel() {
	const work = h("div", {});
	const kernels = h("div", {});
	const hot = h("div", {});
	const toggle = /** @type {HTMLButtonElement} */ (h("button", { class: "small", id: "offload-switch", onclick: async () => {
		try {
			await change(view.vm ?? "", "offload", { state: toggle.dataset.state === "on" ? "off" : "on" });
		} catch (error) {
			notify(/** @type {Error} */ (error).message, "error");
		}
		refresh();
	} }, "offload"));
	const failed = (/** @type {HTMLElement} */ root) => (/** @type {Error} */ error) => update(root, error.message, () => [h("p", { class: "dim" }, error.message)]);

	const showWork = async () => {
		const vm = view.vm ?? "";
		const [hybrid, library] = await Promise.allSettled([query(vm, "hybrid"), request("/api/v1/kernels")]);
		const answer = hybrid.status === "fulfilled" ? hybrid.value : null;
		toggle.dataset.state = answer?.offload ?? "off";
		toggle.textContent = answer?.offload !== "on" ? "switch offload on" : answer.asleep ? "offload is on, asleep: switch off" : "offload is on: switch off";
		toggle.title = answer?.asleep ? "No known loop is hot: QEMU's code is left alone until one is" : "";
		toggle.disabled = !answer;
		update(work, JSON.stringify(answer?.share ?? null), () => [answer ? shares(answer.share) : h("p", { class: "dim" }, hybrid.status === "rejected" ? hybrid.reason.message : "")]);
		if (library.status === "rejected") return failed(kernels)(library.reason);
		const rows = kernelRows(library.value, answer?.kernels ?? []);
		update(kernels, JSON.stringify(rows), () => [rows.length ? table(rows) : h("p", { class: "dim" }, "No kernel was learned yet: glassbox learn VM, or the call “learn”.")]);
	};
	const showHot = () => query(view.vm ?? "", "hot").then((rows) => update(hot, JSON.stringify(rows), () => [rows.length ? hotTable(rows) : h("p", { class: "dim" }, "Nothing was watched yet.")]), failed(hot));
	const refresh = async () => {
		await Promise.all([showWork(), showHot()]);
	};
	whileOpen("learning", refresh);
	return { root: h("div", { class: "fill scroll list pad", id: "list-learning", tabindex: "0" }, h("h3", {}, "Share of the guest's instructions ", toggle), work, h("h3", {}, "Learned kernels"), kernels, h("h3", {}, "Hot code"), hot), refresh };
}
