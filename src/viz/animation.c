#include "viz/animation.h"

#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "base/out_file.h"
#include "viz/picture.h"

/*
 *   signature IHDR acTL   fcTL IDAT...   fcTL fdAT...   fcTL fdAT...   IEND
 *                         picture 0      picture 1      picture 2
 *
 * Every picture is encoded as a PNG of its own, whose IDAT chunks are taken over; from the
 * second picture on they are called fdAT and start with a sequence number, which fcTL chunks
 * have too.
 */
enum { SIGNATURE_BYTES = 8, CHUNK_BYTES = 12 }; /* of a chunk without data */

struct viz_animation {
	struct out_file *file;
	uint32_t n, added, sequence;
	uint32_t width, height;
	uint16_t delay_ms;
};

static void put_u32(uint8_t *to, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++)
		to[i] = (uint8_t)(value >> (24 - 8 * i));
}

static uint32_t get_u32(const uint8_t *from)
{
	return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 |
	       from[3];
}

/* Data in two parts, so that a sequence number can go in front. */
static struct error *write_chunk(struct viz_animation *animation, const char *name,
				 const uint8_t *first, uint32_t n_first, const uint8_t *second,
				 uint32_t n_second)
{
	uint8_t head[8], tail[4];
	put_u32(head, n_first + n_second);
	memcpy(head + 4, name, 4);
	uLong crc = crc32(crc32(0, head + 4, 4), first, n_first);
	if (n_second)
		crc = crc32(crc, second, n_second);
	put_u32(tail, (uint32_t)crc);
	TRY(out_file_write(animation->file, head, sizeof(head)));
	TRY(out_file_write(animation->file, first, n_first));
	TRY(out_file_write(animation->file, second, n_second));
	return out_file_write(animation->file, tail, sizeof(tail));
}

struct error *viz_animation_create(const char *path, uint32_t n, uint16_t delay_ms,
				   struct viz_animation **ret)
{
	AUTO(own_viz_animation) struct viz_animation *animation = NULL;
	TRY(error_alloc(1, sizeof(*animation), &animation));
	animation->n = n;
	animation->delay_ms = delay_ms;
	TRY(out_file_create(path, &animation->file));
	*ret = TAKE(animation);
	return NULL;
}

void viz_animation_destroy(struct viz_animation *animation)
{
	if (!animation)
		return;
	out_file_destroy(animation->file);
	free(animation);
}

/* png: of the first picture. */
static struct error *write_head(struct viz_animation *animation, const uint8_t *png)
{
	const uint8_t *header = png + SIGNATURE_BYTES;
	uint8_t control[8];
	put_u32(control, animation->n);
	put_u32(control + 4, 0); /* for ever */
	TRY(out_file_write(animation->file, png, SIGNATURE_BYTES));
	TRY(out_file_write(animation->file, header, CHUNK_BYTES + get_u32(header)));
	return write_chunk(animation, "acTL", control, sizeof(control), NULL, 0);
}

static struct error *write_frame_head(struct viz_animation *animation)
{
	uint8_t control[26] = { 0 };
	put_u32(control, animation->sequence++);
	put_u32(control + 4, animation->width);
	put_u32(control + 8, animation->height);
	control[20] = (uint8_t)(animation->delay_ms >> 8);
	control[21] = (uint8_t)animation->delay_ms;
	control[22] = 1000 >> 8;
	control[23] = 1000 & 255;
	return write_chunk(animation, "fcTL", control, sizeof(control), NULL, 0);
}

static struct error *write_frame(struct viz_animation *animation, const uint8_t *png,
				 size_t size)
{
	for (size_t at = SIGNATURE_BYTES; at + CHUNK_BYTES <= size;) {
		uint32_t length = get_u32(png + at);
		const uint8_t *data = png + at + 8;
		uint8_t number[4];
		if (!memcmp(png + at + 4, "IDAT", 4)) {
			put_u32(number, animation->sequence);
			if (animation->added)
				animation->sequence++;
			TRY(write_chunk(animation, animation->added ? "fdAT" : "IDAT", number,
					animation->added ? 4 : 0, data, length));
		}
		at += CHUNK_BYTES + (size_t)length;
	}
	return NULL;
}

struct error *viz_animation_add(struct viz_animation *animation,
				const struct viz_picture *picture)
{
	AUTO(own_free) uint8_t *png = NULL;
	size_t size = 0;
	TRY(viz_picture_png(picture, &png, &size));
	if (!animation->added) {
		animation->width = picture->width;
		animation->height = picture->height;
		TRY(write_head(animation, png));
	}
	CHECK(animation->added < animation->n && picture->width == animation->width &&
	      picture->height == animation->height);
	TRY(write_frame_head(animation));
	TRY(write_frame(animation, png, size));
	animation->added++;
	return NULL;
}

struct error *viz_animation_finish(struct viz_animation *animation)
{
	CHECK(animation->added == animation->n);
	TRY(write_chunk(animation, "IEND", (const uint8_t *)"", 0, NULL, 0));
	return out_file_commit(animation->file);
}
