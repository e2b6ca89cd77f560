/* The second half of classifying frames: who maps and holds them. Walks the kernel's page
 * tables, every program's, and every task's stack. Thread: that of the guest. */
#ifndef GUEST_PAGE_OWNER_H
#define GUEST_PAGE_OWNER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest/page_kind.h"
struct guest;

/* While owners are found: a frame that nobody counts as used, and that is not in the list of
 * free ones either. It is free unless page tables or stacks say otherwise. */
#define PAGE_UNSETTLED ((enum page_kind)PAGE_N_KINDS)

/* Borrowed arrays by frame, filled in on top of what is there. */
struct page_owners {
	size_t n_frames;
	uint8_t *kind;
	uint8_t *level;
	uint32_t *owner;
	bool has_structs; /* else what programs map is taken for theirs */
};

void page_owners_find(struct guest *guest, const struct page_owners *owners);
#endif
