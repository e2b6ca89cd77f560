/* The reference executor: runs a validated kernel one instruction at a time, exactly as isa.h
 * and program.h say. Other executors are checked against it. Thread: an interpreter may be used
 * by one thread at a time; several may share a kernel. */
#ifndef MCODE_INTERP_H
#define MCODE_INTERP_H
#include <stdbool.h>
#include <stdint.h>

#include "base/own.h"
struct error;
struct mcode_kernel;
struct mcode_interp;

/* Bytes a stream may touch: guest addresses [address, address + size_bytes) are at `bytes`. */
struct mcode_view {
	uint8_t *bytes;
	uint64_t address;
	uint64_t size_bytes;
};

/* Validates and decodes; the kernel must outlive it. Caller owns *ret. ERR_BAD_DATA. */
struct error *mcode_interp_create(const struct mcode_kernel *kernel, struct mcode_interp **ret);
void mcode_interp_destroy(struct mcode_interp *interp);
OWN_DECLARE(own_mcode_interp, struct mcode_interp *, mcode_interp_destroy)

/* guest: MCODE_GUEST_REGS values at the loop head. False: the kernel must not run on them, and
 * *reason_ret (may be NULL) is the guard's r1. */
bool mcode_interp_guard(struct mcode_interp *interp, const uint64_t *guest,
			uint64_t *reason_ret);
/* Fills slots[MCODE_SLOTS] with the inputs and runs setup. */
void mcode_interp_setup(struct mcode_interp *interp, const uint64_t *guest, uint64_t *slots);
/* Runs iterations k0 .. k0 + n - 1 over views[kernel->n_streams], folds reductions into slots
 * and returns how many are done: less than n at a search hit or a fault. *fault_ret (may be
 * NULL) says whether it was a fault. */
uint64_t mcode_interp_iterate(struct mcode_interp *interp, uint64_t *slots,
			      const struct mcode_view *views, uint64_t k0, uint64_t n,
			      bool *fault_ret);
/* Runs finish after `done` iterations and writes the exit registers to guest. */
void mcode_interp_finish(struct mcode_interp *interp, uint64_t *slots, uint64_t done,
			 uint64_t *guest);

/* All of it: guard, setup, at most n iterations, finish. False: the guard refused and nothing
 * changed. */
bool mcode_interp_run(struct mcode_interp *interp, uint64_t *guest,
		      const struct mcode_view *views, uint64_t n, uint64_t *done_ret,
		      bool *fault_ret);
#endif
