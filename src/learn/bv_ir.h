/* Expressions of ir.h as bit-vector terms. Trusted. Thread: that of the context. */
#ifndef LEARN_BV_IR_H
#define LEARN_BV_IR_H
#include "learn/bv.h"

struct bv_ir {
	Z3_context z;
	const struct ir *ir;
	Z3_ast *memo; /* ir_count + 1 entries, zeroed by the caller */
	/* The term of a leaf, of the leaf's width (1 bit: a bit vector too). */
	Z3_ast (*leaf)(void *user, const struct ir_node *node);
	void *user;
};

/* Width 1 gives a Bool, others a bit vector. */
Z3_ast bv_ir_encode(struct bv_ir *encoder, ir_ref ref);
#endif
