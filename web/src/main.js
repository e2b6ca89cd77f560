// @ts-check
/** Puts the page together. */
import { aboutProcess, answerLabels, kernelLabels, Tip } from "./about.js";
import { takeToken } from "./api.js";
import { h } from "./dom.js";
import { Landscape } from "./landscape.js";
import { connect, on } from "./live.js";
import { askBox } from "./panels/ask.js";
import { callsPanel } from "./panels/calls.js";
import { consolePanel, fitConsole } from "./panels/console.js";
import { helpDialog } from "./panels/help.js";
import { hudPanel } from "./panels/hud.js";
import { inspectorPanel, markInHex } from "./panels/inspector.js";
import { learningPanel } from "./panels/learning.js";
import { lists, listPanel } from "./panels/lists.js";
import { notify } from "./panels/notice.js";
import { processPanel } from "./panels/process.js";
import { processesPanel, processName } from "./panels/processes.js";
import { screenPanel } from "./panels/screen.js";
import { applyTheme, settingsDialog } from "./panels/settings.js";
import { snapshotsPanel } from "./panels/snapshots.js";
import { Timeline } from "./panels/timeline.js";
import { modeButtons, showLegend, toolsPanel } from "./panels/tools.js";
import { refreshVms, startDialog, takeVms, vmsPanel } from "./panels/vms.js";
import { MODES } from "./renderer.js";
import { changeSettings, onSettings, settings } from "./settings.js";
import { readAddress, set, view, watch } from "./store.js";

takeToken();
readAddress();
applyTheme();

const stage = h("div", { class: "stage", id: "stage" });
const hud = hudPanel();
const tip = new Tip(h("div", { class: "tip", id: "tip", hidden: true, role: "tooltip" }), processName);
const state = h("span", { class: "state", id: "vm-state", role: "status" });
let legendTimer = 0;
/** @type {import("./overlay.js").Label[]} */
let sections = [];

const landscape = new Landscape(stage, {
	hello: () => {
		nameSections();
		if (view.pid !== null) showProcess();
	},
	state: (guest, message) => {
		if (guest.vm !== view.vm) return;
		state.textContent = message.state;
		state.className = `state ${message.state}`;
	},
	changed: (guest) => {
		if (guest.vm !== view.vm || legendTimer) return;
		legendTimer = window.setTimeout(() => {
			legendTimer = 0;
			legend();
		}, 300);
	},
	hovered: (hit, x, y) => {
		const box = stage.getBoundingClientRect();
		tip.show(hit, box.left + x, box.top + y);
		markInHex(hit?.isExact && hit.vm === view.vm ? hit.address : null);
	},
	hud: hud.show,
});

function legend() {
	const pages = landscape.guest?.pages;
	if (pages) showLegend(/** @type {any} */ (pages.kinds), pages.shownCounts());
}

async function nameSections() {
	try {
		sections = await kernelLabels();
	} catch {
		sections = [];
	}
	if (view.pid === null) landscape.setLabels(sections);
}

/** Lights a process's pages and page tables, names them, and flies there. */
async function showProcess() {
	const pid = view.pid;
	if (pid === null) return landscape.setLabels(sections);
	try {
		const { ranges, labels } = await aboutProcess(pid, processName(pid));
		if (view.pid !== pid) return;
		landscape.setLabels(labels);
		landscape.flyToRanges(ranges);
	} catch {
		landscape.flyHome();
	}
}

/** @param {{ start: number, end: number, text: string }[]} ranges */
function light(ranges) {
	if (ranges.length) set({ pid: null });
	landscape.select(ranges);
	landscape.setLabels(ranges.length ? answerLabels(ranges) : sections);
	if (ranges.length) landscape.flyToRanges(ranges);
}

function lower() {
	/** @type {Map<string, { root: HTMLElement, refresh: () => any }>} */
	const panels = new Map([["console", { root: consolePanel(), refresh: fitConsole }], ["screen", screenPanel()], ["process", processPanel()]]);
	for (const list of lists) panels.set(list.tab, listPanel(list));
	panels.set("learning", learningPanel());
	panels.set("snapshots", snapshotsPanel());
	panels.set("calls", callsPanel());
	if (!panels.has(view.tab)) set({ tab: "console" });
	const names = [...panels.keys()];
	const tabs = h("div", { class: "tabs", role: "tablist", "aria-label": "Details", onkeydown: (/** @type {KeyboardEvent} */ event) => {
		const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
		if (!step) return;
		set({ tab: names[(names.indexOf(view.tab) + step + names.length) % names.length] });
		document.getElementById(`tab-${view.tab}`)?.focus();
	} }, ...names.map((name) => h("button", { role: "tab", id: `tab-${name}`, "aria-controls": `panel-${name}`, "data-tab": name, onclick: () => set({ tab: name }) }, name)));
	const show = () => {
		for (const [name, panel] of panels) {
			const chosen = name === view.tab;
			const tab = /** @type {HTMLElement} */ (tabs.querySelector(`[data-tab="${name}"]`));
			tab.className = chosen ? "on" : "";
			tab.setAttribute("aria-selected", String(chosen));
			tab.tabIndex = chosen ? 0 : -1;
			if (chosen) tab.scrollIntoView({ block: "nearest", inline: "nearest" });
			/** @type {HTMLElement} */ (panel.root.parentElement).hidden = !chosen;
		}
		panels.get(view.tab)?.refresh();
	};
	const body = h("div", { class: "tab-body" }, ...names.map((name) => h("div", { class: "fill", role: "tabpanel", id: `panel-${name}`, "aria-labelledby": `tab-${name}` }, /** @type {any} */ (panels.get(name)).root)));
	watch(["tab", "vm"], show);
	setTimeout(show, 0);
	return h("section", { class: "lower", "aria-label": "Details" }, tabs, body);
}

/** On small screens the sides are drawers. */
function drawer(/** @type {"left" | "right"} */ side, /** @type {string} */ name, /** @type {string} */ sign) {
	const button = h("button", { class: `small drawer ${side}-drawer`, "aria-expanded": "false", "aria-label": `Show ${name}`, title: name, onclick: () => {
		const opened = document.body.classList.toggle(`${side}-open`);
		document.body.classList.remove(side === "left" ? "right-open" : "left-open");
		button.setAttribute("aria-expanded", String(opened));
	} }, sign);
	return button;
}

const help = helpDialog();
const settingsBox = settingsDialog();
const start = startDialog();
const timeline = new Timeline((rows) => {
	const isShown = landscape.showPast(rows);
	legend();
	return isShown;
});

/** @type {Record<string, () => void>} */
const keys = {
	"?": () => help.showModal(),
	"/": () => document.getElementById("ask")?.focus(),
	g: () => set({ wire: view.wire ? "" : "on" }),
	l: () => changeSettings({ labels: !settings.labels }),
	n: () => set({ past: "" }),
	b: () => view.at && landscape.flyToByte(Number(view.at)),
};

document.addEventListener("keydown", (event) => {
	const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLTextAreaElement || event.target instanceof HTMLSelectElement || document.querySelector("dialog[open]") ||
		(event.target instanceof Element && event.target.closest("#screen"));
	if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
	if (event.key === "Escape") {
		set({ pid: null });
		light([]);
	}
	const key = keys[event.key.toLowerCase()];
	if (key) {
		event.preventDefault();
		key();
	}
	if (/^[1-5]$/.test(event.key)) set({ mode: MODES[Number(event.key) - 1] });
});

const link = h("span", { class: "link", id: "link", role: "status" });
on("connected", () => (link.textContent = ""));
on("disconnected", () => (link.textContent = "reconnecting …"));
on("vms", (message) => takeVms(message.vms));
watch(["vm", "beside"], () => {
	refreshVms();
	document.title = view.vm ? `${view.vm} · glassbox` : "glassbox";
	if (landscape.guest?.pages) nameSections();
});
watch(["pid"], showProcess);
watch(["hidden"], legend);
onSettings(() => landscape.redraw());
addEventListener("unhandledrejection", (event) => {
	event.preventDefault();
	notify(String(event.reason?.message ?? event.reason), "error");
});

const app = /** @type {HTMLElement} */ (document.getElementById("app"));
app.append(
	h("header", { class: "top" }, drawer("left", "machines and processes", "☰"), h("a", { class: "brand", href: "/", "aria-label": "glassbox" }, h("img", { src: "/icon.svg", alt: "", width: 22, height: 22 }), h("span", {}, "glassbox")), state,
		askBox(light), modeButtons(), link, h("button", { class: "small", id: "help-open", onclick: () => help.showModal(), title: "Keys and gestures", "aria-label": "Help" }, "?"),
		h("button", { class: "small", id: "settings-open", onclick: () => settingsBox.showModal(), title: "Settings", "aria-label": "Settings" }, "⚙"), drawer("right", "inspector and kinds", "ℹ")),
	h("aside", { class: "left", "aria-label": "Machines and processes" }, vmsPanel(() => start.showModal()), processesPanel()),
	h("main", { class: "middle" }, stage, timeline.root, lower()),
	h("aside", { class: "right", "aria-label": "Inspector and kinds" }, inspectorPanel((address) => landscape.flyToByte(address), (address) => landscape.mark(address)), h("section", { class: "kinds", "aria-label": "Kinds of pages" }, h("header", {}, h("h2", {}, "Kinds of pages")),
		h("div", { class: "legend", id: "legend", role: "group", "aria-label": "Show or hide kinds" }))),
	h("div", { id: "notices" }), help, settingsBox, start, tip.root);
stage.append(hud.root, toolsPanel(() => landscape.flyHome(), () => ({ target: landscape.camera.target, side: landscape.guest?.side ?? 512 })));

connect();
landscape.start();
performance.mark("glassbox-ready");
