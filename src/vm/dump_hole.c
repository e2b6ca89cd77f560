/* The e820 map, in real-mode memory or in the kernel, has one entry for the RAM above 4 GiB:
 *
 *   u64 address 0x100000000, u64 size, u32 type 1
 *
 * When size is that of the file less the RAM below the hole, for one of the few borders that
 * QEMU's machines have, the file is RAM back to back. In a file with holes (offset = address)
 * the same entry has another size, and nothing is split. */
#include "vm/dump_hole.h"

#include "base/bytes.h"
#include "base/error.h"
#include "vm/mapping.h"

#define ABOVE_HOLE 0x100000000ull
#define SMALLEST_SPLIT 0x80000000ull
#define ENTRY_BYTES 20u

/* RAM below 4 GiB: q35 and microvm, then pc; with and without room kept for devices. */
static const uint64_t borders[] = { 0x80000000, 0xb0000000, 0xc0000000, 0xe0000000 };

static uint64_t border_of_entry(const uint8_t *entry, uint64_t size_bytes)
{
	if (load_u64(entry) != ABOVE_HOLE || load_u32(entry + 16) != 1)
		return 0;
	uint64_t high = load_u64(entry + 8);
	for (size_t i = 0; i < sizeof(borders) / sizeof(borders[0]); i++)
		if (borders[i] < size_bytes && high == size_bytes - borders[i])
			return borders[i];
	return 0;
}

static uint64_t find_border(struct mapping *mapping)
{
	const uint8_t *bytes = mapping_bytes(mapping);
	uint64_t size = mapping_size(mapping), start, end, at = 0;
	while (mapping_next_data(mapping, at, &start, &end)) {
		for (at = align_up(start, 4); at + ENTRY_BYTES <= end; at += 4) {
			uint64_t border = border_of_entry(bytes + at, size);
			if (border)
				return border;
		}
		at = end;
	}
	return 0;
}

struct error *dump_hole_split(struct mapping *mapping, struct dump_layout *layout)
{
	uint64_t size = mapping_size(mapping);
	if (size <= SMALLEST_SPLIT || layout->pieces.count != 1)
		return NULL;
	uint64_t border = find_border(mapping);
	if (!border)
		return NULL;
	struct dump_piece *low = &layout->pieces.items[0];
	uint64_t high = low->size_bytes - border;
	low->size_bytes = border;
	return dump_layout_add(layout, ABOVE_HOLE, high, border);
}
