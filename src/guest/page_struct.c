#include "guest/page_struct.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/phys_mem.h"
#include "guest/guest.h"
#include "guest/space.h"
#include "guest/task.h"

/* page_type has had three forms. In the first two a page has a type when the bits of the base
 * are set and the bit of the type is clear; in the third the top byte is the type:
 *
 *   to 6.10     0xf0000000 base, PG_buddy 0x80, PG_offline 0x100, PG_table 0x200 (5.10: 0x400)
 *   6.11        0x80000000 base (cleared: set when typed), enumerators PG_buddy ..
 *   from 6.12   enumerators PGTY_buddy 0xf0 .., page_type >> 24
 *
 * The enumerators are in the types of the kernel; for the first form they are macros, and only
 * the value for free pages can be checked, through VMCOREINFO. */

static const char *const flag_names[] = {
#define PAGE_FLAG_NAME(name) #name,
	PAGE_FLAGS(PAGE_FLAG_NAME)
#undef PAGE_FLAG_NAME
};

static const char *const type_names[] = { "none",
#define PAGE_TYPE_NAME(upper, lower) #lower,
					  PAGE_TYPES(PAGE_TYPE_NAME)
#undef PAGE_TYPE_NAME
};

const char *page_flag_name(enum page_flag flag)
{
	return flag_names[flag];
}

const char *page_type_name(enum page_type type)
{
	return type_names[type];
}

static void find_flags(struct page_layout *layout, struct guest *guest)
{
	for (int i = 0; i < PAGE_N_FLAGS; i++) {
		char name[64];
		int64_t bit = -1;
		snprintf(name, sizeof(name), "PG_%s", flag_names[i]);
		layout->flag_bit[i] = -1;
		if (guest_enum(guest, name, &bit) && bit >= 0 && bit < 64)
			layout->flag_bit[i] = (int8_t)bit;
	}
}

static void set_type(struct page_layout *layout, enum page_type type, uint32_t mask,
		     uint32_t value)
{
	layout->type_mask[type] = mask;
	layout->type_value[type] = value;
}

/* From 6.12: the type is the top byte. */
static bool find_byte_types(struct page_layout *layout, struct guest *guest)
{
	bool any = false;
	for (int type = 1; type < PAGE_N_TYPES; type++) {
		char name[64];
		int64_t value = 0;
		snprintf(name, sizeof(name), "PGTY_%s", type_names[type]);
		if (!guest_enum(guest, name, &value) || value < 0x80 || value > 0xff)
			continue;
		set_type(layout, type, 0xff000000, (uint32_t)value << 24);
		any = true;
	}
	return any;
}

/* 6.11: one enumerator per bit, set when the type is not. */
static bool find_enum_bit_types(struct page_layout *layout, struct guest *guest)
{
	int64_t value = 0;
	if (!guest_enum(guest, "PG_buddy", &value) || value < 0x1000)
		return false;
	for (int type = 1; type < PAGE_N_TYPES; type++) {
		char name[64];
		snprintf(name, sizeof(name), "PG_%s", type_names[type]);
		/* PG_slab and PG_hugetlb were page flags before: those are small numbers. */
		if (guest_enum(guest, name, &value) && value >= 0x1000)
			set_type(layout, type, 0x80000000 | (uint32_t)value, 0x80000000);
	}
	return true;
}

/* To 6.10: macros. Kernels that charge kernel memory to page->mem_cgroup have one type more. */
static void find_macro_bit_types(struct page_layout *layout, struct guest *guest)
{
	bool has_kmemcg = guest_field(guest, "page.mem_cgroup").found;
	uint32_t base = 0xf0000000, bit = has_kmemcg ? 0x400 : 0x200;
	set_type(layout, PAGE_TYPE_BUDDY, base | 0x80, base);
	set_type(layout, PAGE_TYPE_OFFLINE, base | 0x100, base);
	set_type(layout, PAGE_TYPE_TABLE, base | bit, base);
	set_type(layout, PAGE_TYPE_GUARD, base | bit << 1, base);
	int64_t value = -1;
	if (layout->flag_bit[PAGE_FLAG_hugetlb] < 0 && !layout->compound_dtor.found)
		set_type(layout, PAGE_TYPE_HUGETLB, base | 0x800, base);
	if (!guest_enum(guest, "PG_slab", &value))
		set_type(layout, PAGE_TYPE_SLAB, base | 0x1000, base);
}

static void find_fields(struct page_layout *layout, struct guest *guest)
{
	layout->flags = guest_need_field(guest, "page.flags");
	layout->compound_head = guest_field(guest, "page.compound_head|page.compound_info");
	layout->mapping = guest_need_field(guest, "page.mapping");
	layout->index = guest_field(guest, "page.index|page.__folio_index");
	layout->private = guest_need_field(guest, "page.private");
	layout->page_type = guest_field(guest, "page.page_type");
	layout->mapcount = guest_field(guest, "page._mapcount.counter");
	layout->refcount = guest_need_field(guest, "page._refcount.counter");
	layout->slab_cache = guest_field(guest, "slab.slab_cache|page.slab_cache");
	layout->compound_dtor = guest_field(guest, "page.compound_dtor");
	layout->struct_bytes = (uint32_t)guest_sizeof(guest, "page");
	layout->hugetlb_dtor = -1;
	guest_enum(guest, "HUGETLB_PAGE_DTOR", &layout->hugetlb_dtor);
	/* From 6.14 the tail of a page lies in the folio; the flags are one word in a struct.
	 */
	if (layout->flags.size_bytes > 8)
		layout->flags.size_bytes = guest_word_bytes(guest);
}

/* A kernel that does not list the variable: the pages of a stack, of which both the address and
 * the structures are known, tell where the array begins. */
static bool base_by_stack(struct page_layout *layout, struct guest *guest)
{
	enum { KTHREADD = 2 };
	struct field area = guest_field(guest, "task_struct.stack_vm_area");
	struct field pages = guest_field(guest, "vm_struct.pages");
	struct guest_task task;
	uint64_t base[2] = { 0 };
	struct error *err = guest_task_find(guest, KTHREADD, &task);
	if (err || !area.found || !pages.found) {
		error_destroy(err);
		return false;
	}
	uint64_t stack = guest_load(guest, task.gva, guest_field(guest, "task_struct.stack"));
	uint64_t list = guest_load(guest, guest_load(guest, task.gva, area), pages);
	for (unsigned i = 0; i < 2; i++) {
		struct guest_mapping mapping;
		uint64_t gva = stack + i * (uint64_t)PHYS_PAGE_SIZE;
		if (guest_space_walk(guest_kernel_space(guest), gva, &mapping) != GUEST_WALK_OK)
			return false;
		base[i] = guest_read_word(guest, list + i * layout->word_bytes) -
			  mapping.gpa / PHYS_PAGE_SIZE * layout->struct_bytes;
	}
	layout->base_gva = base[0];
	return base[0] == base[1] && guest_is_kernel_pointer(guest, base[0]);
}

/* Address of the structure of frame 0: a variable, a symbol's pointer, or the fixed place. */
static bool find_base(struct page_layout *layout, struct guest *guest)
{
	uint64_t symbol = 0;
	if (guest_symbol(guest, "vmemmap_base", &symbol)) {
		layout->base_gva = guest_read_word(guest, symbol);
		return guest_is_kernel_pointer(guest, layout->base_gva);
	}
	if (guest_symbol(guest, "mem_map", &symbol)) {
		layout->base_gva = guest_read_word(guest, symbol);
		return guest_is_kernel_pointer(guest, layout->base_gva);
	}
	/* As VMCOREINFO has it: the value itself. */
	if (guest_symbol(guest, "vmemmap", &symbol)) {
		layout->base_gva = symbol;
		return guest_is_kernel_pointer(guest, layout->base_gva);
	}
	if (base_by_stack(layout, guest))
		return true;
	if (guest_word_bytes(guest) == 8) {
		struct guest_summary summary;
		guest_summary(guest, &summary);
		layout->base_gva =
			summary.paging_levels == 5 ? 0xffd4000000000000 : 0xffffea0000000000;
		return true;
	}
	return false;
}

void page_layout_init(struct page_layout *layout, struct guest *guest)
{
	memset(layout, 0, sizeof(*layout));
	layout->word_bytes = guest_word_bytes(guest);
	if (!guest_has_types(guest) && !guest_field(guest, "page.flags").found) {
		guest_add_note(guest,
			       "page kinds are coarse: the kernel's types are not known");
		return;
	}
	find_fields(layout, guest);
	find_flags(layout, guest);
	if (!find_byte_types(layout, guest) && !find_enum_bit_types(layout, guest))
		find_macro_bit_types(layout, guest);
	bool fits = layout->struct_bytes >= 16 && layout->struct_bytes <= PAGE_STRUCT_MAX_BYTES;
	if (!fits || !layout->flags.found || !layout->refcount.found ||
	    !find_base(layout, guest)) {
		guest_add_note(guest, "page kinds are coarse: where this kernel keeps its page "
				      "structures is not understood");
		return;
	}
	layout->usable = true;
}

uint64_t page_struct_gva(const struct page_layout *layout, uint64_t frame)
{
	return layout->base_gva + frame * layout->struct_bytes;
}

uint64_t page_struct_frame(const struct page_layout *layout, uint64_t gva)
{
	return (gva - layout->base_gva) / layout->struct_bytes;
}

/* Translates the stretch around gva once; structures are mapped by large pages. */
static void translate_run(struct page_layout *layout, struct guest *guest, uint64_t gva)
{
	struct guest_space *space = guest_kernel_space(guest);
	struct guest_mapping mapping;
	layout->run_gva = align_down(gva, PHYS_PAGE_SIZE);
	layout->run_bytes = PHYS_PAGE_SIZE;
	layout->run_missing = true;
	layout->run_host = NULL;
	if (guest_space_walk(space, gva, &mapping) != GUEST_WALK_OK)
		return;
	uint64_t offset = gva & (mapping.page_bytes - 1);
	layout->run_gva = gva - offset;
	layout->run_bytes = mapping.page_bytes;
	layout->run_gpa = mapping.gpa - offset;
	layout->run_missing = false;
	layout->run_host = phys_mem_at(space->mem, layout->run_gpa, layout->run_bytes);
}

static bool copy_struct(struct page_layout *layout, struct guest *guest, uint64_t gva,
			uint8_t *copy)
{
	if (gva - layout->run_gva >= layout->run_bytes)
		translate_run(layout, guest, gva);
	uint64_t offset = gva - layout->run_gva;
	if (offset + layout->struct_bytes > layout->run_bytes)
		return guest_space_read(guest_kernel_space(guest), gva, copy,
					layout->struct_bytes);
	if (layout->run_missing)
		return false;
	if (!layout->run_host)
		return phys_mem_read(guest_memory(guest), layout->run_gpa + offset, copy,
				     layout->struct_bytes);
	memcpy(copy, layout->run_host + offset, layout->struct_bytes);
	return true;
}

static uint64_t load(struct field field, const uint8_t *copy)
{
	return field.found ? field_load(field, copy, PAGE_STRUCT_MAX_BYTES) : 0;
}

bool page_struct_read(struct page_layout *layout, struct guest *guest, uint64_t frame,
		      struct page_fields *ret)
{
	uint8_t copy[PAGE_STRUCT_MAX_BYTES];
	if (!layout->usable ||
	    !copy_struct(layout, guest, page_struct_gva(layout, frame), copy))
		return false;
	*ret = (struct page_fields){
		.flags = load(layout->flags, copy),
		.compound_head = load(layout->compound_head, copy),
		.mapping = load(layout->mapping, copy),
		.index = load(layout->index, copy),
		.private = load(layout->private, copy),
		.page_type = (uint32_t)load(layout->page_type, copy),
		.mapcount = (int32_t)load(layout->mapcount, copy),
		.refcount = (int32_t)load(layout->refcount, copy),
		.compound_dtor = (uint32_t)load(layout->compound_dtor, copy),
		.slab_cache = load(layout->slab_cache, copy),
	};
	return true;
}

bool page_has_flag(const struct page_layout *layout, const struct page_fields *page,
		   enum page_flag flag)
{
	int bit = layout->flag_bit[flag];
	return bit >= 0 && (page->flags >> bit & 1);
}

enum page_type page_type_of(const struct page_layout *layout, const struct page_fields *page)
{
	for (int type = 1; type < PAGE_N_TYPES; type++)
		if (layout->type_mask[type] &&
		    (page->page_type & layout->type_mask[type]) == layout->type_value[type])
			return type;
	return PAGE_TYPE_NONE;
}
