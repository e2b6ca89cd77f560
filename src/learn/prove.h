/* The proof that a microcode kernel does what a loop of x86 code does. docs/learning.md says
 * what exactly is proved and what is trusted. Thread: the lifter's. */
#ifndef LEARN_PROVE_H
#define LEARN_PROVE_H
#include "learn/loop.h"
#include "learn/proof.h"
#include "mcode/program.h"

struct prove_params {
	const struct code_source *source;
	const struct shape *shape;
	struct loop *loop; /* claims, every one of which is checked */
	const struct mcode_kernel *kernel; /* valid */
	bool keep_text;
	unsigned timeout_ms; /* of one step; 0: the default */
	bool stop_early; /* after the first step that fails */
};

/* A verdict other than proved is a result, not an error. Caller owns *ret. */
struct error *prove_kernel(const struct prove_params *params, struct proof **ret);
#endif
