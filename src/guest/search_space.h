/* A program's memory as a space to search: its mappings of RAM in order, adjoining pages
 * joined. Thread: that of the guest. */
#ifndef GUEST_SEARCH_SPACE_H
#define GUEST_SEARCH_SPACE_H
#include "base/own.h"
#include "guest/search.h"
struct error;
struct guest_space;
struct process_memory;

/* The mappings of [first, last]. Caller owns *ret. Fails: ERR_MEMORY. */
struct error *process_memory_create(const struct guest_space *space, uint64_t first,
				    uint64_t last, struct process_memory **ret);
void process_memory_destroy(struct process_memory *memory);
OWN_DECLARE(own_process_memory, struct process_memory *, process_memory_destroy)

/* For search_params; borrows memory. */
struct search_space process_memory_space(struct process_memory *memory);
#endif
