// @ts-check
/** The camera looks at a point from a distance; the same mathematics as src/viz/view.c. Angles in degrees. */

/** @typedef {{ yaw: number, pitch: number, distance: number, target: number[] }} Camera */

export const FOV = 35;
const NEAR_SHARE = 0.05; // of the distance: nearer things fade, so that one can look around inside
const radians = (/** @type {number} */ degrees) => (degrees * Math.PI) / 180;

/**
 * @param {Camera} camera
 * @param {number} width
 * @param {number} height
 */
export function vectors(camera, width, height) {
	const yaw = radians(camera.yaw);
	const pitch = radians(camera.pitch);
	const half = Math.tan(radians(FOV) / 2);
	const back = [Math.sin(yaw) * Math.cos(pitch), Math.sin(pitch), Math.cos(yaw) * Math.cos(pitch)];
	return {
		eye: back.map((v, i) => camera.target[i] + v * camera.distance),
		right: [Math.cos(yaw), 0, -Math.sin(yaw)],
		up: [-Math.sin(yaw) * Math.sin(pitch), Math.cos(pitch), -Math.cos(yaw) * Math.sin(pitch)],
		forward: back.map((v) => -v),
		half,
		aspect: width / height,
		pixel: (2 * half) / height,
		near: NEAR_SHARE * camera.distance,
	};
}

const dot = (/** @type {number[]} */ a, /** @type {number[]} */ b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];

/**
 * The camera that shows all of a box from the angles it has.
 * @param {Camera} camera
 * @param {{ low: number[], high: number[] }} box
 * @param {number} aspect
 * @returns {Camera}
 */
export function fit(camera, box, aspect) {
	const target = box.low.map((low, i) => (low + box.high[i]) / 2);
	const v = vectors({ ...camera, target, distance: 0 }, aspect, 1);
	let wanted = 1;
	for (let corner = 0; corner < 8; corner++) {
		const at = target.map((t, i) => ((corner >> i) & 1 ? box.high[i] : box.low[i]) - t);
		const across = Math.abs(dot(v.right, at)) / (v.half * aspect);
		const along = Math.abs(dot(v.up, at)) / v.half;
		wanted = Math.max(wanted, -dot(v.forward, at) + Math.max(across, along));
	}
	return { yaw: camera.yaw, pitch: camera.pitch, distance: wanted * 1.08, target };
}

/**
 * Where a point appears, in pixels, with its distance; null behind the eye.
 * @param {Camera} camera
 * @param {number} width
 * @param {number} height
 * @param {number[]} point
 */
export function project(camera, width, height, point) {
	const v = vectors(camera, width, height);
	const at = point.map((p, i) => p - v.eye[i]);
	const depth = dot(v.forward, at);
	if (depth < 1e-3) return null;
	const x = dot(v.right, at) / (depth * v.half * v.aspect);
	const y = dot(v.up, at) / (depth * v.half);
	return { x: ((x + 1) / 2) * width, y: ((1 - y) / 2) * height, distance: Math.hypot(...at) };
}

const MICROSCOPE = 160; // voxels

/**
 * A sphere around the eye that is cut out close up: what is looked at lies inside solid memory, so everything between it
 * and the eye makes way. [x, y, z, radius]; radius 0: none.
 * @param {Camera} camera
 * @param {number} explode   0 .. 1: the shaders' spheres are in the voxels of the block that is looked at
 */
export function microscope(camera, explode) {
	const share = Math.min(1, Math.max(0, 2 * (1 - camera.distance / MICROSCOPE)));
	const shift = camera.target.map((t) => Math.floor(t / (128 * (1 + explode))) * 128 * explode);
	return [...vectors(camera, 1, 1).eye.map((v, i) => v - shift[i]), camera.distance * 0.93 * share];
}

/** @param {Camera} c */
export const cameraText = (c) =>
	[c.yaw.toFixed(1), c.pitch.toFixed(1), c.distance.toFixed(1), ...c.target.map((t) => t.toFixed(1))].join(",");

/**
 * @param {string} text
 * @returns {Camera | null}
 */
export function cameraFrom(text) {
	const n = text.split(",").map(Number);
	if (n.length !== 6 || n.some((v) => !Number.isFinite(v)) || n[2] <= 0) return null;
	return { yaw: n[0], pitch: Math.max(-89, Math.min(89, n[1])), distance: n[2], target: n.slice(3) };
}

/**
 * Between two cameras, the short way round; t from 0 to 1.
 * @param {Camera} a
 * @param {Camera} b
 * @param {number} t
 * @returns {Camera}
 */
export function between(a, b, t) {
	const s = t * t * (3 - 2 * t);
	const turn = ((b.yaw - a.yaw + 540) % 360) - 180;
	return {
		yaw: a.yaw + turn * s,
		pitch: a.pitch + (b.pitch - a.pitch) * s,
		distance: a.distance * (b.distance / a.distance) ** s,
		target: a.target.map((v, i) => v + (b.target[i] - v) * s),
	};
}
