/* A finished picture in memory, and writing it as PNG. Thread: any. */
#ifndef VIZ_PICTURE_H
#define VIZ_PICTURE_H
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct viz_picture {
	uint32_t width, height;
	uint8_t *rgba; /* sRGB, rows from the top, 4 bytes a pixel */
	float *depth; /* voxels from the eye, 0: nothing there; or NULL */
};

/* Caller owns *ret; pixels are black and opaque at first. Fails: ERR_LIMIT, ERR_MEMORY. */
struct error *viz_picture_create(uint32_t width, uint32_t height, struct viz_picture **ret);
void viz_picture_destroy(struct viz_picture *picture);
OWN_DECLARE(own_viz_picture, struct viz_picture *, viz_picture_destroy)

/* Halves width and height by averaging in linear light; the depth becomes the nearest of four.
 */
struct error *viz_picture_halve(const struct viz_picture *picture, struct viz_picture **ret);

/* Writes a PNG. Caller owns the bytes (free). */
struct error *viz_picture_png(const struct viz_picture *picture, uint8_t **bytes_ret,
			      size_t *size_ret);
struct error *viz_picture_jpeg(const struct viz_picture *picture, int quality,
			       uint8_t **bytes_ret, size_t *size_ret);

/* Writes a PNG file, replacing it only when it is whole. */
struct error *viz_picture_save(const struct viz_picture *picture, const char *path);
#endif
