// @ts-check
/** What a person likes: theme, who draws, compression, labels. Kept by this browser. */
import { h } from "../dom.js";
import { changeSettings, onSettings, settings } from "../settings.js";

export function applyTheme() {
	const light = settings.theme === "light" || (settings.theme === "system" && matchMedia("(prefers-color-scheme: light)").matches);
	document.documentElement.dataset.theme = light ? "light" : "dark";
}

/**
 * @param {string} label
 * @param {keyof import("../settings.js").Settings} key
 * @param {[any, string][]} choices
 */
function choice(label, key, choices) {
	const select = /** @type {HTMLSelectElement} */ (h("select", { id: `setting-${key}`, onchange: () => changeSettings({ [key]: choices[select.selectedIndex][0] }) },
		...choices.map(([value, text]) => h("option", { selected: settings[key] === value }, text))));
	return h("label", { class: "field" }, h("span", {}, label), select);
}

export function settingsDialog() {
	const dialog = /** @type {HTMLDialogElement} */ (h("dialog", { id: "settings", "aria-labelledby": "settings-title" },
		h("h2", { id: "settings-title" }, "Settings"),
		choice("Colours of the page", "theme", [["system", "as the system"], ["dark", "dark"], ["light", "light"]]),
		choice("Labels and boxes", "labels", [[true, "shown"], [false, "hidden"]]),
		choice("The volume is drawn by", "draw", [["auto", "this browser, if it can (reload)"], ["server", "the server (reload)"]]),
		choice("Memory is sent", "pack", [["auto", "compressed from other machines"], ["always", "always compressed"], ["never", "never compressed"]]),
		choice("While moving, aim for", "fps", [[15, "15 pictures a second"], [30, "30 pictures a second"], [60, "60 pictures a second"]]),
		choice("Lists are read every", "refresh", [[1, "second"], [2, "2 seconds"], [5, "5 seconds"]]),
		h("p", { class: "actions" }, h("button", { onclick: () => dialog.close() }, "Close"))));
	onSettings(applyTheme);
	matchMedia("(prefers-color-scheme: light)").addEventListener("change", applyTheme);
	return dialog;
}
