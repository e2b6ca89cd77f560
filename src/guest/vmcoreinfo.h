/* The page of KEY=VALUE lines that Linux keeps for crash dumps: the first anchor, found by ten
 * bytes at the start of a page. A guest can forge one, so everything in it is a claim to check.
 * Thread: any. */
#ifndef GUEST_VMCOREINFO_H
#define GUEST_VMCOREINFO_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
struct phys_mem;

enum { VMCOREINFO_PAGE = 4096, VMCOREINFO_CANDIDATES = 8 };

struct vmcoreinfo {
	uint64_t gpa;
	size_t length_bytes;
	char text[VMCOREINFO_PAGE + 1]; /* NUL-terminated copy */
};

/* Collects the physical addresses of up to VMCOREINFO_CANDIDATES pages; returns how many. */
size_t vmcoreinfo_find(struct phys_mem *mem, uint64_t gpa_ret[VMCOREINFO_CANDIDATES]);

/* Copies the page at gpa. False if it does not start like one. */
bool vmcoreinfo_read(struct phys_mem *mem, uint64_t gpa, struct vmcoreinfo *ret);

/* Value of "KEY=", borrowed, *length_ret bytes long; NULL when absent. */
const char *vmcoreinfo_value(const struct vmcoreinfo *info, const char *key,
			     size_t *length_ret);
/* Hexadecimal without 0x, as SYMBOL() and KERNELOFFSET are written. */
bool vmcoreinfo_hex(const struct vmcoreinfo *info, const char *key, uint64_t *ret);
/* Signed decimal, as NUMBER(), SIZE(), OFFSET() and LENGTH() are written. */
bool vmcoreinfo_number(const struct vmcoreinfo *info, const char *key, int64_t *ret);
#endif
