/* Layout in pixels (each a little-endian 32-bit word, R its low byte):
 *
 *   0 magic "GBX1"   1 pixels in all   2 n_slots | trip_slot << 16   3 fuel
 *   4 search_slot | n_inputs << 16 | n_exits << 24    5 n_streams | n_reductions << 8 | serial
 * << 16 6 .. 9 pixels of guard, setup, body, finish       10 .. 25 name, NUL-padded 26 ..
 * inputs (1 each: guest | slot << 16), exits (1 each), streams (6 each), reductions (2 each),
 * then the sections one after another. */
#include "mcode/image.h"

#include <png.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "mcode/program.h"
#include "mcode/validate.h"

#define IMAGE_MAGIC 0x31584247u
#define IMAGE_HEADER 26u
#define IMAGE_WIDTH 32u
#define IMAGE_MAX_PIXELS \
	(IMAGE_HEADER + 128 + 6 * 32 + 2 * 32 + MCODE_SECTIONS * MCODE_MAX_PIXELS)

static uint32_t table_pixels(const struct mcode_kernel *kernel)
{
	return kernel->n_inputs + kernel->n_exits + 6 * kernel->n_streams +
	       2 * kernel->n_reductions;
}

static uint32_t *put_tables(const struct mcode_kernel *kernel, uint32_t *to)
{
	for (uint32_t i = 0; i < kernel->n_inputs; i++)
		*to++ = kernel->inputs[i].guest | (uint32_t)kernel->inputs[i].slot << 16;
	for (uint32_t i = 0; i < kernel->n_exits; i++)
		*to++ = kernel->exits[i].guest | (uint32_t)kernel->exits[i].slot << 16;
	for (uint32_t i = 0; i < kernel->n_streams; i++) {
		const struct mcode_stream *s = &kernel->streams[i];
		*to++ = s->base_slot | (uint32_t)s->stride_slot << 16;
		*to++ = s->length_slot | (uint32_t)s->flags << 16;
		*to++ = (uint32_t)s->stride;
		*to++ = (uint32_t)((uint64_t)s->stride >> 32);
		*to++ = (uint32_t)s->low;
		*to++ = (uint32_t)s->high;
	}
	for (uint32_t i = 0; i < kernel->n_reductions; i++) {
		const struct mcode_reduction *r = &kernel->reductions[i];
		*to++ = r->op | (uint32_t)r->width_code << 8 | (uint32_t)r->packed << 16;
		*to++ = r->acc_slot | (uint32_t)r->value_slot << 16;
	}
	return to;
}

struct error *mcode_pack(const struct mcode_kernel *kernel, uint32_t **pixels_ret,
			 uint32_t *count_ret)
{
	uint32_t count = IMAGE_HEADER + table_pixels(kernel);
	for (int s = 0; s < MCODE_SECTIONS; s++)
		count += kernel->code[s].count;
	uint32_t *pixels;
	TRY(error_alloc(count, sizeof(*pixels), &pixels));
	pixels[0] = IMAGE_MAGIC;
	pixels[1] = count;
	pixels[2] = kernel->n_slots | (uint32_t)kernel->trip_slot << 16;
	pixels[3] = kernel->fuel;
	pixels[4] = kernel->search_slot | kernel->n_inputs << 16 | kernel->n_exits << 24;
	pixels[5] =
		kernel->n_streams | kernel->n_reductions << 8 | (uint32_t)kernel->serial << 16;
	for (int s = 0; s < MCODE_SECTIONS; s++)
		pixels[6 + s] = kernel->code[s].count;
	memcpy(&pixels[10], kernel->name, strlen(kernel->name));
	uint32_t *to = put_tables(kernel, pixels + IMAGE_HEADER);
	for (int s = 0; s < MCODE_SECTIONS; s++) {
		const struct mcode_code *code = &kernel->code[s];
		if (code->count)
			memcpy(to, code->pixels, code->count * sizeof(*to));
		to += code->count;
	}
	*pixels_ret = pixels;
	*count_ret = count;
	return NULL;
}

static struct error *bad(const char *what)
{
	return error_create(ERR_BAD_DATA, "not a Pixel CPU program: %s", what);
}

static struct error *get_header(const uint32_t *pixels, uint32_t count,
				struct mcode_kernel *kernel)
{
	if (count < IMAGE_HEADER || pixels[0] != IMAGE_MAGIC)
		return bad("no header");
	kernel->n_slots = pixels[2] & 0xffff;
	kernel->trip_slot = (uint16_t)(pixels[2] >> 16);
	kernel->fuel = pixels[3];
	kernel->search_slot = (uint16_t)pixels[4];
	kernel->n_inputs = pixels[4] >> 16 & 0xff;
	kernel->n_exits = pixels[4] >> 24;
	kernel->n_streams = pixels[5] & 0xff;
	kernel->n_reductions = pixels[5] >> 8 & 0xff;
	kernel->serial = pixels[5] >> 16 & 1;
	if (pixels[5] >> 17)
		return bad("header");
	if (kernel->n_inputs > MCODE_MAX_INPUTS || kernel->n_exits > MCODE_MAX_EXITS ||
	    kernel->n_streams > MCODE_MAX_STREAMS ||
	    kernel->n_reductions > MCODE_MAX_REDUCTIONS)
		return bad("a table is too long");
	memcpy(kernel->name, &pixels[10], sizeof(kernel->name));
	/* Bytes after the end of the name would not survive a round trip. */
	size_t length = strnlen(kernel->name, sizeof(kernel->name));
	for (size_t i = length; i < sizeof(kernel->name); i++)
		if (kernel->name[i])
			return bad("name");
	return NULL;
}

static struct mcode_binding get_binding(uint32_t pixel)
{
	return (struct mcode_binding){ (uint16_t)pixel, (uint16_t)(pixel >> 16) };
}

static void get_tables(const uint32_t *from, struct mcode_kernel *kernel)
{
	for (uint32_t i = 0; i < kernel->n_inputs; i++)
		kernel->inputs[i] = get_binding(*from++);
	for (uint32_t i = 0; i < kernel->n_exits; i++)
		kernel->exits[i] = get_binding(*from++);
	for (uint32_t i = 0; i < kernel->n_streams; i++, from += 6)
		kernel->streams[i] = (struct mcode_stream){
			.base_slot = (uint16_t)from[0],
			.stride_slot = (uint16_t)(from[0] >> 16),
			.length_slot = (uint16_t)from[1],
			.flags = (uint16_t)(from[1] >> 16),
			.stride = (int64_t)(from[2] | (uint64_t)from[3] << 32),
			.low = (int32_t)from[4],
			.high = (int32_t)from[5],
		};
	for (uint32_t i = 0; i < kernel->n_reductions; i++, from += 2)
		kernel->reductions[i] = (struct mcode_reduction){
			.op = (uint8_t)from[0],
			.width_code = (uint8_t)(from[0] >> 8),
			.packed = (uint8_t)(from[0] >> 16),
			.unused = (uint8_t)(from[0] >> 24),
			.acc_slot = (uint16_t)from[1],
			.value_slot = (uint16_t)(from[1] >> 16),
		};
}

static struct error *get_code(const uint32_t *from, const uint32_t *counts,
			      struct mcode_kernel *kernel)
{
	for (int s = 0; s < MCODE_SECTIONS; s++) {
		struct mcode_code *code = &kernel->code[s];
		if (!counts[s])
			continue;
		TRY(error_alloc(counts[s], sizeof(*code->pixels), &code->pixels));
		memcpy(code->pixels, from, counts[s] * sizeof(*from));
		code->count = code->capacity = counts[s];
		from += counts[s];
	}
	return NULL;
}

struct error *mcode_unpack(const uint32_t *pixels, uint32_t count, struct mcode_kernel **ret)
{
	AUTO(own_mcode_kernel) struct mcode_kernel *kernel = NULL;
	TRY(mcode_kernel_create(&kernel));
	TRY(get_header(pixels, count, kernel));
	uint64_t total = IMAGE_HEADER + table_pixels(kernel);
	for (int s = 0; s < MCODE_SECTIONS; s++) {
		if (pixels[6 + s] > MCODE_MAX_PIXELS)
			return bad("a section is too long");
		total += pixels[6 + s];
	}
	if (total > count || total != pixels[1])
		return bad("cut short");
	for (uint32_t i = (uint32_t)total; i < count; i++)
		if (pixels[i])
			return bad("something after its end");
	get_tables(pixels + IMAGE_HEADER, kernel);
	TRY(get_code(pixels + IMAGE_HEADER + table_pixels(kernel), pixels + 6, kernel));
	TRY(mcode_validate(kernel));
	*ret = TAKE(kernel);
	return NULL;
}

struct error *mcode_png_encode(const struct mcode_kernel *kernel, uint8_t **png_ret,
			       size_t *size_ret)
{
	AUTO(own_free) uint32_t *pixels = NULL;
	AUTO(own_free) uint32_t *rows = NULL;
	AUTO(own_free) uint8_t *png = NULL;
	uint32_t count;
	TRY(mcode_pack(kernel, &pixels, &count));
	uint32_t height = (count + IMAGE_WIDTH - 1) / IMAGE_WIDTH;
	TRY(error_alloc((size_t)height * IMAGE_WIDTH, sizeof(*rows), &rows));
	memcpy(rows, pixels, count * sizeof(*rows));
	png_image image = {
		.version = PNG_IMAGE_VERSION,
		.width = IMAGE_WIDTH,
		.height = height,
		.format = PNG_FORMAT_RGBA,
	};
	size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
	TRY(error_alloc(size, 1, &png));
	if (!png_image_write_to_memory(&image, png, &size, 0, rows, 0, NULL)) {
		png_image_free(&image);
		return error_create(ERR_SYSTEM, "cannot write a PNG: %s", image.message);
	}
	*png_ret = TAKE(png);
	*size_ret = size;
	return NULL;
}

struct error *mcode_png_decode(const uint8_t *png, size_t size_bytes, struct mcode_kernel **ret)
{
	AUTO(own_free) uint32_t *pixels = NULL;
	png_image image = { .version = PNG_IMAGE_VERSION };
	if (!png_image_begin_read_from_memory(&image, png, size_bytes)) {
		png_image_free(&image);
		return error_create(ERR_BAD_DATA, "not a PNG: %s", image.message);
	}
	bool is_8_bit_rgba = image.format == PNG_FORMAT_RGBA;
	uint64_t count = (uint64_t)image.width * image.height;
	struct error *err = NULL;
	if (!is_8_bit_rgba)
		err = error_create(ERR_BAD_DATA, "a program is a PNG of 8-bit RGBA");
	else if (count > IMAGE_MAX_PIXELS + 4096)
		err = error_create(ERR_LIMIT, "a picture of %u x %u is no program", image.width,
				   image.height);
	else
		err = error_alloc(count, sizeof(*pixels), &pixels);
	if (!err && !png_image_finish_read(&image, NULL, pixels, 0, NULL))
		err = error_create(ERR_BAD_DATA, "damaged PNG: %s", image.message);
	png_image_free(&image);
	TRY(err);
	return mcode_unpack(pixels, (uint32_t)count, ret);
}
