// @ts-check
/** Any call of the server, as a form made from /openapi.json: what the command line can do, the page can. */
import { request } from "../api.js";
import { h } from "../dom.js";
import { view } from "../store.js";
import { table } from "./table.js";

/** @typedef {{ name: string, path: string, method: string, group: string, summary: string, fields: any[] }} Call */

/** @returns {Promise<Call[]>} */
async function readCalls() {
	const document = await request("/openapi.json");
	const calls = [];
	for (const [path, methods] of Object.entries(document.paths)) {
		for (const [method, op] of Object.entries(/** @type {Record<string, any>} */ (methods))) {
			const body = op.requestBody?.content?.["application/json"]?.schema;
			const fields = body ? Object.entries(body.properties ?? {}).map(([name, schema]) => ({ name, schema, required: body.required?.includes(name) }))
				: op.parameters.filter((/** @type {any} */ p) => p.in === "query");
			calls.push({ name: op.operationId, path, method, group: op.tags?.[0] ?? "", summary: op.summary, fields });
		}
	}
	return calls;
}

/** @param {any} field */
function input(field) {
	const { name, schema, required } = field;
	const attributes = { id: `call-${name}`, name, required, title: schema.description ?? "" };
	if (schema.enum) return h("select", attributes, ...(required ? [] : [h("option", { value: "" }, "")]), ...schema.enum.map((/** @type {string} */ v) => h("option", {}, v)));
	if (schema.type === "boolean") return h("input", { ...attributes, type: "checkbox", required: false });
	return h("input", { ...attributes, type: "text", placeholder: schema.type === "array" ? "one, two, …" : schema.type, autocomplete: "off", spellcheck: "false" });
}

/**
 * @param {any} field
 * @param {HTMLInputElement} element
 */
function valueOf(field, element) {
	if (field.schema.type === "boolean") return element.checked || undefined;
	const text = element.value.trim();
	if (!text) return undefined;
	if (field.schema.type === "array") return text.split(",").map((part) => part.trim());
	if (field.schema.type === "integer" && /^(0x[0-9a-f]+|\d+)$/i.test(text)) return Number(text);
	return text;
}

/** @param {any} answer */
function show(answer) {
	if (Array.isArray(answer) && answer.length && typeof answer[0] === "object") return table(answer.slice(0, 1000));
	if (typeof answer?.text === "string") return h("pre", {}, answer.text);
	return h("pre", {}, JSON.stringify(answer, null, 1) ?? "Done.");
}

export function callsPanel() {
	const choice = /** @type {HTMLSelectElement} */ (h("select", { id: "call", "aria-label": "Call", onchange: () => draw() }));
	const form = /** @type {HTMLFormElement} */ (h("form", { class: "call-form", onsubmit: (/** @type {Event} */ event) => {
		event.preventDefault();
		run();
	} }));
	const result = h("div", { class: "scroll call-result", id: "call-result", tabindex: "0", "aria-live": "polite" });
	const root = h("div", { class: "fill calls", id: "list-calls" }, h("div", { class: "call-side" }, choice, form), result);
	/** @type {Call[]} */
	let calls = [];

	const chosen = () => calls.find((call) => call.name === choice.value);
	const draw = () => {
		const call = chosen();
		if (!call) return;
		form.replaceChildren(h("p", { class: "dim" }, call.summary), ...call.fields.map((field) =>
			h("label", { class: "field", title: field.schema.description ?? "" }, h("span", {}, field.name + (field.required ? " *" : "")), input(field))),
			h("button", { id: "call-run" }, call.method === "get" ? "Ask" : "Do it"));
	};
	const run = async () => {
		const call = chosen();
		if (!call) return;
		const args = {};
		for (const field of call.fields) {
			const value = valueOf(field, /** @type {HTMLInputElement} */ (form.elements.namedItem(field.name)));
			if (value !== undefined) Object.assign(args, { [field.name]: value });
		}
		const path = call.path.replace("{vm}", encodeURIComponent(view.vm ?? ""));
		result.replaceChildren(h("p", { class: "dim" }, "Working …"));
		try {
			const answer = call.method === "get" ? await request(`${path}?${new URLSearchParams(/** @type {any} */ (args))}`)
				: await request(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(args) });
			result.replaceChildren(show(answer));
		} catch (error) {
			result.replaceChildren(h("p", { class: "error" }, /** @type {Error} */ (error).message));
		}
	};
	const load = async () => {
		if (calls.length) return;
		try {
			calls = await readCalls();
		} catch (error) {
			result.replaceChildren(h("p", { class: "error" }, /** @type {Error} */ (error).message));
			return;
		}
		const groups = [...new Set(calls.map((call) => call.group))];
		choice.replaceChildren(...groups.map((group) => h("optgroup", { label: group }, ...calls.filter((call) => call.group === group).map((call) => h("option", { value: call.name }, call.name)))));
		draw();
	};
	return { root, refresh: load };
}
