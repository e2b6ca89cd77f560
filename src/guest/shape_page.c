/* struct page, for a kernel without types, from two witnesses:
 *
 * - VMCOREINFO says where its parts lie and what some of its bits and page types mean: it is
 *   written for tools that leave pages out of dumps.
 * - The frames of which the use is known say the rest. Those of the kernel's text have no bit
 * in common but "reserved". Those of process 1's page tables carry the type for page tables,
 * which has had three forms (page_struct.c); which one it is follows from the value of free
 * pages.
 *
 * The array is believed when all frames of the text are reserved in it and have a use count,
 * and the frames of page tables agree about their type: a wrong place or stride of the array
 * shows in hundreds of frames. */
#include <stdio.h>

#include "base/bytes.h"
#include "guest/inferred.h"
#include "guest/internal.h"
#include "guest/page_struct.h"
#include "guest/shape.h"
#include "guest/space_tables.h"
#include "guest/vmcoreinfo.h"

enum {
	FLAG_BITS = 26, /* above lie zone and node */
	TEXT_FRAMES_MAX = 512,
	TABLES_MAX = 64,
	BYTE_TYPE_FIRST = 0xf0,
};

struct pages {
	const struct shape *s;
	uint64_t base; /* gva of the structure of frame 0 */
	int64_t bytes, flags, mapcount, refcount, mapping, private, lru;
};

static bool info_number(struct guest *guest, const char *key, int64_t *ret)
{
	return guest->has_info && vmcoreinfo_number(&guest->info, key, ret);
}

static bool info_offset(struct pages *p, const char *key, int64_t *ret)
{
	return info_number(p->s->guest, key, ret) && *ret >= 0 &&
	       *ret <= p->bytes - (int64_t)p->s->word;
}

static bool read_offsets(struct pages *p)
{
	if (!info_number(p->s->guest, "SIZE(page)", &p->bytes) || p->bytes < 16 ||
	    p->bytes > PAGE_STRUCT_MAX_BYTES)
		return false;
	return info_offset(p, "OFFSET(page.flags)", &p->flags) &&
	       info_offset(p, "OFFSET(page._mapcount)", &p->mapcount) &&
	       info_offset(p, "OFFSET(page._refcount)", &p->refcount) &&
	       info_offset(p, "OFFSET(page.mapping)", &p->mapping) &&
	       info_offset(p, "OFFSET(page.private)", &p->private) &&
	       info_offset(p, "OFFSET(page.lru)", &p->lru);
}

static uint64_t struct_at(const struct pages *p, uint64_t gpa)
{
	uint64_t gva = p->base + gpa / PHYS_PAGE_SIZE * (uint64_t)p->bytes;
	return p->s->word == 4 ? gva & UINT32_MAX : gva;
}

/* The variable, its value as VMCOREINFO has it, or the fixed place. */
static bool find_base(struct pages *p)
{
	struct guest *guest = p->s->guest;
	uint64_t gva;
	if (guest_symbol(guest, "vmemmap_base", &gva) || guest_symbol(guest, "mem_map", &gva))
		p->base = shape_word(p->s, gva);
	else if (!guest_symbol(guest, "vmemmap", &p->base) && p->s->word == 8)
		p->base = guest->paging == GUEST_PAGING_5LEVEL ? 0xffd4000000000000
							       : 0xffffea0000000000;
	return guest_is_kernel_pointer(guest, p->base);
}

/* --- frames of which the use is known -------------------------------------------------------
 */

/* The one flag that all frames of the kernel's text have; -1 when that is not so. */
static int reserved_bit(const struct pages *p)
{
	struct guest *guest = p->s->guest;
	uint64_t start, end, gpa, common = (1u << FLAG_BITS) - 1;
	if (!guest_symbol(guest, "_stext", &start) || !guest_symbol(guest, "_etext", &end) ||
	    end - start < PHYS_PAGE_SIZE)
		return -1;
	for (unsigned n = 0; n < TEXT_FRAMES_MAX && start < end; n++, start += PHYS_PAGE_SIZE) {
		uint64_t page;
		if (!guest_image_to_gpa(guest, start, &gpa))
			return -1;
		page = struct_at(p, gpa);
		if (!shape_u32(p->s, page + (uint64_t)p->refcount))
			return -1;
		common &= shape_word(p->s, page + (uint64_t)p->flags);
	}
	return common && !(common & (common - 1)) ? __builtin_ctzll(common) : -1;
}

struct table_types {
	const struct pages *pages;
	uint32_t type; /* of the first table */
	unsigned n, same;
};

static bool see_table(void *user, uint64_t gpa, unsigned level, uint64_t gva)
{
	struct table_types *t = user;
	/* Higher ones may be shared, or come in pairs. */
	unsigned highest = t->pages->s->guest->paging == GUEST_PAGING_2LEVEL ? 1 : 2;
	if (level > highest || t->n == TABLES_MAX)
		return t->n < TABLES_MAX;
	uint32_t type =
		shape_u32(t->pages->s, struct_at(t->pages, gpa) + (uint64_t)t->pages->mapcount);
	if (!t->n++)
		t->type = type;
	t->same += type == t->type;
	return true;
}

/* page_type of page tables. */
static bool table_type(const struct pages *p, uint32_t *ret)
{
	const struct shape *s = p->s;
	struct table_types t = { .pages = p };
	uint64_t budget = TABLES_MAX, mm = s->mm ? shape_word(s, s->init + s->mm) : 0;
	struct guest_mapping mapping;
	struct guest_space space = { 0 };
	struct space_visitor visitor = { .table = see_table, .user = &t, .budget = &budget };
	uint64_t pgd = mm && s->pgd ? shape_word(s, mm + s->pgd) : 0;
	if (!pgd || guest_space_walk(&s->guest->kernel, pgd, &mapping) != GUEST_WALK_OK)
		return false;
	guest_space_init(&space, s->guest->mem, mapping.gpa, s->guest->paging);
	guest_space_visit(&space, 0, s->word == 8 ? INT64_MAX : 0x3fffffff, &visitor);
	*ret = t.type;
	return t.n >= 2 && t.same == t.n;
}

/* --- what it all means ----------------------------------------------------------------------
 */

static void add_member(const struct pages *p, const char *path, int64_t offset, uint32_t bytes)
{
	inferred_add(p->s->guest, path, (uint64_t)offset, bytes);
}

static void add_members(const struct pages *p)
{
	uint32_t word = p->s->word;
	int64_t dtor;
	add_member(p, "page.flags", p->flags, word);
	add_member(p, "page.lru", p->lru, 2 * word);
	add_member(p, "page.compound_head", p->lru, word);
	add_member(p, "page.mapping", p->mapping, word);
	add_member(p, "page.index", p->mapping + word, word);
	add_member(p, "page.private", p->private, word);
	add_member(p, "page.page_type", p->mapcount, 4);
	add_member(p, "page._mapcount.counter", p->mapcount, 4);
	add_member(p, "page._refcount.counter", p->refcount, 4);
	if (info_number(p->s->guest, "OFFSET(page.compound_dtor)", &dtor))
		add_member(p, "page.compound_dtor", dtor, 1);
	inferred_add_size(p->s->guest, "page", (uint64_t)p->bytes);
	inferred_add_size(p->s->guest, "struct page", (uint64_t)p->bytes);
}

static void add_flags(struct guest *guest, int reserved)
{
	static const char *const names[] = { "PG_lru",	      "PG_private", "PG_swapcache",
					     "PG_swapbacked", "PG_slab",    "PG_hwpoison" };
	char key[64];
	int64_t value;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(key, sizeof(key), "NUMBER(%s)", names[i]);
		if (info_number(guest, key, &value))
			inferred_add_enum(guest, names[i], value);
	}
	if (info_number(guest, "NUMBER(PG_head_mask)", &value) && value > 0)
		inferred_add_enum(guest, "PG_head", __builtin_ctzll((uint64_t)value));
	if (info_number(guest, "NUMBER(HUGETLB_PAGE_DTOR)", &value))
		inferred_add_enum(guest, "HUGETLB_PAGE_DTOR", value);
	if (info_number(guest, "NUMBER(NR_FREE_PAGES)", &value))
		inferred_add_enum(guest, "NR_FREE_PAGES", value);
	inferred_add_enum(guest, "PG_reserved", reserved);
}

static const struct {
	const char *key, *byte_name, *bit_name;
} types[] = {
	{ "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)", "PGTY_buddy", "PG_buddy" },
	{ "NUMBER(PAGE_OFFLINE_MAPCOUNT_VALUE)", "PGTY_offline", "PG_offline" },
	{ "NUMBER(PAGE_SLAB_MAPCOUNT_VALUE)", "PGTY_slab", "PG_slab" },
	{ "NUMBER(PAGE_HUGETLB_MAPCOUNT_VALUE)", "PGTY_hugetlb", "PG_hugetlb" },
	{ "NUMBER(PAGE_UNACCEPTED_MAPCOUNT_VALUE)", "PGTY_unaccepted", "PG_unaccepted" },
};

/* Types in the top byte, or one bit each with 31 as their sign: as enumerators. */
static void add_listed_types(struct guest *guest, bool bytes)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		int64_t value;
		if (!info_number(guest, types[i].key, &value))
			continue;
		uint32_t word = (uint32_t)value;
		inferred_add_enum(guest, bytes ? types[i].byte_name : types[i].bit_name,
				  bytes ? word >> 24 : ~word);
	}
}

/* False when the values fit none of the forms. */
static bool add_types(const struct pages *p, uint32_t table)
{
	struct guest *guest = p->s->guest;
	int64_t value;
	if (!info_number(guest, "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)", &value))
		return false;
	uint32_t buddy = (uint32_t)value, old = ~0x80u;
	if (buddy == old) {
		/* Charging kernel memory took one more type (to 5.10). */
		if (table == ~0x400u)
			add_member(p, "page.mem_cgroup", p->refcount + 4, p->s->word);
		return table == ~0x400u || table == ~0x200u;
	}
	bool bytes = buddy >> 24 == BYTE_TYPE_FIRST && !(buddy & 0xffffff);
	if (bytes && table >> 24 == BYTE_TYPE_FIRST + 2) {
		inferred_add_enum(guest, "PGTY_table", table >> 24);
		inferred_add_enum(guest, "PGTY_guard", BYTE_TYPE_FIRST + 3);
		inferred_add_enum(guest, "PGTY_zsmalloc", BYTE_TYPE_FIRST + 6);
		inferred_add_enum(guest, "PGTY_large_kmalloc", BYTE_TYPE_FIRST + 8);
	} else if (!bytes && buddy >> 31) {
		inferred_add_enum(guest, "PG_table", ~table);
	} else {
		return false;
	}
	add_listed_types(guest, bytes);
	return true;
}

struct shape_pages shape_infer_pages(const struct shape *s)
{
	struct shape_pages none = { 0 };
	struct pages p = { .s = s };
	uint32_t table;
	int64_t value;
	if (!read_offsets(&p) || !find_base(&p))
		return none;
	int reserved = reserved_bit(&p);
	if (reserved < 0 || !table_type(&p, &table) || !add_types(&p, table))
		return none;
	add_members(&p);
	add_flags(s->guest, reserved);
	struct shape_pages pages = { .base = p.base,
				     .struct_bytes = (uint32_t)p.bytes,
				     .flags = (uint32_t)p.flags,
				     .type = (uint32_t)p.mapcount,
				     .lru = (uint32_t)p.lru };
	if (info_number(s->guest, "NUMBER(PG_slab)", &value) && value >= 0 && value < FLAG_BITS)
		pages.slab_flags = 1ull << value;
	else if (info_number(s->guest, "NUMBER(PAGE_SLAB_MAPCOUNT_VALUE)", &value))
		pages.slab_type = (uint32_t)value;
	return pages;
}
