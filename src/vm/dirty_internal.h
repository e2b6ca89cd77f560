/* Between the files of dirty tracking: the shared map, and the sources that mark pages in it.
 */
#ifndef VM_DIRTY_INTERNAL_H
#define VM_DIRTY_INTERNAL_H
#include "vm/dirty.h"

/* Pages per entry of the summary: unchanged chunks are skipped without looking. */
#define DIRTY_CHUNK 512u

/* The shared file: this header, then arrays. Guarded by a lock on the file. */
struct dirty_header {
	uint64_t magic;
	uint64_t n_pages;
	uint64_t start_time; /* of QEMU's process */
	uint32_t generation; /* of the last scan */
	uint32_t is_baselined; /* the first scan was made */
};

struct dirty_run_map {
	uint64_t hva, size_bytes; /* in QEMU's address space */
	uint64_t first_page; /* its index in the map */
};

struct dirty {
	struct vm *vm;
	enum dirty_source source;
	bool stands_still; /* the guest, by the caller's doing */
	int map_fd, pagemap_fd;
	void *map;
	size_t map_bytes;
	struct dirty_header *header;
	uint32_t *written; /* per page: generation of the last write */
	uint32_t *chunk; /* per chunk: the greatest of its pages */
	uint64_t *hashes; /* DIRTY_HASH only */
	VEC(struct dirty_run_map) runs; /* not for DIRTY_HASH */
	void *regions; /* what PAGEMAP_SCAN writes */
	uint8_t *buffer; /* DIRTY_HASH of memory that is not mapped */
};

/* Marks pages as written in the generation of the scan that is running. */
static inline void dirty_mark(struct dirty *dirty, uint64_t page, uint64_t count)
{
	uint32_t generation = dirty->header->generation;
	for (uint64_t i = page; i < page + count && i < dirty->header->n_pages; i++) {
		dirty->written[i] = generation;
		dirty->chunk[i / DIRTY_CHUNK] = generation;
	}
}

/* Finds where QEMU has its RAM mapped. */
struct error *dirty_find_runs(struct dirty *dirty);

/* Each marks what was written since the last scan; the first one marks everything. */
struct error *dirty_scan_pagemap(struct dirty *dirty);
struct error *dirty_scan_hash(struct dirty *dirty);

/* True if the plugin has armed write-protect tracking in this QEMU; why not is static. */
bool dirty_is_armed(struct vm *vm, const char **why_ret);
bool dirty_kernel_has_soft(void);
#endif
