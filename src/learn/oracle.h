/* Random concrete cases: a kernel in the reference interpreter against the loop's original
 * bytes in Unicorn. Entry states are solutions of the guard found by Z3, with buffers anywhere
 * in an arena (page-crossing, adjacent, overlapping) and boundary values in what is free. A
 * mismatch means a bug in us. Thread: the lifter's. */
#ifndef LEARN_ORACLE_H
#define LEARN_ORACLE_H
#include "learn/loop.h"
#include "mcode/program.h"

struct oracle_params {
	const struct code_source *source;
	const struct shape *shape;
	struct loop *loop;
	const struct mcode_kernel *kernel;
	unsigned cases; /* 0: 10 000 */
	uint64_t seed;
};

struct oracle_result {
	unsigned states; /* different entry states */
	unsigned cases; /* runs compared */
	unsigned refused; /* the guard said no */
	unsigned mismatches;
	uint64_t iterations; /* done by the kernel */
	double ms;
	char first[128]; /* the first mismatch */
};

/* Fails: ERR_UNSUPPORTED (no entry state can be made), ERR_PEER (Unicorn). */
struct error *oracle_run(const struct oracle_params *params, struct oracle_result *ret);
#endif
