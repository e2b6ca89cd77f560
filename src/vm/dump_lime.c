#include "vm/dump.h"

#include <string.h>

#include "base/bytes.h"
#include "base/error.h"

/* A LiME file is a chain of ranges, each with a header in front of its bytes:
 *
 *   u32 magic "EMiL"  u32 version  u64 first address  u64 last address (inclusive)  u64 0
 *
 * Version 2 is AVML's: the bytes of a range are compressed. */
#define LIME_MAGIC 0x4c694d45u
#define AVML_MAGIC 0x4c4d5641u
#define LIME_HEADER_BYTES 32u
#define LIME_MAX_RANGES (1u << 16)

static bool probe(const uint8_t *bytes, uint64_t size_bytes)
{
	if (size_bytes < LIME_HEADER_BYTES)
		return false;
	uint32_t magic = load_u32(bytes);
	return magic == LIME_MAGIC || magic == AVML_MAGIC;
}

static struct error *check_version(const uint8_t *header, uint64_t offset)
{
	uint32_t magic = load_u32(header), version = load_u32(header + 4);
	if (magic == LIME_MAGIC && version == 1)
		return NULL;
	if (magic == AVML_MAGIC)
		return error_hint(
			error_create(ERR_UNSUPPORTED, "this is a compressed AVML file"),
			"turn it into LiME with `avml-convert`");
	return error_create(ERR_BAD_DATA,
			    "no LiME header at offset %llu (magic %#x, version %u)",
			    (unsigned long long)offset, magic, version);
}

/* Reads the range whose header is at *offset and moves behind it. The last range of a file cut
 * short keeps what is there. */
static struct error *read_range(const uint8_t *bytes, uint64_t size_bytes, uint64_t *offset,
				struct dump_layout *layout)
{
	const uint8_t *header = bytes + *offset;
	TRY(check_version(header, *offset));
	uint64_t first = load_u64(header + 8), last = load_u64(header + 16);
	if (last < first || last == UINT64_MAX)
		return error_create(ERR_BAD_DATA, "LiME range %#llx to %#llx runs backwards",
				    (unsigned long long)first, (unsigned long long)last);
	uint64_t data = *offset + LIME_HEADER_BYTES;
	uint64_t length = last - first + 1, left = size_bytes - data;
	*offset = length < left ? data + length : size_bytes;
	if (length > left)
		length = left;
	return length ? dump_layout_add(layout, first, length, data) : NULL;
}

static struct error *layout(const uint8_t *bytes, uint64_t size_bytes,
			    struct dump_layout *layout_ret)
{
	uint64_t offset = 0;
	while (size_bytes - offset >= LIME_HEADER_BYTES) {
		if (layout_ret->pieces.count == LIME_MAX_RANGES)
			return error_create(ERR_LIMIT, "more than %u LiME ranges",
					    LIME_MAX_RANGES);
		TRY(read_range(bytes, size_bytes, &offset, layout_ret));
	}
	if (!layout_ret->pieces.count)
		return error_create(ERR_BAD_DATA, "the LiME file holds no memory");
	return NULL;
}

const struct dump_format dump_lime = { .name = "lime", .probe = probe, .layout = layout };
