// @ts-check
/** A guest's memory on the GPU of the browser: the same layout and rules as src/viz/scene.c. Pages with data have a
 * slot in a bank of bytes; everything else about a page is one entry of `pages`; changes go through the kernel
 * bring_pages; the grid is made again when the set of drawn pages changed. */
import { gridTables, orderOf } from "./hilbert.js";
import { bringSource, gridSource } from "./shaders.js";

export const NONE = 0xffffffff;
export const PAGE_HIDDEN = 0x10000;
export const PAGE_SELECTED = 0x20000;
export const PAGE_DATA = 0x40000;
const PAGE_BYTES = 4096;
const N_BANKS = 4;
const LOOK_WORDS = 73;
const CHUNK_PAGES = 1024;
export const VIEW_BYTES = 1744;

const usage = () => ({
	device: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC,
	uniform: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
});

/** @type {WeakMap<GPUDevice, { bring: GPUComputePipeline, build: GPUComputePipeline, widen: GPUComputePipeline }>} */
const made = new WeakMap();

/**
 * The kernels that bring pages and build the grid, compiled once for a device.
 * @param {GPUDevice} device
 */
function kernelsOf(device) {
	const kernel = (/** @type {string} */ code, /** @type {string} */ entryPoint) =>
		device.createComputePipeline({ layout: "auto", compute: { module: device.createShaderModule({ code }), entryPoint } });
	const kernels = made.get(device) ?? { bring: kernel(bringSource, "bring_pages"), build: kernel(gridSource, "build_grid"), widen: kernel(gridSource, "widen_grid") };
	made.set(device, kernels);
	return kernels;
}

export class Scene {
	/**
	 * @param {GPUDevice} device
	 * @param {number} topBytes
	 */
	constructor(device, topBytes) {
		this.device = device;
		this.order = orderOf(topBytes);
		this.nFrames = Math.ceil(topBytes / PAGE_BYTES);
		this.side = 2 ** (this.order - 4);
		this.blocks = this.order > 7 ? 2 ** (this.order - 7) : 1;
		this.bankPages = 256;
		this.bankShift = 8;
		this.nSlots = 0;
		this.banksChanged = false;
		/** @type {GPUBuffer[]} */
		this.banks = new Array(N_BANKS).fill(null);
		/** @type {GPUBuffer[]} */
		this.placeholders = [];
		this.chooseBanks();
		this.slotOf = new Uint32Array(this.nFrames).fill(NONE);
		this.attributes = new Uint32Array(this.nFrames);
		this.owner = new Uint32Array(this.nFrames);
		this.written = new Uint32Array(this.nFrames);
		/** @type {number[]} */
		this.freeSlots = [];
		this.nextSlot = 0;
		this.residentPages = 0;
		this.gridIsOld = true;
		this.createBuffers();
		this.kernels = kernelsOf(device);
		/** @type {number[]} */
		this.changes = [];
		/** @type {GPUBuffer[]} of whoever draws this scene; they end with it */
		this.owned = [];
		this.source = new Uint8Array(CHUNK_PAGES * PAGE_BYTES);
		this.sourcePages = 0;
	}

	/** Banks are made when their first slot is taken; a bank is a quarter of the memory, 128 MiB at most. */
	chooseBanks() {
		const most = Math.min(this.device.limits.maxStorageBufferBindingSize, this.device.limits.maxBufferSize, 2 ** 27);
		let pages = 256;
		while (pages * N_BANKS < this.nFrames && pages * 2 * PAGE_BYTES <= most) pages *= 2;
		this.bankPages = pages;
		this.bankShift = Math.log2(pages);
		this.nSlots = Math.min(this.nFrames, pages * N_BANKS, Math.floor(most / (LOOK_WORDS * 4)));
	}

	/**
	 * @param {number} size
	 * @param {number} [flags]
	 */
	buffer(size, flags = usage().device) {
		return this.device.createBuffer({ size: Math.ceil(size / 16) * 16, usage: flags });
	}

	createBuffers() {
		this.placeholders = this.banks.map(() => this.buffer(16));
		this.looks = this.buffer(this.nSlots * LOOK_WORDS * 4);
		this.pages = this.buffer(this.nFrames * 16);
		this.changeBuffer = this.buffer((2 * CHUNK_PAGES + 1) * 16);
		this.sourceBuffer = this.buffer(CHUNK_PAGES * PAGE_BYTES);
		this.uniform = this.buffer(VIEW_BYTES, usage().uniform);
		const tables = gridTables();
		this.grid = this.buffer((tables.length + 2 * this.side ** 3) * 4);
		this.device.queue.writeBuffer(this.grid, 0, tables);
		const view = new Uint32Array(VIEW_BYTES / 4);
		this.describe(view);
		this.device.queue.writeBuffer(this.uniform, 0, view);
	}

	/**
	 * Fields of struct View that say how the scene is laid out.
	 * @param {Uint32Array} view
	 */
	describe(view) {
		view[42] = this.order;
		view[44] = this.bankShift;
		view[45] = this.nFrames;
	}

	/** Bindings 1 to 4. */
	bankEntries() {
		return this.banks.map((bank, i) => ({ binding: 1 + i, resource: { buffer: bank ?? this.placeholders[i] } }));
	}

	/**
	 * @param {number} page
	 * @param {boolean} hasData
	 */
	settle(page, hasData) {
		const had = (this.attributes[page] & PAGE_DATA) !== 0;
		if (had !== hasData) this.gridIsOld = true;
		if (!hasData && this.slotOf[page] !== NONE) {
			this.freeSlots.push(this.slotOf[page]);
			this.slotOf[page] = NONE;
			this.residentPages--;
		}
	}

	/**
	 * A slot for the page's bytes, or NONE when there is no room.
	 * @param {number} page
	 */
	takeSlot(page) {
		if (this.slotOf[page] !== NONE) return this.slotOf[page];
		const slot = this.freeSlots.pop() ?? (this.nextSlot < this.nSlots ? this.nextSlot++ : NONE);
		if (slot === NONE) return NONE;
		const bank = slot >> this.bankShift;
		if (!this.banks[bank]) {
			this.banks[bank] = this.buffer(this.bankPages * PAGE_BYTES);
			this.banksChanged = true;
		}
		this.slotOf[page] = slot;
		this.gridIsOld = true;
		this.residentPages++;
		return slot;
	}

	/**
	 * One change of a page. bytes: its 4096 bytes, or null to keep what is there; look: how it looks from afar, or
	 * NONE to keep.
	 * @param {number} page
	 * @param {number} attributes
	 * @param {number} written
	 * @param {Uint8Array | null} bytes
	 * @param {number} look
	 */
	change(page, attributes, written, bytes, look) {
		if (page >= this.nFrames) return;
		this.settle(page, (attributes & PAGE_DATA) !== 0);
		if ((this.attributes[page] ^ attributes) & (PAGE_HIDDEN | PAGE_SELECTED)) this.gridIsOld = true;
		this.attributes[page] = attributes;
		this.written[page] = written;
		const slot = bytes ? this.takeSlot(page) : this.slotOf[page];
		let source = NONE;
		if (bytes) {
			source = this.sourcePages++;
			this.source.set(bytes, source * PAGE_BYTES);
		}
		this.changes.push(page, slot, attributes, written, source, look, 0, 0);
		if (this.changes.length >= CHUNK_PAGES * 8 || this.sourcePages === CHUNK_PAGES) this.flush();
	}

	/** Sends gathered changes to the GPU, and makes the grid again if it must. */
	flush() {
		const count = this.changes.length / 8;
		if (count) this.send(count);
		if (this.gridIsOld && !this.changes.length) this.buildGrid();
	}

	/** @param {number} count */
	send(count) {
		const queue = this.device.queue;
		queue.writeBuffer(this.changeBuffer, 0, new Uint32Array([count, 0, 0, 0, ...this.changes]));
		if (this.sourcePages) queue.writeBuffer(this.sourceBuffer, 0, this.source, 0, this.sourcePages * PAGE_BYTES);
		const group = this.device.createBindGroup({
			layout: this.kernels.bring.getBindGroupLayout(0),
			entries: [
				{ binding: 0, resource: { buffer: this.uniform } },
				...this.bankEntries(),
				{ binding: 5, resource: { buffer: this.looks } },
				{ binding: 6, resource: { buffer: this.pages } },
				{ binding: 7, resource: { buffer: this.changeBuffer } },
				{ binding: 10, resource: { buffer: this.sourceBuffer } },
			],
		});
		this.dispatch(this.kernels.bring, group, [count, 1, 1]);
		this.changes = [];
		this.sourcePages = 0;
	}

	buildGrid() {
		this.gridIsOld = false;
		const entries = [
			{ binding: 0, resource: { buffer: this.uniform } },
			{ binding: 6, resource: { buffer: this.pages } },
			{ binding: 7, resource: { buffer: this.grid } },
		];
		const size = [this.blocks, this.blocks, this.blocks];
		const group = (/** @type {GPUComputePipeline} */ pipeline, /** @type {any[]} */ list) =>
			this.device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries: list });
		this.dispatch(this.kernels.build, group(this.kernels.build, entries), size);
		this.dispatch(this.kernels.widen, group(this.kernels.widen, entries.filter((entry) => entry.binding !== 6)), size);
	}

	/**
	 * @param {GPUComputePipeline} pipeline
	 * @param {GPUBindGroup} group
	 * @param {number[]} size
	 */
	dispatch(pipeline, group, size) {
		const encoder = this.device.createCommandEncoder();
		const pass = encoder.beginComputePass();
		pass.setPipeline(pipeline);
		pass.setBindGroup(0, group);
		pass.dispatchWorkgroups(size[0], size[1], size[2]);
		pass.end();
		this.device.queue.submit([encoder.finish()]);
	}

	destroy() {
		for (const buffer of [...this.banks, ...this.placeholders, this.looks, this.pages, this.changeBuffer, this.sourceBuffer,
			this.uniform, this.grid, ...this.owned]) buffer?.destroy();
	}
}
