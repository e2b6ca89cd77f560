#include "viz/look.h"

#include <stddef.h>

enum { CELL_BYTES = 64, N_CELLS = 64 };

struct sums {
	unsigned nonzero, text, total, groups;
};

static unsigned is_text(uint8_t byte)
{
	return (byte >= 0x20 && byte < 0x7f) || (byte >= 9 && byte <= 13);
}

static struct sums sums_of_cell(const uint8_t *cell)
{
	struct sums sums = { 0 };
	uint64_t seen = 0;
	for (size_t i = 0; i < CELL_BYTES; i++) {
		sums.nonzero += cell[i] != 0;
		sums.text += is_text(cell[i]);
		sums.total += cell[i];
		seen |= UINT64_C(1) << (cell[i] >> 2);
	}
	sums.groups = (unsigned)__builtin_popcountll(seen);
	return sums;
}

static uint32_t to_byte(double share)
{
	return share >= 1 ? 255 : share <= 0 ? 0 : (uint32_t)(share * 255 + 0.5);
}

uint32_t viz_look_of_page(const uint8_t *page)
{
	unsigned nonzero = 0, text = 0, total = 0;
	double entropy = 0;
	for (size_t i = 0; i < N_CELLS; i++) {
		struct sums cell = sums_of_cell(page + i * CELL_BYTES);
		double groups = ((double)cell.groups - 1) / 40;
		nonzero += cell.nonzero;
		text += cell.text;
		total += cell.total;
		entropy += groups > 1 ? 1 : groups < 0 ? 0 : groups;
	}
	if (!nonzero)
		return 0;
	uint32_t density = to_byte(nonzero / 4096.0);
	return (density ? density : 1) | to_byte(text / 4096.0) << 8 |
	       to_byte(total / (double)nonzero / 255) << 16 | to_byte(entropy / N_CELLS) << 24;
}
