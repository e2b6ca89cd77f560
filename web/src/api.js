// @ts-check
/** REST calls with the token that the address's fragment brought. */

const KEY = "glassbox-token";

/** Moves #token=... of the address into this tab's session storage. */
export function takeToken() {
	const match = /[#&]token=([0-9a-f]+)/.exec(location.hash);
	if (!match) return;
	sessionStorage.setItem(KEY, match[1]);
	history.replaceState(null, "", location.pathname + location.search + location.hash.replace(/[#&]token=[0-9a-f]+/, ""));
}

export function token() {
	return sessionStorage.getItem(KEY) ?? "";
}

export class ApiError extends Error {
	/**
	 * @param {string} message
	 * @param {number} status
	 */
	constructor(message, status) {
		super(message);
		this.status = status;
	}
}

/**
 * @param {string} path
 * @param {RequestInit} [init]
 * @returns {Promise<any>}
 */
export async function request(path, init = {}) {
	const headers = new Headers(init.headers);
	if (token()) headers.set("Authorization", `Bearer ${token()}`);
	const answer = await fetch(path, { ...init, headers });
	const text = await answer.text();
	let document = null;
	try {
		document = JSON.parse(text);
	} catch {
		document = null;
	}
	if (!answer.ok) {
		const hint = document?.hint ? ` (${document.hint})` : "";
		throw new ApiError((document?.error ?? text ?? answer.statusText) + hint, answer.status);
	}
	return document;
}

export const listVms = () => request("/api/v1/vms");

/**
 * @param {string} vm
 * @param {string} call
 * @param {Record<string, string>} [args]
 */
export function query(vm, call, args = {}) {
	const text = new URLSearchParams(args).toString();
	return request(`/api/v1/vms/${encodeURIComponent(vm)}/${call}${text ? `?${text}` : ""}`);
}

/**
 * @param {string} vm
 * @param {string} call
 * @param {object} [args]
 */
export function change(vm, call, args = {}) {
	return request(`/api/v1/vms/${encodeURIComponent(vm)}/${call}`, {
		method: "POST",
		headers: { "Content-Type": "application/json" },
		body: JSON.stringify(args),
	});
}
