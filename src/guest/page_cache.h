/* Files whose pages are in memory. Thread: that of the guest. */
#ifndef GUEST_PAGE_CACHE_H
#define GUEST_PAGE_CACHE_H
#include <stdbool.h>
#include <stdint.h>

#include "guest/path.h"
struct guest;

struct guest_cached_file {
	uint64_t inode_gva, inode;
	uint64_t size_bytes, pages;
	char fstype[64];
	char path[GUEST_PATH_BYTES]; /* inside its filesystem; "" when it has no name */
};

typedef bool guest_cached_fn(void *user, const struct guest_cached_file *file);
void guest_page_cache_each(struct guest *guest, guest_cached_fn *visit, void *user);
#endif
