/* Reads QEMU's own description of its physical address space (`info mtree -f`): which guest
 * addresses are which bytes of which memory backend. Pure. Thread: any. */
#ifndef VM_MTREE_H
#define VM_MTREE_H
#include <stddef.h>
#include <stdint.h>

#include "base/vec.h"
struct error;

struct mtree_range {
	uint64_t gpa, size_bytes;
	uint64_t offset; /* in the backend */
	char name[64]; /* of the backend: "ram0", "pc.ram" */
};

struct mtree_layout {
	VEC(struct mtree_range) ranges; /* ascending, neighbours joined */
};

/* Finds the RAM ranges of the address space "memory" that belong to one of the named backends.
 * names ends with NULL. The part below 1 MiB that firmware shadows counts as RAM; the VGA
 * window does not. The caller frees *layout with VEC_FREE also on failure. ERR_BAD_DATA. */
struct error *mtree_parse(const char *text, const char *const *names,
			  struct mtree_layout *layout);
#endif
