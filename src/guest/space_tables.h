/* Visits every page table and every mapping of a range of an address space, tables first, in
 * ascending order. A hostile guest can make tables that point at themselves: depth is bounded
 * by the levels, breadth by a budget of tables. Thread: that of the guest. */
#ifndef GUEST_SPACE_TABLES_H
#define GUEST_SPACE_TABLES_H
#include <stdbool.h>
#include <stdint.h>
struct guest_space;

struct space_leaf {
	uint64_t gva, gpa, page_bytes;
	uint64_t flags; /* GUEST_PTE_*, with the rights of all levels as in guest_mapping */
};

struct space_visitor {
	/* A table page; level 1 holds 4 KiB mappings, the root has the highest. Returns false
	 * to leave out what is under it. May be NULL. */
	bool (*table)(void *user, uint64_t gpa, unsigned level, uint64_t gva);
	/* A mapping, also of what is not RAM. Returns false to end the visit. May be NULL. */
	bool (*leaf)(void *user, const struct space_leaf *leaf);
	void *user;
	uint64_t *budget; /* tables that may still be visited; counted down */
};

/* Visits what maps [first, last]. False if the budget ended or leaf said so. */
bool guest_space_visit(const struct guest_space *space, uint64_t first, uint64_t last,
		       const struct space_visitor *visitor);
#endif
