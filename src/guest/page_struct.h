/* The kernel's struct page of a frame: where it lies, what its flags and types mean in this
 * kernel. Meaning comes from the kernel's own enums and fields; nothing is decided by version.
 * Thread: that of the guest. */
#ifndef GUEST_PAGE_STRUCT_H
#define GUEST_PAGE_STRUCT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest/field.h"
struct guest;

enum { PAGE_STRUCT_MAX_BYTES = 128 };

/* ORDER page types: what page_type can say. Each exists in some kernels only. */
#define PAGE_TYPES(X)             \
	X(BUDDY, buddy)           \
	X(OFFLINE, offline)       \
	X(TABLE, table)           \
	X(GUARD, guard)           \
	X(HUGETLB, hugetlb)       \
	X(SLAB, slab)             \
	X(ZSMALLOC, zsmalloc)     \
	X(UNACCEPTED, unaccepted) \
	X(LARGE_KMALLOC, large_kmalloc)

enum page_type {
	PAGE_TYPE_NONE,
#define PAGE_TYPE_ENUM(upper, lower) PAGE_TYPE_##upper,
	PAGE_TYPES(PAGE_TYPE_ENUM)
#undef PAGE_TYPE_ENUM
		PAGE_N_TYPES
};

/* Bits of flags by their names in enum pageflags. */
/* clang-format off */
#define PAGE_FLAGS(X) \
	X(locked) X(error) X(referenced) X(uptodate) X(dirty) X(lru) \
	X(active) X(workingset) X(waiters) X(slab) X(reserved) X(private) \
	X(writeback) X(head) X(mappedtodisk) X(reclaim) X(swapbacked) X(unevictable) \
	X(mlocked) X(hwpoison) X(swapcache) X(young) X(idle) X(owner_priv_1) \
	X(arch_1) X(private_2) X(hugetlb)
/* clang-format on */

enum page_flag {
#define PAGE_FLAG_ENUM(name) PAGE_FLAG_##name,
	PAGE_FLAGS(PAGE_FLAG_ENUM)
#undef PAGE_FLAG_ENUM
		PAGE_N_FLAGS
};

struct page_layout {
	uint64_t base_gva; /* of frame 0's structure, were there one */
	uint32_t struct_bytes;
	unsigned word_bytes;
	struct field flags, compound_head, mapping, index, private, page_type, mapcount,
		refcount, slab_cache, compound_dtor;
	int8_t flag_bit[PAGE_N_FLAGS]; /* -1: this kernel has none */
	uint32_t type_value[PAGE_N_TYPES], type_mask[PAGE_N_TYPES]; /* mask 0: none */
	int64_t hugetlb_dtor; /* -1: none */
	bool usable;
	/* The stretch of structures translated last. */
	uint64_t run_gva, run_bytes, run_gpa;
	const uint8_t *run_host;
	bool run_missing;
};

/* A frame's structure, decoded from one copy. */
struct page_fields {
	uint64_t flags, compound_head, mapping, index, private;
	uint32_t page_type;
	int32_t mapcount; /* _mapcount as stored: -1 is none */
	int32_t refcount;
	uint32_t compound_dtor;
	uint64_t slab_cache;
};

/* Finds where the structures are. layout->usable is false, and a note in guest says why, when
 * this kernel's are not understood. */
void page_layout_init(struct page_layout *layout, struct guest *guest);

/* Reads the structure of a frame. False when there is none. */
bool page_struct_read(struct page_layout *layout, struct guest *guest, uint64_t frame,
		      struct page_fields *ret);

bool page_has_flag(const struct page_layout *layout, const struct page_fields *page,
		   enum page_flag flag);
enum page_type page_type_of(const struct page_layout *layout, const struct page_fields *page);
const char *page_flag_name(enum page_flag flag);
const char *page_type_name(enum page_type type);

/* Address of a frame's structure, and the frame of a structure's address. */
uint64_t page_struct_gva(const struct page_layout *layout, uint64_t frame);
uint64_t page_struct_frame(const struct page_layout *layout, uint64_t gva);
#endif
