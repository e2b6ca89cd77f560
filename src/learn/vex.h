/* libVEX as a lifter: one block of x86-64 code at a time, as libVEX's own IR. libVEX keeps one
 * static arena: a lifted block is valid until the next call. Thread: one per process. */
#ifndef LEARN_VEX_H
#define LEARN_VEX_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
struct error;

/* Where code comes from: reads up to `bytes` bytes at gva, returns how many could be read. */
struct code_source {
	size_t (*read)(void *user, uint64_t gva, uint8_t *to, size_t bytes);
	void *user;
};

enum { VEX_INSNS_MAX = 99, VEX_BLOCK_BYTES_MAX = 2048 };

struct vex_block {
	uint64_t address;
	uint32_t n_bytes;
	unsigned n_insns;
	uint64_t insns[VEX_INSNS_MAX + 1]; /* addresses */
	const void *irsb; /* the IRSB of libvex_ir.h */
};

/* Lifts at most max_insns instructions (0: as many as allowed) that are seen by libVEX at
 * address `as`, which is gva or, to find what depends on the place, another one. Fails:
 * ERR_FAULT (no code there), ERR_UNSUPPORTED (libVEX cannot). */
struct error *vex_lift(const struct code_source *source, uint64_t gva, uint64_t as,
		       unsigned max_insns, struct vex_block *ret);
#endif
