// @ts-check
/** Draws scenes into a canvas with WebGPU, and picks what lies under a pixel. Each scene is drawn by itself, in its own
 * voxels; the pictures carry distances, by which they are put together. */
import { linear, ownerColour } from "./palette.js";
import { NONE, VIEW_BYTES } from "./scene.js";
import { blitSource, frameSource, pickSource } from "./shaders.js";
import { vectors } from "./camera.js";

export const MODES = ["kind", "owner", "byte", "entropy", "heat"];
export const FLAG_AO = 1;
export const FLAG_EDGES = 2;
export const FLAG_SELECT = 4;

/** Opens the GPU; null when the browser has none that will do. */
export async function openDevice() {
	try {
		const adapter = await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" });
		if (!adapter || adapter.limits.maxStorageBuffersPerShaderStage < 8) return null;
		const device = await adapter.requestDevice({
			requiredLimits: {
				maxStorageBufferBindingSize: Math.min(adapter.limits.maxStorageBufferBindingSize, 2 ** 27),
				maxBufferSize: Math.min(adapter.limits.maxBufferSize, 2 ** 28),
			},
		});
		const isSoftware = Boolean(adapter.isFallbackAdapter || adapter.info?.isFallbackAdapter || /swiftshader|llvmpipe/i.test(adapter.info?.architecture + adapter.info?.description));
		return { device, isSoftware, name: adapter.info?.description || [adapter.info?.vendor, adapter.info?.architecture].filter(Boolean).join(" ") || "unnamed" };
	} catch {
		return null;
	}
}

/**
 * @typedef {object} Look
 * @property {import("./camera.js").Camera} camera
 * @property {string} mode
 * @property {number} explode   0 .. 1
 * @property {number} opacity   0 .. 1
 * @property {number[]} clip    low x, y, z, high x, y, z in voxels
 * @property {number[]} sphere  x, y, z, radius; radius 0: none
 * @property {number} flags
 * @property {number} hovered
 * @property {number} now
 * @property {number} lodBias
 */

/** @typedef {{ uniform: GPUBuffer, picture?: GPUBuffer, width: number, height: number, draw?: GPUBindGroup, blit?: GPUBindGroup }} Target */

export class Renderer {
	/**
	 * @param {GPUDevice} device
	 * @param {HTMLCanvasElement} canvas
	 */
	constructor(device, canvas) {
		this.device = device;
		this.context = /** @type {GPUCanvasContext} */ (canvas.getContext("webgpu"));
		this.format = navigator.gpu.getPreferredCanvasFormat();
		this.context.configure({ device, format: this.format, alphaMode: "opaque" });
		this.view = new ArrayBuffer(VIEW_BYTES);
		this.floats = new Float32Array(this.view);
		this.words = new Uint32Array(this.view);
		const compute = (/** @type {string} */ code, /** @type {string} */ entryPoint) =>
			device.createComputePipeline({ layout: "auto", compute: { module: device.createShaderModule({ code }), entryPoint } });
		this.draw = compute(frameSource, "draw_frame");
		this.pickKernel = compute(pickSource, "pick");
		const blit = device.createShaderModule({ code: blitSource });
		this.blit = device.createRenderPipeline({
			layout: "auto",
			vertex: { module: blit, entryPoint: "corner" },
			fragment: { module: blit, entryPoint: "copy", targets: [{ format: this.format }] },
			depthStencil: { format: "depth32float", depthWriteEnabled: true, depthCompare: "less-equal" },
		});
		this.pictureSize = device.createBuffer({ size: 16, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
		this.found = device.createBuffer({ size: 32, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC });
		/** @type {WeakMap<import("./scene.js").Scene, Target>} */
		this.targets = new WeakMap();
		this.width = 0;
		this.height = 0;
		/** @type {Promise<unknown>} the pick before: they share what is found */
		this.picked = Promise.resolve();
		this.fillPalette([]);
	}

	/** @param {{ colour: number }[]} kinds */
	fillPalette(kinds) {
		for (let i = 0; i < 96; i++) {
			const rgb = i >= 32 ? ownerColour(i - 32) : kinds[i]?.colour ?? 0x808890;
			this.floats.set([...linear(rgb), 0], 52 + 4 * i);
		}
	}

	/**
	 * @param {number} width
	 * @param {number} height
	 */
	resize(width, height) {
		if (width === this.width && height === this.height) return;
		this.width = width;
		this.height = height;
		this.depth?.destroy();
		this.depth = this.device.createTexture({ size: [width, height], format: "depth32float", usage: GPUTextureUsage.RENDER_ATTACHMENT });
		this.device.queue.writeBuffer(this.pictureSize, 0, new Uint32Array([width, height, 0, 0]));
	}

	/**
	 * What a scene is drawn with: its view, its picture and distances.
	 * @param {import("./scene.js").Scene} scene
	 * @returns {Target}
	 */
	target(scene) {
		let target = this.targets.get(scene);
		if (!target) {
			target = { uniform: this.device.createBuffer({ size: VIEW_BYTES, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST }), width: 0, height: 0 };
			this.targets.set(scene, target);
			scene.owned.push(target.uniform);
		}
		return target;
	}

	/**
	 * The same with a picture of the right size, and the bindings of both passes.
	 * @param {import("./scene.js").Scene} scene
	 */
	sized(scene) {
		const target = this.target(scene);
		const fits = target.width === this.width && target.height === this.height;
		if (fits && !scene.banksChanged) return target;
		if (!fits) {
			target.picture?.destroy();
			scene.owned = scene.owned.filter((buffer) => buffer !== target.picture);
			target.picture = this.device.createBuffer({ size: this.width * this.height * 8, usage: GPUBufferUsage.STORAGE });
			scene.owned.push(target.picture);
			[target.width, target.height] = [this.width, this.height];
		}
		scene.banksChanged = false;
		target.draw = this.device.createBindGroup({ layout: this.draw.getBindGroupLayout(0),
			entries: [...this.sceneEntries(scene), { binding: 8, resource: { buffer: target.picture } }] });
		target.blit = this.device.createBindGroup({ layout: this.blit.getBindGroupLayout(0),
			entries: [{ binding: 0, resource: { buffer: target.picture } }, { binding: 1, resource: { buffer: this.pictureSize } }] });
		return target;
	}

	/**
	 * @param {Look} look
	 * @param {number} width
	 * @param {number} height
	 * @param {import("./scene.js").Scene} scene
	 */
	fillView(look, width, height, scene) {
		const v = vectors(look.camera, width, height);
		const f = this.floats;
		f.set([...v.eye, v.half, ...v.right, v.aspect, ...v.up, v.pixel, ...v.forward, v.near], 0);
		f.set([...look.clip.slice(0, 3), 0, ...look.clip.slice(3), 0], 16);
		f.set(look.sphere, 24);
		f.set([...linear(0x0b0e14), 0, ...linear(0x1b2230), 0], 28);
		f.set([look.explode, look.opacity, look.lodBias, 0.75], 36);
		this.words.set([width, height], 40);
		this.words[43] = MODES.indexOf(look.mode);
		scene.describe(this.words);
		this.words[46] = look.now;
		f[47] = 2000;
		this.words[48] = look.flags;
		this.words[51] = look.hovered;
		this.words[42] = scene.order;
	}

	/** @param {import("./scene.js").Scene} scene */
	sceneEntries(scene) {
		return [
			{ binding: 0, resource: { buffer: this.target(scene).uniform } },
			...scene.bankEntries(),
			{ binding: 5, resource: { buffer: scene.looks } },
			{ binding: 6, resource: { buffer: scene.pages } },
			{ binding: 7, resource: { buffer: scene.grid } },
		];
	}

	/**
	 * Draws one frame of width x height and shows it.
	 * @param {{ scene: import("./scene.js").Scene, look: Look }[]} parts
	 * @param {number} width
	 * @param {number} height
	 */
	render(parts, width, height) {
		this.resize(width, height);
		for (const { scene } of parts) scene.flush();
		const encoder = this.device.createCommandEncoder();
		const drawn = parts.map(({ scene, look }) => this.drawPart(encoder, scene, look));
		this.show(encoder, drawn);
		this.device.queue.submit([encoder.finish()]);
		return this.device.queue.onSubmittedWorkDone();
	}

	/**
	 * @param {GPUCommandEncoder} encoder
	 * @param {import("./scene.js").Scene} scene
	 * @param {Look} look
	 */
	drawPart(encoder, scene, look) {
		const target = this.sized(scene);
		this.fillView(look, this.width, this.height, scene);
		this.device.queue.writeBuffer(target.uniform, 0, this.view);
		const pass = encoder.beginComputePass();
		pass.setPipeline(this.draw);
		pass.setBindGroup(0, target.draw);
		pass.dispatchWorkgroups(Math.ceil(this.width / 8), Math.ceil(this.height / 8));
		pass.end();
		return target;
	}

	/**
	 * Puts the pictures together, nearest first; without any, the canvas is dark.
	 * @param {GPUCommandEncoder} encoder
	 * @param {Target[]} drawn
	 */
	show(encoder, drawn) {
		const pass = encoder.beginRenderPass({
			colorAttachments: [{ view: this.context.getCurrentTexture().createView(), loadOp: "clear", storeOp: "store", clearValue: { r: 0.043, g: 0.055, b: 0.078, a: 1 } }],
			depthStencilAttachment: { view: /** @type {GPUTexture} */ (this.depth).createView(), depthLoadOp: "clear", depthClearValue: 1, depthStoreOp: "discard" },
		});
		pass.setPipeline(this.blit);
		for (const target of drawn) {
			pass.setBindGroup(0, target.blit);
			pass.draw(3);
		}
		pass.end();
	}

	/**
	 * What lies at a pixel of a picture of width x height, or null. Picks are made one after the other.
	 * @param {import("./scene.js").Scene} scene
	 * @param {Look} look
	 * @param {number} width
	 * @param {number} height
	 * @param {number} x
	 * @param {number} y
	 * @returns {Promise<{ page: number, byte: number, isExact: boolean, distance: number } | null>}
	 */
	pick(scene, look, width, height, x, y) {
		const pick = this.picked.then(() => this.pickNow(scene, look, width, height, x, y));
		this.picked = pick.catch(() => null);
		return pick;
	}

	/**
	 * @param {import("./scene.js").Scene} scene
	 * @param {Look} look
	 * @param {number} width
	 * @param {number} height
	 * @param {number} x
	 * @param {number} y
	 */
	async pickNow(scene, look, width, height, x, y) {
		this.fillView(look, width, height, scene);
		this.words[49] = x;
		this.words[50] = y;
		this.device.queue.writeBuffer(this.target(scene).uniform, 0, this.view);
		const encoder = this.device.createCommandEncoder();
		const pass = encoder.beginComputePass();
		pass.setPipeline(this.pickKernel);
		pass.setBindGroup(0, this.device.createBindGroup({
			layout: this.pickKernel.getBindGroupLayout(0),
			entries: [...this.sceneEntries(scene), { binding: 10, resource: { buffer: this.found } }],
		}));
		pass.dispatchWorkgroups(1);
		pass.end();
		const read = this.device.createBuffer({ size: 32, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
		encoder.copyBufferToBuffer(this.found, 0, read, 0, 32);
		this.device.queue.submit([encoder.finish()]);
		await read.mapAsync(GPUMapMode.READ);
		const words = new Uint32Array(read.getMappedRange().slice(0));
		const distance = new Float32Array(words.buffer)[2];
		read.destroy();
		if (words[0] === NONE) return null;
		const isExact = words[1] !== NONE;
		return { page: words[0], byte: isExact ? words[1] : 0, isExact, distance };
	}
}
