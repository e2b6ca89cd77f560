/* Letters as distance fields, made at build time by tools/bake_font.c (ORDER font). A field is
 * bilinear: 128 on the outline, 128 / VIZ_FONT_PADDING more for each pixel inside it. Thread:
 * any. */
#ifndef VIZ_FONT_H
#define VIZ_FONT_H
#include <stdint.h>

enum {
	VIZ_FONT_PIXELS = 32, /* from the lowest descender to the highest ascender */
	VIZ_FONT_PADDING = 6, /* pixels around each letter */
	VIZ_FONT_FIRST = 32,
	VIZ_FONT_LAST = 126,
};

struct viz_glyph {
	uint8_t width, height; /* of the field, padding included */
	int8_t left, top; /* of its first pixel, from the pen on the base line */
	uint16_t advance; /* of the pen, in 64ths of a pixel */
	uint32_t at; /* first byte in viz_font_field */
};

extern const struct viz_glyph viz_font_glyphs[];
extern const uint8_t viz_font_field[];
#endif
