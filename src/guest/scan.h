/* Passes over guest-physical memory that never touch the holes of a sparse file. Thread: any.
 */
#ifndef GUEST_SCAN_H
#define GUEST_SCAN_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
struct phys_mem;

/* Gets a piece of RAM; bytes may change while it looks. Returns false to end the pass. */
typedef bool scan_fn(void *user, uint64_t gpa, const uint8_t *bytes, size_t length_bytes);

/* Shows every run of data in [start, end) to fn, in ascending order. Consecutive pieces of one
 * run overlap by overlap_bytes, so that a thing of that size is seen whole at least once. */
void scan_data(struct phys_mem *mem, uint64_t start, uint64_t end, size_t overlap_bytes,
	       scan_fn *fn, void *user);

/* Copies up to length_bytes from gpa, clipped to RAM. Returns how much was there; the caller
 * owns *ret, NULL when nothing was there or no memory. */
size_t scan_copy(struct phys_mem *mem, uint64_t gpa, size_t length_bytes, uint8_t **ret);
#endif
