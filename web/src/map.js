// @ts-check
/** Where guests stand when several share a scene: the lattice of src/viz/map.h, so that a link, a picture and the page
 * mean the same places. */

const GAP = 0.22; // between cells, of their side

/**
 * Where each guest has its voxel (0, 0, 0).
 * @param {number} count
 * @param {number} largestOrder   of the guests' curves
 * @param {number} explode   0 .. 1
 */
export function origins(count, largestOrder, explode) {
	const side = 2 ** largestOrder;
	const exploded = side + (Math.max(1, side / 128) - 1) * 128 * explode;
	const pitch = exploded * (1 + GAP);
	const columns = Math.ceil(Math.sqrt(count));
	return [...Array(count).keys()].map((i) => [(i % columns) * pitch, 0, Math.floor(i / columns) * pitch]);
}
