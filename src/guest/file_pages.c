#include "guest/file_pages.h"

#include <string.h>

#include "base/error.h"
#include "guest/internal.h"
#include "guest/page_struct.h"
#include "guest/tree.h"

enum { FRAME_BYTES = 4096 };

struct pages_walk {
	struct guest *guest;
	struct page_layout layout;
	uint8_t *bytes;
	uint64_t n_bytes, n_frames;
	uint64_t found;
};

uint64_t guest_file_mapping(struct guest *guest, uint64_t file_gva)
{
	return file_gva ? guest_load(guest, file_gva, guest_need_field(guest, "file.f_mapping"))
			: 0;
}

static void copy_frame(struct pages_walk *w, uint64_t index, uint64_t frame)
{
	uint64_t at = index * FRAME_BYTES, left = w->n_bytes - at;
	size_t n = left < FRAME_BYTES ? (size_t)left : FRAME_BYTES;
	if (phys_mem_read(w->guest->mem, frame * FRAME_BYTES, w->bytes + at, n))
		w->found++;
}

/* An entry stands for a page or, as the head of a compound page, for all that follow it. */
static bool take_entry(void *user, uint64_t index, uint64_t entry)
{
	struct pages_walk *w = user;
	struct page_fields page;
	uint64_t frame = page_struct_frame(&w->layout, entry);
	if (entry & 1 || !page_struct_read(&w->layout, w->guest, frame, &page))
		return true; /* swapped out, or nonsense */
	for (; index < w->n_frames && guest_step(w->guest); index++, frame++) {
		copy_frame(w, index, frame);
		if (!page_struct_read(&w->layout, w->guest, frame + 1, &page) ||
		    !(page.compound_head & 1))
			break;
	}
	return true;
}

struct error *guest_file_pages_read(struct guest *guest, uint64_t mapping_gva, size_t max_bytes,
				    uint8_t **ret, size_t *n_ret)
{
	struct pages_walk w = { .guest = guest };
	struct field pages =
		guest_need_field(guest, "address_space.i_pages|address_space.page_tree");
	uint64_t inode =
		guest_load(guest, mapping_gva, guest_need_field(guest, "address_space.host"));
	w.n_bytes =
		inode ? guest_load(guest, inode, guest_need_field(guest, "inode.i_size")) : 0;
	page_layout_init(&w.layout, guest);
	if (!w.n_bytes || !pages.found || !w.layout.usable)
		return error_create(ERR_NOT_FOUND, "the file's pages cannot be found");
	if (w.n_bytes > max_bytes)
		return error_create(ERR_LIMIT, "the file is too long: %llu bytes",
				    (unsigned long long)w.n_bytes);
	w.n_frames = (w.n_bytes + FRAME_BYTES - 1) / FRAME_BYTES;
	AUTO(own_free) uint8_t *bytes = NULL;
	TRY(error_alloc(w.n_bytes, 1, &bytes));
	w.bytes = bytes;
	guest_xarray_each(guest, mapping_gva + pages.offset, take_entry, &w);
	if (!w.found)
		return error_create(ERR_NOT_FOUND, "no page of the file is in memory");
	*ret = TAKE(bytes);
	*n_ret = w.n_bytes;
	return NULL;
}
