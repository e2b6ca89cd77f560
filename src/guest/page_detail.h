/* Everything known about one page frame: its structure's words, what it belongs to by name, and
 * who maps it where. Thread: that of the guest. */
#ifndef GUEST_PAGE_DETAIL_H
#define GUEST_PAGE_DETAIL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest/page_kind.h"
struct error;
struct guest;

enum { PAGE_OWNER_BYTES = 512, PAGE_MAPPERS_MAX = 4096 };

/* One place where a program sees the frame. */
struct page_mapper {
	int32_t pid;
	char comm[64];
	uint64_t gva;
	uint64_t flags; /* GUEST_PTE_* */
	uint64_t page_bytes;
};

struct page_detail {
	uint64_t gpa;
	enum page_kind kind;
	uint32_t owner_pid; /* 0: the kernel or nobody */
	char owner[PAGE_OWNER_BYTES]; /* "dentry" of a slab, a path, a program; "" unknown */
	char filesystem[64]; /* of page cache */
	uint64_t file_offset; /* of page cache, in bytes */
	bool has_struct;
	uint64_t struct_gva;
	int32_t refcount, mapcount;
	uint64_t flags; /* the raw word */
	uint64_t head_gpa; /* first frame of the block it belongs to; its own if none */
	uint8_t level; /* of page tables; order of free blocks */
	uint64_t kernel_gva; /* in the image or the direct mapping; 0: in neither */
	struct page_mapper *mappers; /* caller frees with page_detail_deinit */
	size_t n_mappers, room;
};

/* Fails: ERR_FAULT when gpa is not RAM. */
struct error *page_detail_read(struct guest *guest, const struct page_kinds *kinds,
			       uint64_t gpa, struct page_detail *ret);
void page_detail_deinit(struct page_detail *detail);

/* Names of the set flags, in the order of their bits; returns how many of max were stored. */
size_t page_detail_flags(const struct page_kinds *kinds, const struct page_detail *detail,
			 const char **names, size_t max);

/* Words for the owner of a frame without the search for who maps it: for lists of regions. */
void page_owner_text(struct guest *guest, const struct page_kinds *kinds, uint64_t frame,
		     char *text, size_t size);
#endif
