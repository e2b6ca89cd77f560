#include "guest/space.h"

#include <string.h>

#include "base/bytes.h"
#include "base/phys_mem.h"

/* ORDER guest_paging */
static const struct guest_space_format formats[] = {
	[GUEST_PAGING_2LEVEL] = { 2, 4, { 22, 12 }, { 10, 10 }, { true, false }, 0xfffff000 },
	[GUEST_PAGING_PAE] = { 3,
			       8,
			       { 30, 21, 12 },
			       { 2, 9, 9 },
			       { false, true, false },
			       0x000ffffffffff000 },
	[GUEST_PAGING_4LEVEL] = { 4,
				  8,
				  { 39, 30, 21, 12 },
				  { 9, 9, 9, 9 },
				  { false, true, true, false },
				  0x000ffffffffff000 },
	[GUEST_PAGING_5LEVEL] = { 5,
				  8,
				  { 48, 39, 30, 21, 12 },
				  { 9, 9, 9, 9, 9 },
				  { false, false, true, true, false },
				  0x000ffffffffff000 },
};

void guest_space_init(struct guest_space *space, struct phys_mem *mem, uint64_t root_gpa,
		      enum guest_paging paging)
{
	space->mem = mem;
	space->root_gpa = root_gpa & ~0xfffull;
	if (paging == GUEST_PAGING_PAE)
		space->root_gpa = root_gpa & ~0x1full;
	space->paging = paging;
	guest_space_flush(space);
}

void guest_space_flush(struct guest_space *space)
{
	memset(space->tlb, 0, sizeof(space->tlb));
}

const struct guest_space_format *guest_space_format(enum guest_paging paging)
{
	return &formats[paging];
}

static bool canonical(enum guest_paging paging, uint64_t gva)
{
	if (paging == GUEST_PAGING_2LEVEL || paging == GUEST_PAGING_PAE)
		return gva <= UINT32_MAX;
	unsigned unused = paging == GUEST_PAGING_5LEVEL ? 7 : 16;
	return (uint64_t)((int64_t)(gva << unused) >> unused) == gva;
}

static bool load_entry(struct phys_mem *mem, uint64_t gpa, unsigned entry_bytes, uint64_t *ret)
{
	const uint8_t *at = phys_mem_at(mem, gpa, entry_bytes);
	uint64_t value = 0;
	if (at)
		value = entry_bytes == 8 ? load_u64(at) : load_u32(at);
	else if (!phys_mem_read(mem, gpa, &value, entry_bytes))
		return false;
	*ret = value;
	return true;
}

uint64_t guest_space_leaf(const struct guest_space *space, uint64_t entry, uint64_t page_bytes)
{
	uint64_t base = entry & formats[space->paging].address_mask & ~(page_bytes - 1);
	if (space->paging == GUEST_PAGING_2LEVEL && page_bytes > 4096)
		base |= (entry >> 13 & 0xff) << 32;
	return base;
}

enum guest_walk guest_space_trace(const struct guest_space *space, uint64_t gva,
				  struct guest_mapping *ret, struct guest_walk_trace *trace)
{
	const struct guest_space_format *format = &formats[space->paging];
	uint64_t table = space->root_gpa, allowed = GUEST_PTE_WRITE | GUEST_PTE_USER, nx = 0;
	trace->levels = 0;
	if (!canonical(space->paging, gva))
		return GUEST_WALK_NOT_CANONICAL;
	for (unsigned level = 0; level < format->levels; level++) {
		uint64_t index =
			gva >> format->shift[level] & ((1ull << format->bits[level]) - 1);
		uint64_t entry;
		if (!load_entry(space->mem, table + index * format->entry_bytes,
				format->entry_bytes, &entry))
			return GUEST_WALK_OUTSIDE_RAM;
		trace->table_gpa[level] = table;
		trace->entry[level] = entry;
		trace->levels = level + 1;
		if (!(entry & GUEST_PTE_PRESENT))
			return GUEST_WALK_NOT_PRESENT;
		/* Top-level PAE entries carry no rights. */
		if (space->paging != GUEST_PAGING_PAE || level)
			allowed &= entry;
		nx |= entry & GUEST_PTE_NX;
		bool last = level + 1 == format->levels;
		if (last || (format->large[level] && entry & GUEST_PTE_LARGE)) {
			uint64_t page_bytes = 1ull << format->shift[level];
			uint64_t keep = GUEST_PTE_WRITE | GUEST_PTE_USER;
			ret->gpa = guest_space_leaf(space, entry, page_bytes) |
				   (gva & (page_bytes - 1));
			ret->page_bytes = page_bytes;
			ret->flags = (entry & 0xfff & ~keep) | allowed | nx;
			return GUEST_WALK_OK;
		}
		table = entry & format->address_mask;
	}
	return GUEST_WALK_NOT_PRESENT;
}

enum guest_walk guest_space_walk(const struct guest_space *space, uint64_t gva,
				 struct guest_mapping *ret)
{
	struct guest_walk_trace trace;
	return guest_space_trace(space, gva, ret, &trace);
}

const char *guest_walk_text(enum guest_walk status)
{
	static const char *const texts[] = {
		[GUEST_WALK_OK] = "mapped",
		[GUEST_WALK_NOT_CANONICAL] = "not a canonical address",
		[GUEST_WALK_NOT_PRESENT] = "not present",
		[GUEST_WALK_OUTSIDE_RAM] = "mapped outside RAM",
	};
	return texts[status];
}

/* Copies within one page. */
static bool read_page(struct guest_space *space, uint64_t gva, void *to, size_t length)
{
	uint64_t page = gva >> 12, offset = gva & 0xfff;
	typeof(&space->tlb[0]) slot = &space->tlb[page % GUEST_TLB_ENTRIES];
	if (slot->page != page + 1) {
		struct guest_mapping mapping;
		if (guest_space_walk(space, gva, &mapping) != GUEST_WALK_OK ||
		    !phys_mem_segment(space->mem, mapping.gpa))
			return false;
		slot->gpa = mapping.gpa & ~0xfffull;
		slot->host = phys_mem_at(space->mem, slot->gpa, 4096);
		slot->page = page + 1;
	}
	if (slot->host) {
		memcpy(to, slot->host + offset, length);
		return true;
	}
	return phys_mem_read(space->mem, slot->gpa + offset, to, length);
}

size_t guest_space_read_some(struct guest_space *space, uint64_t gva, void *to,
			     size_t length_bytes)
{
	uint8_t *out = to;
	size_t done = 0;
	while (done < length_bytes) {
		size_t part = 4096 - (size_t)((gva + done) & 0xfff);
		if (part > length_bytes - done)
			part = length_bytes - done;
		if (gva + done < gva || !read_page(space, gva + done, out + done, part))
			break;
		done += part;
	}
	return done;
}

static size_t read_some(void *space, uint64_t gva, void *to, size_t length_bytes)
{
	return guest_space_read_some(space, gva, to, length_bytes);
}

enum stable_result guest_space_read_stable(struct guest_space *space, uint64_t gva, void *to,
					   size_t length_bytes, unsigned looks,
					   size_t *done_ret)
{
	struct stable_source source = { read_some, space };
	if (space->mem->is_live)
		return stable_read(&source, gva, to, length_bytes, looks, done_ret);
	size_t done = guest_space_read_some(space, gva, to, length_bytes);
	if (done_ret)
		*done_ret = done;
	return done == length_bytes ? STABLE_YES : STABLE_SHORT;
}

bool guest_space_read(struct guest_space *space, uint64_t gva, void *to, size_t length_bytes)
{
	return guest_space_read_some(space, gva, to, length_bytes) == length_bytes;
}
