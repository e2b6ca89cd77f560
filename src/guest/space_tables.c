#include "guest/space_tables.h"

#include <string.h>

#include "base/bytes.h"
#include "base/phys_mem.h"
#include "guest/space.h"

struct visit {
	const struct guest_space *space;
	const struct guest_space_format *format;
	const struct space_visitor *visitor;
	uint64_t first, last;
};

/* Addresses of the upper half are sign-extended. */
static uint64_t extend(const struct visit *visit, uint64_t gva)
{
	const struct guest_space_format *format = visit->format;
	unsigned width = format->shift[0] + format->bits[0];
	if (format->levels < 4 || width >= 64)
		return gva;
	return (uint64_t)((int64_t)(gva << (64 - width)) >> (64 - width));
}

static uint64_t table_bytes(const struct guest_space_format *format, unsigned depth)
{
	return (uint64_t)format->entry_bytes << format->bits[depth];
}

/* One copy of the table: entries that change during the visit are taken as they were. */
static bool copy_table(const struct visit *visit, uint64_t gpa, unsigned depth, uint8_t *copy)
{
	if (!*visit->visitor->budget)
		return false;
	--*visit->visitor->budget;
	return phys_mem_read(visit->space->mem, gpa, copy, table_bytes(visit->format, depth));
}

static bool visit_table(const struct visit *visit, uint64_t gpa, unsigned depth, uint64_t base,
			uint64_t rights);

static bool visit_leaf(const struct visit *visit, uint64_t entry, unsigned depth, uint64_t gva,
		       uint64_t rights)
{
	uint64_t page_bytes = 1ull << visit->format->shift[depth];
	uint64_t keep = GUEST_PTE_WRITE | GUEST_PTE_USER | GUEST_PTE_NX;
	struct space_leaf leaf = { .gva = gva,
				   .gpa = guest_space_leaf(visit->space, entry, page_bytes),
				   .page_bytes = page_bytes,
				   .flags = (entry & 0xfff & ~keep) | rights };
	return !visit->visitor->leaf || visit->visitor->leaf(visit->visitor->user, &leaf);
}

static bool visit_entry(const struct visit *visit, uint64_t entry, unsigned depth, uint64_t gva,
			uint64_t rights)
{
	const struct guest_space_format *format = visit->format;
	bool is_pae_top = visit->space->paging == GUEST_PAGING_PAE && depth == 0;
	uint64_t both = GUEST_PTE_WRITE | GUEST_PTE_USER;
	if (!(entry & GUEST_PTE_PRESENT))
		return true;
	uint64_t allowed = rights & (is_pae_top ? both : entry & both);
	uint64_t now = allowed | ((rights | entry) & GUEST_PTE_NX);
	if (depth + 1 == format->levels || (format->large[depth] && (entry & GUEST_PTE_LARGE)))
		return visit_leaf(visit, entry, depth, gva, now);
	return visit_table(visit, entry & format->address_mask, depth + 1, gva, now);
}

static bool visit_table(const struct visit *visit, uint64_t gpa, unsigned depth, uint64_t base,
			uint64_t rights)
{
	const struct guest_space_format *format = visit->format;
	const struct space_visitor *visitor = visit->visitor;
	uint8_t copy[8192];
	unsigned shift = format->shift[depth];
	if (visitor->table && !visitor->table(visitor->user, gpa, format->levels - depth, base))
		return true;
	if (!copy_table(visit, gpa, depth, copy))
		return *visitor->budget != 0; /* a table outside RAM is passed over */
	for (uint64_t i = 0; i < 1ull << format->bits[depth]; i++) {
		uint64_t gva = extend(visit, base + (i << shift));
		uint64_t gva_last = gva + ((1ull << shift) - 1);
		if (gva_last < visit->first || gva > visit->last)
			continue;
		uint64_t entry = format->entry_bytes == 8 ? load_u64(copy + i * 8)
							  : load_u32(copy + i * 4);
		if (!visit_entry(visit, entry, depth, gva, rights))
			return false;
	}
	return true;
}

bool guest_space_visit(const struct guest_space *space, uint64_t first, uint64_t last,
		       const struct space_visitor *visitor)
{
	struct visit visit = { .space = space,
			       .format = guest_space_format(space->paging),
			       .visitor = visitor,
			       .first = first,
			       .last = last };
	return visit_table(&visit, space->root_gpa, 0, 0, GUEST_PTE_WRITE | GUEST_PTE_USER);
}
