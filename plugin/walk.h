/* The guest's page tables, walked in software for a kernel's memory: stricter than the
 * processor. A page counts as ready only if the access could not fault, would change no table
 * entry, and lies in ordinary RAM. Thread: the vCPU's, inside a callback. */
#ifndef PLUGIN_WALK_H
#define PLUGIN_WALK_H
#include <stdbool.h>
#include <stdint.h>

#include "kernel_abi.h"

enum { WALK_TABLES = 8, WALK_CR4_LA57 = 1 << 12 };

struct walk_space { /* as the vCPU's control registers say */
	uint64_t root; /* physical address of the top table */
	unsigned levels; /* 4 or 5 */
	bool user; /* the code runs in ring 3 */
	/* Lowest tables met so far, as a processor keeps them: for the time of one callback.
	 * Start with zeros. */
	struct walk_table {
		uint64_t region; /* of 2 MiB, plus 1; 0: none */
		uint64_t entry, allowed;
	} table[WALK_TABLES];
	struct { /* the one used last by walk_ready, in the host */
		const uint64_t *entries; /* NULL: none */
		uint64_t region, allowed; /* as above */
	} near;
};

struct walk_page {
	uint64_t gva; /* of the page */
	uint64_t bytes; /* 4K, 2M, 1G */
	uint64_t offset; /* of the page in the RAM file */
};

/* GB_PLAN_GO, or why the page is not ready: PAGE, DEVICE, PRIVILEGE. */
enum gb_plan_result walk(struct walk_space *space, uint64_t gva, bool write,
			 struct walk_page *ret);

/* The same for one page of 4K, for many that follow each other; its offset in the RAM file. */
enum gb_plan_result walk_ready(struct walk_space *space, uint64_t gva, bool write,
			       uint64_t *offset_ret);

/* Reads n bytes, or compares them; false also when a page is not ready. */
bool walk_read(struct walk_space *space, uint64_t gva, void *to, uint64_t n);
bool walk_same_bytes(struct walk_space *space, uint64_t gva, const void *wanted, uint64_t n);

/* Offset in the RAM file of [gpa, gpa + bytes); false: not ordinary RAM. */
bool walk_ram_offset(uint64_t gpa, uint64_t bytes, uint64_t *offset_ret);
#endif
