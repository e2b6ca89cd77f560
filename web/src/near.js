// @ts-check
/** Which aligned blocks of a guest's memory a camera is near, nearest first. */
import { project, vectors } from "./camera.js";
import { cubeAt } from "./hilbert.js";
import { PAGE } from "./pages.js";

const DIVISIONS = 3; // the volume is cut into 8^3 blocks
const MOST = 64; // as many as the server takes

/**
 * @param {import("./camera.js").Camera} camera   in the guest's own voxels
 * @param {number} order
 * @param {number} topBytes
 * @returns {[number, number][]} ranges of frames
 */
export function nearBlocks(camera, order, topBytes) {
	const level = Math.max(4, order - DIVISIONS);
	const bytes = 8 ** level;
	const half = 2 ** level / 2;
	const eye = vectors(camera, 1, 1).eye;
	/** @type {{ start: number, away: number }[]} */
	const blocks = [];
	for (let start = 0; start < topBytes; start += bytes) {
		const cube = cubeAt(order, start, level);
		const middle = [cube.x + half, cube.y + half, cube.z + half];
		const at = project(camera, 1, 1, middle);
		const isSeen = at && at.x > -0.5 && at.x < 1.5 && at.y > -0.5 && at.y < 1.5;
		blocks.push({ start, away: Math.hypot(...middle.map((m, i) => m - eye[i])) * (isSeen ? 1 : 4) });
	}
	blocks.sort((a, b) => a.away - b.away);
	return blocks.slice(0, MOST).map(({ start }) => [start / PAGE, Math.ceil((start + bytes) / PAGE)]);
}
