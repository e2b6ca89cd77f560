// @ts-check
/** Puts the page together. */
import { query, takeToken } from "./api.js";
import { h } from "./dom.js";
import { Landscape } from "./landscape.js";
import { connect, on } from "./live.js";
import { askBox } from "./panels/ask.js";
import { consolePanel, fitConsole } from "./panels/console.js";
import { inspectorPanel } from "./panels/inspector.js";
import { lists, listPanel } from "./panels/lists.js";
import { processesPanel, processName, show as showProcesses } from "./panels/processes.js";
import { modeButtons, showLegend, toolsPanel } from "./panels/tools.js";
import { refreshVms, takeVms, vmsPanel } from "./panels/vms.js";
import { MODES } from "./renderer.js";
import { readAddress, set, view, watch } from "./store.js";

takeToken();
readAddress();

const stage = h("div", { class: "stage", id: "stage" });
const hud = h("div", { class: "hud", id: "hud", role: "status", "aria-label": "Performance" });
const tip = h("div", { class: "tip", id: "tip", hidden: true });
const state = h("span", { class: "state", id: "vm-state" });
/** @type {any[]} */
let kinds = [];
let legendTimer = 0;

const landscape = new Landscape(stage, {
	hello: (hello) => {
		kinds = hello.kinds;
		label();
	},
	state: (message) => {
		state.textContent = message.state;
		state.className = `state ${message.state}`;
	},
	counts: () => {
		if (legendTimer) return;
		legendTimer = window.setTimeout(() => {
			legendTimer = 0;
			if (landscape.counts) showLegend(kinds, landscape.counts);
		}, 300);
	},
	picked: () => {},
	hovered: (hit, x, y) => {
		tip.hidden = !hit;
		if (!hit) return;
		const name = hit.owner ? ` · ${processName(hit.owner)} (pid ${hit.owner})` : "";
		tip.textContent = `0x${hit.address.toString(16)} · ${hit.kind?.name ?? ""}${name}`;
		tip.style.transform = `translate(${x + 14}px, ${y + 14}px)`;
	},
	hud: showHud,
});

/** @param {any} n */
function showHud(n) {
	const fps = n.frameMs > 0 ? Math.min(999, 1000 / n.frameMs) : 0;
	hud.textContent = `${fps.toFixed(0)} fps · ${n.frameMs.toFixed(1)} ms · ${Math.round(n.scale * 100)} % · LOD ${n.lod.toFixed(1)} · ` +
		`${n.mbPerSecond.toFixed(1)} MB/s · ${n.pagesPerSecond} pages/s · ${n.resident} pages · ${n.drawing}${n.source ? ` · dirty pages: ${n.source}` : ""}`;
}

/** @param {{ start: string, end: string }[]} rows */
const toRanges = (rows) => rows.map((row) => ({ start: Number(row.start), end: Number(row.end) }));

/** @param {number} pid */
async function flyToProcess(pid) {
	try {
		const ranges = toRanges(await query(view.vm ?? "", "regions", { pid: String(pid) }));
		landscape.flyToRanges(ranges);
		const first = ranges[0];
		if (first) landscape.setLabels([...landscape.labels.filter((l) => !l.text.startsWith("● ")), { ...first, text: `● ${processName(pid)} ${pid}`, colour: "#ffd479" }]);
	} catch {
		landscape.flyHome();
	}
}

/** Labels of the kernel's sections and the largest regions. */
async function label() {
	try {
		const regions = await query(view.vm ?? "", "regions");
		const wanted = new Map();
		for (const region of regions) {
			if (["free", "none", "anon", "page-cache"].includes(region.kind)) continue;
			const best = wanted.get(region.kind);
			if (!best || region.pages > best.pages) wanted.set(region.kind, region);
		}
		landscape.setLabels([...wanted.values()].filter((r) => r.pages >= 8).map((r) => ({ start: Number(r.start), end: Number(r.end), text: r.owner ? `${r.kind} · ${r.owner}` : r.kind })));
	} catch {
		landscape.setLabels([]);
	}
}

/** @param {{ start: number, end: number }[]} ranges */
function light(ranges) {
	landscape.select(ranges);
	if (ranges.length) landscape.flyToRanges(ranges);
}

function lower() {
	const panels = new Map([["console", { root: consolePanel(), refresh: fitConsole }]]);
	for (const list of lists) panels.set(list.tab, /** @type {any} */ (listPanel(list)));
	const tabs = h("div", { class: "tabs", role: "tablist" });
	const body = h("div", { class: "tab-body" });
	const show = () => {
		tabs.replaceChildren(...[...panels.keys()].map((name) => h("button", { role: "tab", "aria-selected": String(view.tab === name), class: view.tab === name ? "on" : "", "data-tab": name,
			onclick: () => set({ tab: name }) }, name)));
		for (const [name, panel] of panels) panel.root.hidden = name !== view.tab;
		panels.get(view.tab)?.refresh();
	};
	body.append(...[...panels.values()].map((panel) => panel.root));
	watch(["tab"], show);
	show();
	return h("section", { class: "lower", "aria-label": "Details" }, tabs, body);
}

function theme() {
	const stored = localStorage.getItem("glassbox-theme");
	if (stored) document.documentElement.dataset.theme = stored;
	return h("button", { class: "small", title: "Dark or light", "aria-label": "Switch between dark and light", onclick: () => {
		const light = getComputedStyle(document.documentElement).colorScheme !== "light";
		document.documentElement.dataset.theme = light ? "light" : "dark";
		localStorage.setItem("glassbox-theme", light ? "light" : "dark");
	} }, "◐");
}

const help = /** @type {HTMLDialogElement} */ (h("dialog", { id: "help" }, h("h2", {}, "Keys and gestures"), h("table", {}, ...[
	["drag", "turn"], ["shift + drag, right drag, W A S D", "move"], ["wheel, pinch, + −", "zoom"], ["click", "inspect a byte"], ["double click", "fly to a page"],
	["F", "show all"], ["1 – 5", "kind, owner, byte, entropy, heat"], ["/", "ask a question"], ["Esc", "let go of the selection"], ["?", "this help"]].map(([key, what]) =>
	h("tr", {}, h("th", {}, key), h("td", {}, what)))), h("button", { onclick: () => help.close() }, "Close")));

document.addEventListener("keydown", (event) => {
	const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLTextAreaElement;
	if (event.key === "Escape") {
		set({ pid: null });
		landscape.select([]);
		showProcesses();
	}
	if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
	if (event.key === "?") help.showModal();
	if (event.key === "/") {
		event.preventDefault();
		document.getElementById("ask")?.focus();
	}
	if (/^[1-5]$/.test(event.key)) set({ mode: MODES[Number(event.key) - 1] });
});

const link = h("span", { class: "link", id: "link", role: "status" });
on("connected", () => (link.textContent = ""));
on("disconnected", () => (link.textContent = "reconnecting …"));
on("vms", (message) => takeVms(message.vms));
watch(["vm"], () => {
	refreshVms();
	document.title = view.vm ? `${view.vm} · glassbox` : "glassbox";
});
watch(["hidden"], () => landscape.counts && showLegend(kinds, landscape.counts));

const app = /** @type {HTMLElement} */ (document.getElementById("app"));
app.append(
	h("header", { class: "top" }, h("a", { class: "brand", href: "/" }, h("img", { src: "/icon.svg", alt: "", width: 22, height: 22 }), "glassbox"), state,
		askBox(light), modeButtons(), link, h("button", { class: "small", onclick: () => help.showModal(), "aria-label": "Help" }, "?"), theme()),
	h("aside", { class: "left" }, vmsPanel(), processesPanel(flyToProcess)),
	h("main", { class: "middle" }, stage, lower()),
	h("aside", { class: "right" }, inspectorPanel(), h("section", { class: "kinds", "aria-label": "Kinds of pages" }, h("header", {}, h("h2", {}, "Kinds of pages")),
		h("div", { class: "legend", id: "legend", role: "group", "aria-label": "Show or hide kinds" }))),
	h("div", { id: "notices" }), help, tip);
stage.append(hud, toolsPanel(() => landscape.flyHome()));

connect();
landscape.start().then(() => landscape.open(view.vm));
