/* An address space: page tables in guest RAM, walked in software, with a small cache of
 * translations. Every level is bounds-checked by phys_mem; a walk is at most five loads. The
 * tables may change while they are read: flush at the start of each question. Thread: one. */
#ifndef GUEST_SPACE_H
#define GUEST_SPACE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/stable.h"
struct phys_mem;

enum guest_paging {
	GUEST_PAGING_2LEVEL, /* i386 without PAE */
	GUEST_PAGING_PAE,
	GUEST_PAGING_4LEVEL,
	GUEST_PAGING_5LEVEL,
};

/* How one kind of page table is laid out: from the top, which bits index each level. */
struct guest_space_format {
	unsigned levels, entry_bytes;
	unsigned shift[5], bits[5];
	bool large[5]; /* an entry with bit 7 set is a page */
	uint64_t address_mask;
};
const struct guest_space_format *guest_space_format(enum guest_paging paging);

enum guest_walk {
	GUEST_WALK_OK,
	GUEST_WALK_NOT_CANONICAL,
	GUEST_WALK_NOT_PRESENT,
	GUEST_WALK_OUTSIDE_RAM, /* a table or the page itself is not in RAM */
};

/* Bits of an entry; the names are ours, the values the architecture's. */
enum {
	GUEST_PTE_PRESENT = 1 << 0,
	GUEST_PTE_WRITE = 1 << 1,
	GUEST_PTE_USER = 1 << 2,
	GUEST_PTE_ACCESSED = 1 << 5,
	GUEST_PTE_DIRTY = 1 << 6,
	GUEST_PTE_LARGE = 1 << 7,
	GUEST_PTE_GLOBAL = 1 << 8,
};
#define GUEST_PTE_NX (1ull << 63)

struct guest_mapping {
	uint64_t gpa; /* of the address asked for */
	uint64_t page_bytes; /* 4K, 2M, 4M or 1G */
	uint64_t flags; /* leaf entry's bits; WRITE and USER only if every level allows, NX if
			   any forbids */
};

enum { GUEST_TLB_ENTRIES = 512 };

struct guest_space {
	struct phys_mem *mem;
	uint64_t root_gpa;
	enum guest_paging paging;
	struct {
		uint64_t page; /* virtual page number + 1; 0 is empty */
		uint64_t gpa;
		const uint8_t *host; /* the page, when it is mapped */
	} tlb[GUEST_TLB_ENTRIES];
};

void guest_space_init(struct guest_space *space, struct phys_mem *mem, uint64_t root_gpa,
		      enum guest_paging paging);
void guest_space_flush(struct guest_space *space);

enum guest_walk guest_space_walk(const struct guest_space *space, uint64_t gva,
				 struct guest_mapping *ret);
const char *guest_walk_text(enum guest_walk status); /* "not present" */

/* Copies length_bytes from gva. False if any byte is not there; to is undefined then. */
bool guest_space_read(struct guest_space *space, uint64_t gva, void *to, size_t length_bytes);
/* Copies as much as there is before the first missing page; returns how much. */
size_t guest_space_read_some(struct guest_space *space, uint64_t gva, void *to,
			     size_t length_bytes);

/* The same, and says whether all bytes were there at one moment (base/stable.h), as far as the
 * translations of this question hold. *done_ret may be NULL. */
enum stable_result guest_space_read_stable(struct guest_space *space, uint64_t gva, void *to,
					   size_t length_bytes, unsigned looks,
					   size_t *done_ret);

/* Physical address of a leaf entry's page; 4 MiB pages keep bits 32-39 in bits 13-20. */
uint64_t guest_space_leaf(const struct guest_space *space, uint64_t entry, uint64_t page_bytes);

/* Physical addresses of the tables passed on the way down, for "who owns this page table". */
struct guest_walk_trace {
	unsigned levels;
	uint64_t table_gpa[5];
	uint64_t entry[5];
};
enum guest_walk guest_space_trace(const struct guest_space *space, uint64_t gva,
				  struct guest_mapping *ret, struct guest_walk_trace *trace);
#endif
