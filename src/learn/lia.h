/* Guards, trip counts and addresses as integers: x + y is a sum, less 2^64 where it wraps. What
 * has no exact integer form is an unknown of its width, which can only make a proof fail.
 * Trusted. Thread: that of the context. */
#ifndef LEARN_LIA_H
#define LEARN_LIA_H
#include "learn/bv_mcode.h"

struct lia {
	Z3_context z;
	Z3_solver solver; /* bounds of unknowns are asserted here */
	unsigned n_unknowns;
	const struct ir *ir;
	/* An integer in [0, 2^64) for a leaf of 64 bits; NULL: unknown. */
	Z3_ast (*leaf)(void *user, const struct ir_node *node);
	void *user;
	Z3_ast *memo; /* ir_count + 1, zeroed */
};

Z3_ast lia_int(Z3_context z, uint64_t value);
Z3_ast lia_int_signed(Z3_context z, int64_t value);
/* A fresh unknown in [0, 2^width), asserted. */
Z3_ast lia_unknown(struct lia *lia, unsigned width);
/* Width 1 gives a Bool, others an Int in [0, 2^width). */
Z3_ast lia_ir(struct lia *lia, ir_ref ref);

/* Registers and slots as terms that are Int or Bool. */
struct lia_mcode {
	struct lia *lia;
	const struct mcode_kernel *kernel;
	Z3_ast slots[MCODE_SLOTS];
	Z3_ast regs[MCODE_REGISTERS];
};
void lia_mcode_init(struct lia_mcode *m, struct lia *lia, const struct mcode_kernel *kernel);
struct error *lia_mcode_run(struct lia_mcode *m, enum mcode_section section);
Z3_ast lia_as_int(struct lia *lia, Z3_ast a);
Z3_ast lia_as_bool(struct lia *lia, Z3_ast a); /* a != 0 */
#endif
