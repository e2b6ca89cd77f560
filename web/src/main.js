// @ts-check
import { listVms, takeToken } from "./api.js";

takeToken();
const app = /** @type {HTMLElement} */ (document.getElementById("app"));

async function show() {
	const vms = await listVms();
	app.textContent = vms.length ? vms.map((/** @type {any} */ vm) => `${vm.name}: ${vm.state}`).join(", ") : "no VM runs";
}

show().catch((error) => {
	app.textContent = String(error.message);
});
