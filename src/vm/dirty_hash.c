/* The source of last resort: a 64-bit XXH3 of every data page is kept and compared. Complete
 * up to a collision, and blind to a page written twice to the same bytes between two scans. */
#include <stdlib.h>

#include <xxhash.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "vm/dirty_internal.h"
#include "vm/vm.h"

/* Read at once from memory that is not mapped here. */
#define BUFFER_PAGES 256u

static void hash_page(struct dirty *dirty, uint64_t page, const uint8_t *bytes)
{
	uint64_t hash = XXH3_64bits(bytes, PHYS_PAGE_SIZE);
	hash += !hash; /* 0 is "never seen" */
	if (dirty->hashes[page] == hash)
		return;
	dirty->hashes[page] = hash;
	dirty_mark(dirty, page, 1);
}

static struct error *hash_unmapped(struct dirty *dirty, uint64_t gpa, uint64_t pages,
				   uint64_t page)
{
	struct phys_mem *mem = vm_memory(dirty->vm);
	if (!dirty->buffer)
		TRY(error_alloc(BUFFER_PAGES, PHYS_PAGE_SIZE, &dirty->buffer));
	while (pages) {
		uint64_t part = pages < BUFFER_PAGES ? pages : BUFFER_PAGES;
		if (!phys_mem_read(mem, gpa, dirty->buffer, part * PHYS_PAGE_SIZE))
			return error_create(ERR_PEER, "the VM's memory cannot be read");
		for (uint64_t i = 0; i < part; i++)
			hash_page(dirty, page + i, dirty->buffer + i * PHYS_PAGE_SIZE);
		gpa += part * PHYS_PAGE_SIZE;
		page += part;
		pages -= part;
	}
	return NULL;
}

static struct error *hash_run(struct dirty *dirty, const struct phys_segment *segment,
			      uint64_t first_page, uint64_t start, uint64_t end)
{
	uint64_t page = first_page + (start - segment->gpa) / PHYS_PAGE_SIZE;
	uint64_t pages = (end - start) / PHYS_PAGE_SIZE;
	if (!segment->host)
		return hash_unmapped(dirty, start, pages, page);
	for (uint64_t i = 0; i < pages; i++)
		hash_page(dirty, page + i,
			  segment->host + (start - segment->gpa) + i * PHYS_PAGE_SIZE);
	return NULL;
}

struct error *dirty_scan_hash(struct dirty *dirty)
{
	struct phys_mem *mem = vm_memory(dirty->vm);
	uint64_t first_page = 0, start, end;
	for (size_t i = 0; i < mem->n_segments; i++) {
		const struct phys_segment *segment = &mem->segments[i];
		uint64_t at = segment->gpa, limit = at + segment->size_bytes;
		while (at < limit && phys_mem_next_data(mem, at, &start, &end) &&
		       start < limit) {
			TRY(hash_run(dirty, segment, first_page, start, end));
			at = end;
		}
		first_page += segment->size_bytes / PHYS_PAGE_SIZE;
	}
	return NULL;
}
