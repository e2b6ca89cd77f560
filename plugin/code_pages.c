/* Which pages of guest RAM hold code that QEMU translated since it last dropped all
 * translations. A kernel must not write there through the mapping: QEMU would go on running the
 * old translation. Bits are set at translation and only cleared when every translation is
 * dropped. Thread: any; bits are atomic. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

static uint64_t *bits;
static uint64_t n_pages;

int code_pages_init(void)
{
	n_pages = plugin.ram.bytes / GB_PAGE;
	bits = calloc(n_pages / 64 + 1, sizeof(*bits));
	return bits ? 0 : -1;
}

void code_pages_clear(void)
{
	if (bits)
		memset(bits, 0, (n_pages / 64 + 1) * sizeof(*bits));
}

void code_pages_mark(const void *host)
{
	uint64_t offset = (uintptr_t)host - (uintptr_t)plugin.ram.host;
	uint64_t page = offset / GB_PAGE;
	if (bits && page < n_pages &&
	    !(__atomic_load_n(&bits[page / 64], __ATOMIC_RELAXED) >> (page % 64) & 1))
		__atomic_fetch_or(&bits[page / 64], 1ull << (page % 64), __ATOMIC_SEQ_CST);
}

bool code_pages_hold(uint64_t offset)
{
	uint64_t page = offset / GB_PAGE;
	return !bits || page >= n_pages ||
	       (__atomic_load_n(&bits[page / 64], __ATOMIC_RELAXED) >> (page % 64) & 1);
}
