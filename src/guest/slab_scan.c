#include "guest/internal.h"
#include "guest/kernel_area.h"
#include "guest/page_struct.h"
#include "guest/slab.h"

enum { OBJECTS_PER_SLAB_MAX = 1 << 16, OBJECT_BYTES_MAX = 1 << 20 };

struct slab_scan {
	struct guest *guest;
	struct page_layout layout;
	struct field objects;
	uint64_t cache, direct_first;
	uint32_t object_bytes,
		pad_bytes; /* a place, and what debugging puts before the object */
	guest_slab_object_fn *visit;
	void *user;
};

static bool is_slab_of(struct slab_scan *s, uint64_t frame)
{
	struct page_fields page;
	if (!page_struct_read(&s->layout, s->guest, frame, &page) || page.compound_head & 1)
		return false;
	return page.slab_cache == s->cache &&
	       (page_type_of(&s->layout, &page) == PAGE_TYPE_SLAB ||
		page_has_flag(&s->layout, &page, PAGE_FLAG_slab));
}

static bool show_slab(struct slab_scan *s, uint64_t frame)
{
	uint64_t gva = s->direct_first + frame * PHYS_PAGE_SIZE + s->pad_bytes;
	uint64_t n = guest_load(s->guest, page_struct_gva(&s->layout, frame), s->objects);
	n = n < OBJECTS_PER_SLAB_MAX ? n : OBJECTS_PER_SLAB_MAX;
	for (uint64_t i = 0; i < n && guest_step(s->guest); i++)
		if (!s->visit(s->user, gva + i * s->object_bytes))
			return false;
	return true;
}

static bool scan_segment(struct slab_scan *s, const struct phys_segment *segment)
{
	uint64_t first = segment->gpa / PHYS_PAGE_SIZE;
	uint64_t end = (segment->gpa + segment->size_bytes) / PHYS_PAGE_SIZE;
	for (uint64_t frame = first; frame < end && guest_step(s->guest); frame++)
		if (is_slab_of(s, frame) && !show_slab(s, frame))
			return false;
	return true;
}

void guest_slab_objects_each(struct guest *guest, uint64_t cache, guest_slab_object_fn *visit,
			     void *user)
{
	struct slab_scan s = { .guest = guest, .cache = cache, .visit = visit, .user = user };
	struct guest_kernel_areas areas;
	page_layout_init(&s.layout, guest);
	s.objects = guest_need_field(guest, "slab.objects|page.objects");
	s.object_bytes =
		(uint32_t)guest_load(guest, cache, guest_need_field(guest, "kmem_cache.size"));
	s.pad_bytes = (uint32_t)guest_load(guest, cache,
					   guest_field(guest, "kmem_cache.red_left_pad"));
	if (!s.layout.usable || !s.object_bytes || s.object_bytes > OBJECT_BYTES_MAX ||
	    s.pad_bytes > s.object_bytes)
		return;
	guest_kernel_areas(guest, &areas);
	s.direct_first = areas.direct_first;
	for (size_t i = 0; i < guest->mem->n_segments; i++)
		if (!scan_segment(&s, &guest->mem->segments[i]))
			return;
}
