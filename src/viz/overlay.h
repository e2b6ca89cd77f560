/* Lines, boxes and writing on finished pictures. Lines know where they are in the volume:
 * behind something they are faint. Sizes are pixels. Thread: any. */
#ifndef VIZ_OVERLAY_H
#define VIZ_OVERLAY_H
#include <stdint.h>
struct viz_bounds;
struct viz_picture;
struct viz_view;

/* Colours are sRGB 0xRRGGBB, alpha is 0 .. 1. */
void viz_overlay_line(struct viz_picture *picture, const struct viz_view *view,
		      const float from[3], const float to[3], uint32_t rgb, float alpha);
void viz_overlay_box(struct viz_picture *picture, const struct viz_view *view,
		     const struct viz_bounds *box, uint32_t rgb, float alpha);
void viz_overlay_fill(struct viz_picture *picture, float x, float y, float width, float height,
		      uint32_t rgb, float alpha);

/* Text of a height, with a dark rim; x, y is its left end on the base line. What is no
 * printable ASCII appears as '?'. */
void viz_overlay_text(struct viz_picture *picture, float x, float y, float height, uint32_t rgb,
		      const char *text);
float viz_overlay_width(const char *text, float height);
#endif
