#include "guest/search_space.h"

#include <stdlib.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "base/vec.h"
#include "guest/space.h"
#include "guest/space_tables.h"

struct process_memory {
	struct phys_mem *mem;
	VEC(struct search_run) runs; /* ascending */
	uint64_t total_bytes;
	bool no_memory;
};

/* Joins a mapping with the one before when both addresses go on. */
static bool add_leaf(void *user, const struct space_leaf *leaf)
{
	struct process_memory *memory = user;
	struct search_run run = { leaf->gva, leaf->gpa, (size_t)leaf->page_bytes };
	struct search_run *last =
		memory->runs.count ? &memory->runs.items[memory->runs.count - 1] : NULL;
	if (!phys_mem_segment(memory->mem, leaf->gpa))
		return true; /* a device */
	memory->total_bytes += leaf->page_bytes;
	if (last && last->address + last->length_bytes == run.address &&
	    last->physical + last->length_bytes == run.physical) {
		last->length_bytes += run.length_bytes;
		return true;
	}
	memory->no_memory = !VEC_PUSH(&memory->runs, run);
	return !memory->no_memory;
}

struct error *process_memory_create(const struct guest_space *space, uint64_t first,
				    uint64_t last, struct process_memory **ret)
{
	AUTO(own_process_memory) struct process_memory *memory = NULL;
	uint64_t budget = 65536 + phys_mem_end(space->mem) / PHYS_PAGE_SIZE;
	struct space_visitor visitor = { .leaf = add_leaf, .budget = &budget };
	TRY(error_alloc(1, sizeof(*memory), &memory));
	memory->mem = space->mem;
	visitor.user = memory;
	guest_space_visit(space, first, last, &visitor);
	if (memory->no_memory)
		return error_create(ERR_MEMORY, "no memory for a list of mappings");
	*ret = TAKE(memory);
	return NULL;
}

void process_memory_destroy(struct process_memory *memory)
{
	if (!memory)
		return;
	VEC_FREE(&memory->runs);
	free(memory);
}

static bool next_run(void *user, uint64_t address, struct search_run *ret)
{
	struct process_memory *memory = user;
	size_t low = 0, high = memory->runs.count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct search_run *run = &memory->runs.items[middle];
		if (run->address + (run->length_bytes - 1) < address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == memory->runs.count)
		return false;
	*ret = memory->runs.items[low];
	if (address > ret->address) {
		uint64_t skip = address - ret->address;
		ret->address += skip;
		ret->physical += skip;
		ret->length_bytes -= skip;
	}
	return true;
}

struct search_space process_memory_space(struct process_memory *memory)
{
	return (struct search_space){ .mem = memory->mem,
				      .next = next_run,
				      .user = memory,
				      .total_bytes = memory->total_bytes };
}
