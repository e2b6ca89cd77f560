#include "walk.h"

#include <string.h>

#include "internal.h"

enum {
	PRESENT = 1 << 0,
	WRITE = 1 << 1,
	USER = 1 << 2,
	ACCESSED = 1 << 5,
	DIRTY = 1 << 6,
	LARGE = 1 << 7,
};
static const uint64_t ADDRESS = 0x000ffffffffff000ull;
static const uint64_t KEY = 0x7800000000000000ull; /* protection key: only 0 is served */
/* Without a description of memory only what is RAM on every PC at its own address. */
static const uint64_t VIDEO_START = 0xa0000, VIDEO_END = 0x100000, LOW_END = 0x80000000;

bool walk_ram_offset(uint64_t gpa, uint64_t bytes, uint64_t *offset_ret)
{
	if (gpa < VIDEO_END && gpa + bytes > VIDEO_START)
		return false;
	if (!plugin.n_segments) {
		*offset_ret = gpa;
		return gpa < LOW_END && bytes <= plugin.ram.bytes &&
		       gpa <= plugin.ram.bytes - bytes;
	}
	for (unsigned i = 0; i < plugin.n_segments; i++) {
		const struct gb_ram_segment *s = &plugin.segment[i];
		if (gpa < s->gpa || bytes > s->bytes || gpa - s->gpa > s->bytes - bytes)
			continue;
		*offset_ret = s->file_offset + (gpa - s->gpa);
		return bytes <= plugin.ram.bytes && *offset_ret <= plugin.ram.bytes - bytes;
	}
	return false;
}

static bool read_entry(uint64_t gpa, uint64_t *ret)
{
	uint64_t offset;
	if (!walk_ram_offset(gpa, 8, &offset))
		return false;
	*ret = __atomic_load_n((uint64_t *)(plugin.ram.host + offset), __ATOMIC_RELAXED);
	return true;
}

static bool canonical(uint64_t gva, unsigned levels)
{
	unsigned unused = 64 - (12 + 9 * levels);
	return (uint64_t)((int64_t)(gva << unused) >> unused) == gva;
}

/* The leaf entry and its page size; all permission bits met on the way are and-ed. */
static enum gb_plan_result find_leaf(struct walk_space *space, uint64_t gva, uint64_t *leaf_ret,
				     uint64_t *allowed_ret, unsigned *shift_ret)
{
	struct walk_table *known = &space->table[(gva >> 21) % WALK_TABLES];
	bool is_known = known->region == (gva >> 21) + 1;
	uint64_t table = is_known ? known->entry : space->root;
	uint64_t allowed = is_known ? known->allowed : WRITE | USER;
	for (unsigned level = is_known ? 1 : space->levels; level >= 1; level--) {
		unsigned shift = 12 + 9 * (level - 1);
		uint64_t entry;
		if (!read_entry((table & ADDRESS) + (gva >> shift & 511) * 8, &entry))
			return GB_PLAN_DEVICE;
		if (!(entry & PRESENT) || !(entry & ACCESSED))
			return GB_PLAN_PAGE;
		allowed &= entry;
		if (level == 1 || (level <= 3 && (entry & LARGE))) {
			*leaf_ret = entry;
			*allowed_ret = allowed;
			*shift_ret = shift;
			return GB_PLAN_GO;
		}
		table = entry;
		if (level == 2)
			*known = (struct walk_table){ (gva >> 21) + 1, entry, allowed };
	}
	return GB_PLAN_PAGE;
}

/* Whether an access may go through a leaf entry, given the permissions met on the way. */
static enum gb_plan_result may_access(const struct walk_space *space, uint64_t leaf,
				      uint64_t allowed, bool write)
{
	bool page_is_user = allowed & USER;
	if (page_is_user != space->user || (leaf & KEY))
		return GB_PLAN_PRIVILEGE;
	if (write && (!(allowed & WRITE) || !(leaf & DIRTY)))
		return GB_PLAN_PAGE;
	return GB_PLAN_GO;
}

enum gb_plan_result walk(struct walk_space *space, uint64_t gva, bool write,
			 struct walk_page *ret)
{
	uint64_t leaf, allowed;
	unsigned shift;
	if (!canonical(gva, space->levels))
		return GB_PLAN_PAGE;
	enum gb_plan_result found = find_leaf(space, gva, &leaf, &allowed, &shift);
	if (found == GB_PLAN_GO)
		found = may_access(space, leaf, allowed, write);
	if (found != GB_PLAN_GO)
		return found;
	ret->bytes = 1ull << shift;
	ret->gva = gva & ~(ret->bytes - 1);
	uint64_t gpa = leaf & ADDRESS & ~(ret->bytes - 1);
	return walk_ram_offset(gpa, ret->bytes, &ret->offset) ? GB_PLAN_GO : GB_PLAN_DEVICE;
}

/* The table that the last page's entry came from holds those of its neighbours. */
static void keep_table(struct walk_space *space, uint64_t gva)
{
	const struct walk_table *known = &space->table[(gva >> 21) % WALK_TABLES];
	uint64_t offset;
	space->near.entries = NULL;
	if (known->region != (gva >> 21) + 1 ||
	    !walk_ram_offset(known->entry & ADDRESS, 4096, &offset))
		return;
	space->near.entries = (const uint64_t *)(const void *)(plugin.ram.host + offset);
	space->near.region = known->region;
	space->near.allowed = known->allowed;
}

enum gb_plan_result walk_ready(struct walk_space *space, uint64_t gva, bool write,
			       uint64_t *offset_ret)
{
	if (space->near.entries && space->near.region == (gva >> 21) + 1) {
		uint64_t leaf = __atomic_load_n(&space->near.entries[gva >> 12 & 511],
						__ATOMIC_RELAXED);
		if (!(leaf & PRESENT) || !(leaf & ACCESSED))
			return GB_PLAN_PAGE;
		enum gb_plan_result may =
			may_access(space, leaf, space->near.allowed & leaf, write);
		if (may != GB_PLAN_GO)
			return may;
		return walk_ram_offset(leaf & ADDRESS, 4096, offset_ret) ? GB_PLAN_GO
									 : GB_PLAN_DEVICE;
	}
	struct walk_page page;
	enum gb_plan_result ready = walk(space, gva, write, &page);
	if (ready != GB_PLAN_GO)
		return ready;
	*offset_ret = page.offset + ((gva - page.gva) & ~(uint64_t)(4096 - 1));
	keep_table(space, gva);
	return GB_PLAN_GO;
}

/* The bytes from gva on that lie in one page, at most n; NULL: not ready. */
static const uint8_t *find_part(struct walk_space *space, uint64_t gva, uint64_t *n)
{
	struct walk_page page;
	if (walk(space, gva, false, &page) != GB_PLAN_GO)
		return NULL;
	uint64_t inside = gva - page.gva;
	if (*n > page.bytes - inside)
		*n = page.bytes - inside;
	return plugin.ram.host + page.offset + inside;
}

bool walk_read(struct walk_space *space, uint64_t gva, void *to, uint64_t n)
{
	for (uint64_t done = 0, part; done < n; done += part) {
		part = n - done;
		const uint8_t *from = find_part(space, gva + done, &part);
		if (!from)
			return false;
		memcpy((uint8_t *)to + done, from, part);
	}
	return true;
}

bool walk_same_bytes(struct walk_space *space, uint64_t gva, const void *wanted, uint64_t n)
{
	for (uint64_t done = 0, part; done < n; done += part) {
		part = n - done;
		const uint8_t *there = find_part(space, gva + done, &part);
		if (!there || memcmp(there, (const uint8_t *)wanted + done, part) != 0)
			return false;
	}
	return true;
}
