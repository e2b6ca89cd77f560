/* How the table is made. Later steps know more than earlier ones and overwrite only what those
 * left open:
 *
 *   1. pieces of RAM                frames outside are PAGE_NOT_RAM
 *   2. page structures              free, slab, reserved, anonymous, page cache, huge, ...
 *   3. sections of the image        text, rodata, data: of frames that are still reserved
 *   4. memmap, per-CPU areas        of reserved frames
 *   5. kernel stacks, vmalloc, modules   by the kernel's page tables, of frames left "other"
 *   6. page tables                  by walking them: level and owner
 *   7. programs' mappings           owner, and heap or stack for anonymous pages
 *
 * Steps 1 to 4 are a function of single frames and are redone for dirty frames alone; 5 to 7
 * (the owners) are redone as a whole when a page table or a page structure changed. */
#include "guest/page_kind.h"

#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/phys_mem.h"
#include "base/vec.h"
#include "guest/guest.h"
#include "guest/page_owner.h"
#include "guest/page_struct.h"
#include "guest/space.h"

static const struct {
	const char *name, *words;
	uint32_t colour;
} kinds_table[PAGE_N_KINDS] = {
#define PAGE_KIND_ROW(kind, name, colour, words) [kind] = { name, words, colour },
	PAGE_KINDS(PAGE_KIND_ROW)
#undef PAGE_KIND_ROW
};

/* A run of frames with a kind that only reserved frames take. */
struct frame_range {
	uint64_t first, end;
	enum page_kind kind;
};

/* A stretch of the array of page structures that lies together in RAM. */
struct memmap_run {
	uint64_t gva, gpa, bytes;
};

struct page_kinds {
	struct guest *guest;
	struct page_layout layout;
	size_t n_frames;
	uint8_t *base; /* after steps 1 to 4 */
	uint8_t *kind; /* after all steps */
	uint8_t *order_of; /* order of free blocks */
	uint8_t *level;
	uint32_t *owner;
	struct frame_range ranges[64];
	size_t n_ranges;
	VEC(struct memmap_run) memmap; /* in order of the array */
	size_t buddy_frames;
};

const char *page_kind_name(enum page_kind kind)
{
	return kinds_table[kind].name;
}

const char *page_kind_words(enum page_kind kind)
{
	return kinds_table[kind].words;
}

uint32_t page_kind_colour(enum page_kind kind)
{
	return kinds_table[kind].colour;
}

static enum page_kind kind_of_type(enum page_type type)
{
	static const uint8_t kinds[PAGE_N_TYPES] = {
		[PAGE_TYPE_BUDDY] = PAGE_FREE,
		[PAGE_TYPE_OFFLINE] = PAGE_OFFLINE,
		[PAGE_TYPE_TABLE] = PAGE_TABLE,
		[PAGE_TYPE_GUARD] = PAGE_OFFLINE,
		[PAGE_TYPE_HUGETLB] = PAGE_HUGE,
		[PAGE_TYPE_SLAB] = PAGE_SLAB,
		[PAGE_TYPE_ZSMALLOC] = PAGE_DEVICE,
		[PAGE_TYPE_UNACCEPTED] = PAGE_OFFLINE,
		[PAGE_TYPE_LARGE_KMALLOC] = PAGE_KERNEL_OTHER,
	};
	return kinds[type];
}

/* A file's page: file memory that can be swapped is shmem. */
static enum page_kind kind_of_mapping(const struct page_layout *layout, struct guest *guest,
				      const struct page_fields *page)
{
	switch (page->mapping & 3) {
	case 1:
	case 3: /* merged by KSM */
		return PAGE_ANON_MMAP;
	case 2: /* movable, of a driver: balloon, compressed memory */
		return PAGE_DEVICE;
	}
	if (!guest_is_kernel_pointer(guest, page->mapping))
		return PAGE_KERNEL_OTHER;
	return page_has_flag(layout, page, PAGE_FLAG_swapbacked) ? PAGE_SHMEM : PAGE_CACHE;
}

static enum page_kind kind_of_head(const struct page_layout *layout, struct guest *guest,
				   const struct page_fields *page)
{
	enum page_type type = page_type_of(layout, page);
	/* Mapped pages count in the same word: their type is not one. */
	if (type != PAGE_TYPE_NONE)
		return kind_of_type(type);
	if (page_has_flag(layout, page, PAGE_FLAG_slab))
		return PAGE_SLAB;
	if (page_has_flag(layout, page, PAGE_FLAG_reserved))
		return PAGE_RESERVED;
	if (page->refcount <= 0)
		return PAGE_UNSETTLED; /* in a per-CPU list, or an inner page of a large one */
	if (page->mapping)
		return kind_of_mapping(layout, guest, page);
	return PAGE_KERNEL_OTHER;
}

static bool is_tail(const struct page_fields *page)
{
	return page->compound_head & 1;
}

/* The structure behind a head of a huge page says so in older kernels. */
static bool head_is_hugetlb(struct page_kinds *kinds, uint64_t frame)
{
	struct page_layout *layout = &kinds->layout;
	struct page_fields next;
	if (layout->hugetlb_dtor < 0 && layout->flag_bit[PAGE_FLAG_hugetlb] < 0)
		return false;
	if (!page_struct_read(layout, kinds->guest, frame + 1, &next) || !is_tail(&next))
		return false;
	if (layout->compound_dtor.found)
		return next.compound_dtor == layout->hugetlb_dtor;
	return page_has_flag(layout, &next, PAGE_FLAG_hugetlb);
}

static enum page_kind kind_of_frame_ranges(const struct page_kinds *kinds, uint64_t frame)
{
	for (size_t i = 0; i < kinds->n_ranges; i++)
		if (frame >= kinds->ranges[i].first && frame < kinds->ranges[i].end)
			return kinds->ranges[i].kind;
	return PAGE_RESERVED;
}

static void set_base(struct page_kinds *kinds, uint64_t frame, enum page_kind kind)
{
	if (kind == PAGE_RESERVED)
		kind = kind_of_frame_ranges(kinds, frame);
	kinds->base[frame] = (uint8_t)kind;
	kinds->order_of[frame] = 0;
}

/* The structures of a free block's inner frames are stale: the head's order covers them. */
static uint64_t set_free_block(struct page_kinds *kinds, uint64_t frame, uint64_t order,
			       uint64_t end)
{
	uint64_t stop = order <= 11 ? frame + (1ull << order) : frame + 1;
	if (stop > end)
		stop = end;
	for (uint64_t i = frame; i < stop; i++)
		set_base(kinds, i, PAGE_FREE);
	kinds->order_of[frame] = (uint8_t)(order <= 11 ? order : 0);
	return stop;
}

/* Frames [frame, end) of the piece of RAM that ends at ram_end, from their structures. */
static void classify_structs(struct page_kinds *kinds, uint64_t frame, uint64_t end,
			     uint64_t ram_end)
{
	struct page_layout *layout = &kinds->layout;
	struct page_fields page;
	enum page_kind head = frame ? kinds->base[frame - 1] : PAGE_KERNEL_OTHER;
	while (frame < end) {
		if (!page_struct_read(layout, kinds->guest, frame, &page)) {
			set_base(kinds, frame++, PAGE_RESERVED);
			continue;
		}
		if (is_tail(&page)) {
			set_base(kinds, frame++, head);
			continue;
		}
		head = kind_of_head(layout, kinds->guest, &page);
		if (head == PAGE_FREE && page_type_of(layout, &page) == PAGE_TYPE_BUDDY) {
			frame = set_free_block(kinds, frame, page.private, ram_end);
			continue;
		}
		if (page_has_flag(layout, &page, PAGE_FLAG_head) &&
		    head_is_hugetlb(kinds, frame))
			head = PAGE_HUGE;
		set_base(kinds, frame++, head);
	}
}

/* Without page structures: what was never written is free, the image is known by its symbols,
 * and the rest waits for the page tables. */
static void classify_blindly(struct page_kinds *kinds, uint64_t first, uint64_t end)
{
	struct phys_mem *mem = guest_memory(kinds->guest);
	uint64_t start = 0, stop = 0;
	for (uint64_t frame = first; frame < end; frame++) {
		uint64_t gpa = frame * PHYS_PAGE_SIZE;
		if (gpa >= stop && !phys_mem_next_data(mem, gpa, &start, &stop))
			start = stop = UINT64_MAX;
		bool in_image = kind_of_frame_ranges(kinds, frame) != PAGE_RESERVED;
		set_base(kinds, frame,
			 gpa + PHYS_PAGE_SIZE <= start ? PAGE_FREE
			 : in_image		       ? PAGE_RESERVED
						       : PAGE_KERNEL_OTHER);
	}
}

static void classify_frames(struct page_kinds *kinds, uint64_t first, uint64_t end)
{
	struct phys_mem *mem = guest_memory(kinds->guest);
	for (size_t i = 0; i < mem->n_segments; i++) {
		const struct phys_segment *segment = &mem->segments[i];
		uint64_t start = segment->gpa / PHYS_PAGE_SIZE;
		uint64_t stop = (segment->gpa + segment->size_bytes) / PHYS_PAGE_SIZE;
		uint64_t ram_end = stop;
		start = start > first ? start : first;
		stop = stop < end ? stop : end;
		if (start >= stop)
			continue;
		if (kinds->layout.usable)
			classify_structs(kinds, start, stop, ram_end);
		else
			classify_blindly(kinds, start, stop);
	}
}

static void add_range(struct page_kinds *kinds, uint64_t first_gpa, uint64_t end_gpa,
		      enum page_kind kind)
{
	size_t room = sizeof(kinds->ranges) / sizeof(kinds->ranges[0]);
	if (first_gpa >= end_gpa || kinds->n_ranges == room)
		return;
	kinds->ranges[kinds->n_ranges++] =
		(struct frame_range){ first_gpa / PHYS_PAGE_SIZE,
				      align_up(end_gpa, PHYS_PAGE_SIZE) / PHYS_PAGE_SIZE,
				      kind };
}

static void add_image_range(struct page_kinds *kinds, const char *first, const char *end,
			    enum page_kind kind)
{
	uint64_t from_gva, to_gva, from, to;
	if (guest_symbol(kinds->guest, first, &from_gva) &&
	    guest_symbol(kinds->guest, end, &to_gva) && from_gva < to_gva &&
	    guest_image_to_gpa(kinds->guest, from_gva, &from) &&
	    guest_image_to_gpa(kinds->guest, to_gva - 1, &to))
		add_range(kinds, from, to + 1, kind);
}

/* The first per-CPU area is one block from early boot, in the direct mapping. */
static void add_percpu_range(struct page_kinds *kinds)
{
	struct guest *guest = kinds->guest;
	uint64_t base, size, units;
	struct guest_mapping mapping;
	if (!guest_symbol(guest, "pcpu_base_addr", &base) ||
	    !guest_symbol(guest, "pcpu_unit_size", &size) ||
	    !guest_symbol(guest, "pcpu_nr_units", &units))
		return;
	base = guest_read_word(guest, base);
	uint64_t length = (uint64_t)guest_read_u32(guest, size) * guest_read_u32(guest, units);
	if (length <= 1ull << 32 &&
	    guest_space_walk(guest_kernel_space(guest), base, &mapping) == GUEST_WALK_OK)
		add_range(kinds, mapping.gpa, mapping.gpa + length, PAGE_PERCPU);
}

/* The page structures themselves: where each stretch of the array lies. */
static void find_memmap(struct page_kinds *kinds)
{
	const struct page_layout *layout = &kinds->layout;
	struct guest_mapping mapping;
	uint64_t end = page_struct_gva(layout, kinds->n_frames), step;
	for (uint64_t at = layout->base_gva; layout->usable && at < end; at += step) {
		step = 1 << 21; /* a hole: sections without memory are at least that large */
		if (guest_space_walk(guest_kernel_space(kinds->guest), at, &mapping) !=
		    GUEST_WALK_OK)
			continue;
		step = mapping.page_bytes - (at & (mapping.page_bytes - 1));
		step = end - at < step ? end - at : step;
		struct memmap_run *last =
			kinds->memmap.count ? &kinds->memmap.items[kinds->memmap.count - 1]
					    : NULL;
		if (last && last->gva + last->bytes == at &&
		    last->gpa + last->bytes == mapping.gpa)
			last->bytes += step;
		else
			VEC_PUSH(&kinds->memmap, (struct memmap_run){ at, mapping.gpa, step });
	}
	for (size_t i = 0; i < kinds->memmap.count; i++) {
		const struct memmap_run *run = &kinds->memmap.items[i];
		add_range(kinds, run->gpa, run->gpa + run->bytes, PAGE_MEMMAP);
	}
}

static void find_ranges(struct page_kinds *kinds)
{
	add_image_range(kinds, "_text", "_etext", PAGE_KERNEL_TEXT);
	add_image_range(kinds, "__start_rodata", "__end_rodata", PAGE_KERNEL_RODATA);
	add_image_range(kinds, "_sdata", "_edata", PAGE_KERNEL_DATA);
	add_image_range(kinds, "_etext", "_sdata", PAGE_KERNEL_RODATA);
	add_image_range(kinds, "_text", "_end", PAGE_KERNEL_DATA);
	add_percpu_range(kinds);
	find_memmap(kinds);
}

static void find_owners(struct page_kinds *kinds)
{
	memcpy(kinds->kind, kinds->base, kinds->n_frames);
	memcpy(kinds->level, kinds->order_of, kinds->n_frames);
	memset(kinds->owner, 0, kinds->n_frames * sizeof(*kinds->owner));
	page_owners_find(kinds->guest,
			 &(struct page_owners){ .n_frames = kinds->n_frames,
						.kind = kinds->kind,
						.level = kinds->level,
						.owner = kinds->owner,
						.has_structs = kinds->layout.usable });
}

static struct error *allocate(struct page_kinds *kinds)
{
	size_t n = kinds->n_frames;
	TRY(error_alloc(n, 1, &kinds->base));
	TRY(error_alloc(n, 1, &kinds->kind));
	TRY(error_alloc(n, 1, &kinds->order_of));
	TRY(error_alloc(n, 1, &kinds->level));
	return error_alloc(n, sizeof(*kinds->owner), &kinds->owner);
}

struct error *page_kinds_create(struct guest *guest, struct page_kinds **ret)
{
	AUTO(own_page_kinds) struct page_kinds *kinds = NULL;
	TRY(error_alloc(1, sizeof(*kinds), &kinds));
	kinds->guest = guest;
	kinds->n_frames = phys_mem_end(guest_memory(guest)) / PHYS_PAGE_SIZE;
	TRY(allocate(kinds));
	page_layout_init(&kinds->layout, guest);
	find_ranges(kinds);
	classify_frames(kinds, 0, kinds->n_frames);
	find_owners(kinds);
	*ret = TAKE(kinds);
	return NULL;
}

void page_kinds_destroy(struct page_kinds *kinds)
{
	if (!kinds)
		return;
	VEC_FREE(&kinds->memmap);
	free(kinds->base);
	free(kinds->kind);
	free(kinds->order_of);
	free(kinds->level);
	free(kinds->owner);
	free(kinds);
}

/* A frame of page structures describes many frames: those are looked at again. */
static bool refresh_described(struct page_kinds *kinds, uint64_t frame)
{
	uint64_t gpa = frame * PHYS_PAGE_SIZE;
	for (size_t i = 0; i < kinds->memmap.count; i++) {
		const struct memmap_run *run = &kinds->memmap.items[i];
		if (gpa + PHYS_PAGE_SIZE <= run->gpa || gpa >= run->gpa + run->bytes)
			continue;
		uint64_t gva = gpa > run->gpa ? run->gva + (gpa - run->gpa) : run->gva;
		uint64_t first = page_struct_frame(&kinds->layout, gva);
		uint64_t last = page_struct_frame(&kinds->layout, gva + PHYS_PAGE_SIZE - 1);
		classify_frames(kinds, first, last + 1);
		return true;
	}
	return false;
}

struct error *page_kinds_refresh(struct page_kinds *kinds, const uint64_t *frames, size_t n)
{
	bool changed = false;
	for (size_t i = 0; i < n; i++) {
		if (frames[i] >= kinds->n_frames)
			continue;
		bool is_table = kinds->kind[frames[i]] == PAGE_TABLE;
		changed |= refresh_described(kinds, frames[i]) || is_table;
	}
	if (changed)
		find_owners(kinds);
	return NULL;
}

struct page_table_of_kinds page_kinds_get(const struct page_kinds *kinds)
{
	return (struct page_table_of_kinds){ .n_frames = kinds->n_frames,
					     .kind = kinds->kind,
					     .owner = kinds->owner,
					     .level = kinds->level };
}

const struct page_layout *page_kinds_layout(const struct page_kinds *kinds)
{
	return &kinds->layout;
}

/* The kernel's own count of free frames: vm_zone_stat[NR_FREE_PAGES]. */
static int64_t kernel_free_frames(struct guest *guest)
{
	uint64_t counters;
	int64_t index = 0;
	if (!guest_enum(guest, "NR_FREE_PAGES", &index) || index < 0 || index > 64 ||
	    !guest_symbol(guest, "vm_zone_stat", &counters))
		return -1;
	return (int64_t)guest_read_word(guest,
					counters + (uint64_t)index * guest_word_bytes(guest));
}

void page_kinds_summarise(const struct page_kinds *kinds, struct page_kinds_summary *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < kinds->n_frames; i++) {
		ret->frames[kinds->kind[i]]++;
	}
	for (size_t i = 0; i < kinds->n_frames; i++) {
		struct page_fields page;
		if (kinds->base[i] != PAGE_FREE ||
		    !page_struct_read((struct page_layout *)&kinds->layout, kinds->guest, i,
				      &page))
			continue;
		if (page_type_of(&kinds->layout, &page) == PAGE_TYPE_BUDDY) {
			ret->buddy_frames += 1ull << kinds->order_of[i];
			i += (1ull << kinds->order_of[i]) - 1;
		}
	}
	ret->kernel_free_frames = kernel_free_frames(kinds->guest);
	ret->source =
		kinds->layout.usable ? "page structures of the kernel" : "page tables only";
}
