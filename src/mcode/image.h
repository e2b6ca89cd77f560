/* A kernel as pixels: a header, the tables and the four sections, one 32-bit pixel after
 * another, and the same as a PNG that every viewer shows. Reading validates; the bytes may come
 * from anywhere. docs/pixel-cpu.md describes the layout. Thread: any. */
#ifndef MCODE_IMAGE_H
#define MCODE_IMAGE_H
#include <stddef.h>
#include <stdint.h>
struct error;
struct mcode_kernel;

/* Packs a valid kernel. Caller frees *pixels_ret. */
struct error *mcode_pack(const struct mcode_kernel *kernel, uint32_t **pixels_ret,
			 uint32_t *count_ret);
/* The reverse; pixels after the program (padding) must be 0. Caller owns *ret. ERR_BAD_DATA. */
struct error *mcode_unpack(const uint32_t *pixels, uint32_t count, struct mcode_kernel **ret);

/* Packs into an 8-bit RGBA PNG of 32 pixels per row. Caller frees *png_ret. */
struct error *mcode_png_encode(const struct mcode_kernel *kernel, uint8_t **png_ret,
			       size_t *size_ret);
/* Caller owns *ret. ERR_BAD_DATA; ERR_LIMIT for pictures that are too large to be programs. */
struct error *mcode_png_decode(const uint8_t *png, size_t size_bytes,
			       struct mcode_kernel **ret);
#endif
