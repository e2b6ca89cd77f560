#include "viz/picture.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>
#include <png.h>

#include "base/out_file.h"

enum { SIDE_MAX = 16384 };

struct error *viz_picture_create(uint32_t width, uint32_t height, struct viz_picture **ret)
{
	if (!width || !height || width > SIDE_MAX || height > SIDE_MAX)
		return error_create(ERR_LIMIT,
				    "a picture of %ux%u cannot be made: 1 to %d a side", width,
				    height, SIDE_MAX);
	AUTO(own_viz_picture) struct viz_picture *picture = NULL;
	TRY(error_alloc(1, sizeof(*picture), &picture));
	picture->width = width;
	picture->height = height;
	TRY(error_alloc((size_t)width * height, 4, &picture->rgba));
	TRY(error_alloc((size_t)width * height, sizeof(float), &picture->depth));
	*ret = TAKE(picture);
	return NULL;
}

void viz_picture_destroy(struct viz_picture *picture)
{
	if (!picture)
		return;
	free(picture->rgba);
	free(picture->depth);
	free(picture);
}

static float linear_of[256];

static void fill_linear(void)
{
	for (int i = 0; i < 256; i++) {
		float v = (float)i / 255;
		linear_of[i] = v <= 0.04045f ? v / 12.92f : powf((v + 0.055f) / 1.055f, 2.4f);
	}
}

static uint8_t to_srgb(float v)
{
	float s = v <= 0.0031308f ? 12.92f * v : 1.055f * powf(v, 1 / 2.4f) - 0.055f;
	return (uint8_t)(s * 255 + 0.5f);
}

static float nearest(const float *depth, size_t stride)
{
	float best = 0;
	for (unsigned i = 0; i < 4; i++) {
		float d = depth[(i & 1) + (i >> 1) * stride];
		if (d > 0 && (best <= 0 || d < best))
			best = d;
	}
	return best;
}

struct error *viz_picture_halve(const struct viz_picture *picture, struct viz_picture **ret)
{
	AUTO(own_viz_picture) struct viz_picture *half = NULL;
	TRY(viz_picture_create(picture->width / 2, picture->height / 2, &half));
	if (linear_of[255] == 0)
		fill_linear();
	size_t stride = picture->width;
	for (size_t y = 0; y < half->height; y++) {
		for (size_t x = 0; x < half->width; x++) {
			size_t from = 2 * y * stride + 2 * x, to = y * half->width + x;
			const uint8_t *rgba = picture->rgba + 4 * from;
			for (size_t c = 0; c < 3; c++)
				half->rgba[4 * to + c] =
					to_srgb((linear_of[rgba[c]] + linear_of[rgba[4 + c]] +
						 linear_of[rgba[4 * stride + c]] +
						 linear_of[rgba[4 * stride + 4 + c]]) /
						4);
			half->rgba[4 * to + 3] = 255;
			half->depth[to] = nearest(picture->depth + from, stride);
		}
	}
	*ret = TAKE(half);
	return NULL;
}

struct error *viz_picture_png(const struct viz_picture *picture, uint8_t **bytes_ret,
			      size_t *size_ret)
{
	png_image image = {
		.version = PNG_IMAGE_VERSION,
		.width = picture->width,
		.height = picture->height,
		.format = PNG_FORMAT_RGBA,
		.flags = PNG_IMAGE_FLAG_FAST,
	};
	/* Opaque pictures lose their alpha channel: smaller files. */
	AUTO(own_free) uint8_t *rgb = NULL;
	size_t n_pixels = (size_t)picture->width * picture->height;
	TRY(error_alloc(n_pixels, 3, &rgb));
	for (size_t i = 0; i < n_pixels; i++)
		memcpy(rgb + 3 * i, picture->rgba + 4 * i, 3);
	image.format = PNG_FORMAT_RGB;
	png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
	AUTO(own_free) uint8_t *bytes = NULL;
	TRY(error_alloc(size, 1, &bytes));
	if (!png_image_write_to_memory(&image, bytes, &size, 0, rgb, 0, NULL))
		return error_create(ERR_SYSTEM, "cannot encode a picture: %s", image.message);
	*bytes_ret = TAKE(bytes);
	*size_ret = size;
	return NULL;
}

struct error *viz_picture_jpeg(const struct viz_picture *picture, int quality,
			       uint8_t **bytes_ret, size_t *size_ret)
{
	struct jpeg_error_mgr errors;
	struct jpeg_compress_struct jpeg = { .err = jpeg_std_error(&errors) };
	unsigned char *bytes = NULL;
	unsigned long size = 0;
	jpeg_create_compress(&jpeg);
	jpeg_mem_dest(&jpeg, &bytes, &size);
	jpeg.image_width = picture->width;
	jpeg.image_height = picture->height;
	jpeg.input_components = 4;
	jpeg.in_color_space = JCS_EXT_RGBX;
	jpeg_set_defaults(&jpeg);
	jpeg_set_quality(&jpeg, quality, TRUE);
	jpeg_start_compress(&jpeg, TRUE);
	while (jpeg.next_scanline < jpeg.image_height) {
		JSAMPROW row = picture->rgba + (size_t)jpeg.next_scanline * picture->width * 4;
		jpeg_write_scanlines(&jpeg, &row, 1);
	}
	jpeg_finish_compress(&jpeg);
	jpeg_destroy_compress(&jpeg);
	*bytes_ret = bytes;
	*size_ret = size;
	return NULL;
}

struct error *viz_picture_save(const struct viz_picture *picture, const char *path)
{
	AUTO(own_free) uint8_t *bytes = NULL;
	size_t size = 0;
	TRY(viz_picture_png(picture, &bytes, &size));
	AUTO(own_out_file) struct out_file *file = NULL;
	TRY(out_file_create(path, &file));
	TRY(out_file_write(file, bytes, size));
	return out_file_commit(file);
}
