// @ts-check
/** Colours, as src/viz/palette.c makes them. */

/** @param {number} rgb */
export const cssColour = (rgb) => `#${rgb.toString(16).padStart(6, "0")}`;

/**
 * sRGB 0xrrggbb to linear light.
 * @param {number} rgb
 */
export function linear(rgb) {
	return [16, 8, 0].map((shift) => {
		const v = ((rgb >> shift) & 255) / 255;
		return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
	});
}

/**
 * Palette entry 0 .. 63 of a pid; 0 is the kernel or nobody.
 * @param {number} pid
 */
export const ownerSlot = (pid) => (pid ? 1 + (Math.imul(pid, 2654435761) >>> 0) % 63 : 0);

/** @param {number} slot */
export function ownerColour(slot) {
	if (!slot) return 0x4a5568;
	const hue = (slot * 0.61803399) % 1;
	const saturation = 0.5 + 0.17 * (slot % 3);
	const value = 0.98 - 0.13 * (Math.floor(slot / 3) % 3);
	const channel = (/** @type {number} */ shift) => {
		const k = (shift + hue * 6) % 6;
		return Math.floor(255 * (value - value * saturation * Math.max(0, Math.min(k, 4 - k, 1))));
	};
	return (channel(5) << 16) | (channel(3) << 8) | channel(1);
}
