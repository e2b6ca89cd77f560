// @ts-check
/** A table of JSON rows. */
import { h } from "../dom.js";

/**
 * @param {string} name
 * @param {any} value
 */
export function cellText(name, value) {
	if (value === null || value === undefined) return "";
	if (/(^|_)time_ns$/.test(name)) {
		const seconds = Number(value) / 1e9;
		return seconds > 1e8 ? new Date(seconds * 1000).toLocaleTimeString() : seconds.toFixed(6);
	}
	if (name === "row") return Object.entries(value).filter(([k, v]) => v !== null && !/_ns|row_id|host|vm|last_/.test(k)).map(([k, v]) => `${k}=${v}`).join(" ");
	if (name === "share") return `${(value * 100).toFixed(1)} %`;
	if (typeof value === "number" && !Number.isInteger(value)) return value.toFixed(2);
	return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/**
 * @param {any[]} rows
 * @param {string[]} [columns]
 * @param {(row: any) => (Node | string)[]} [more]   cells at the end of each row
 */
export function table(rows, columns = Object.keys(rows[0] ?? {}).slice(0, 10), more) {
	const number = (/** @type {string} */ c) => (typeof rows.find((row) => row[c] !== null)?.[c] === "number" ? "n" : "");
	const classes = columns.map(number);
	return h("table", {}, h("thead", {}, h("tr", {}, ...columns.map((c, i) => h("th", { scope: "col", class: classes[i] }, c.replace(/_ns$/, "").replaceAll("_", " "))), more ? h("th", {}, h("span", { class: "hidden-text" }, "actions")) : null)),
		h("tbody", {}, ...rows.map((row) => h("tr", {}, ...columns.map((c, i) => h("td", { class: classes[i] }, cellText(c, row[c]))), more ? h("td", { class: "row-actions" }, ...more(row)) : null))));
}
