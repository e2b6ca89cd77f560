// @ts-check
/** Skilling's 3D Hilbert curve by the orientation tables of src/viz/hilbert_table.h (made into tables.js at build
 * time): the same voxels as the C side and the shaders. */
import { HILBERT_OCTANT, HILBERT_NEXT } from "glassbox-tables";

export const STATES = HILBERT_OCTANT.length;

/** digit of an octant, by orientation */
export const DIGIT = HILBERT_OCTANT.map((octants) => {
	const digits = new Array(8).fill(0);
	octants.forEach((octant, digit) => {
		digits[octant] = digit;
	});
	return digits;
});

/**
 * Smallest order whose cube holds this many bytes.
 * @param {number} bytes
 */
export function orderOf(bytes) {
	let order = 4;
	while (8 ** order < bytes) order++;
	return order;
}

/**
 * The cube of side 2^level that holds byte index.
 * @param {number} order
 * @param {number} index
 * @param {number} level
 */
export function cubeAt(order, index, level) {
	let state = 0;
	let [x, y, z] = [0, 0, 0];
	for (let l = order - 1; l >= level; l--) {
		const digit = Math.floor(index / 8 ** l) % 8;
		const octant = HILBERT_OCTANT[state][digit];
		x += (octant & 1) * 2 ** l;
		y += ((octant >> 1) & 1) * 2 ** l;
		z += ((octant >> 2) & 1) * 2 ** l;
		state = HILBERT_NEXT[state][digit];
	}
	return { x, y, z, state };
}

/** Where byte i of a page lies in its brick, by orientation: x | y << 4 | z << 8. */
function brickRow(/** @type {number} */ start) {
	const row = new Uint16Array(4096);
	for (let i = 0; i < 4096; i++) {
		let state = start;
		let at = 0;
		for (let level = 3; level >= 0; level--) {
			const digit = (i >> (3 * level)) & 7;
			const octant = HILBERT_OCTANT[state][digit];
			at |= (octant & 1) << level;
			at |= ((octant >> 1) & 1) << (4 + level);
			at |= ((octant >> 2) & 1) << (8 + level);
			state = HILBERT_NEXT[state][digit];
		}
		row[i] = at;
	}
	return row;
}

/** The words in front of the grid buffer, as shaders/grid.wgsl and march.wgsl read them. */
export function gridTables() {
	const words = new Uint32Array(49152 + 2 * STATES * 8);
	const bytes = new Uint16Array(words.buffer, 0, STATES * 4096);
	for (let state = 0; state < STATES; state++) {
		const row = brickRow(state);
		for (let i = 0; i < 4096; i++) bytes[state * 4096 + row[i]] = i;
		for (let octant = 0; octant < 8; octant++) {
			const digit = DIGIT[state][octant];
			words[49152 + state * 8 + octant] = digit;
			words[49152 + (STATES + state) * 8 + octant] = HILBERT_NEXT[state][digit];
		}
	}
	return words;
}

/**
 * Box around the bytes [first, end): low and high corners in voxels. Walks whole cubes.
 * @param {number} order
 * @param {number} first
 * @param {number} end
 */
export function boundsOf(order, first, end) {
	const low = [Infinity, Infinity, Infinity];
	const high = [-Infinity, -Infinity, -Infinity];
	for (let at = first; at < end;) {
		let level = 4;
		while (level < order && at % 8 ** (level + 1) === 0 && at + 8 ** (level + 1) <= end) level++;
		const cube = cubeAt(order, at, level);
		const corner = [cube.x, cube.y, cube.z];
		for (let axis = 0; axis < 3; axis++) {
			low[axis] = Math.min(low[axis], corner[axis]);
			high[axis] = Math.max(high[axis], corner[axis] + 2 ** level);
		}
		at += 8 ** level;
	}
	return { low, high };
}

/**
 * The voxel of one byte.
 * @param {number} order
 * @param {number} address
 */
export function voxelBox(order, address) {
	const cube = cubeAt(order, address, 0);
	return { low: [cube.x, cube.y, cube.z], high: [cube.x + 1, cube.y + 1, cube.z + 1] };
}
