/* Meaning of libVEX's operations in the learner's expressions. Trusted by proofs; checked
 * against Unicorn. Thread: that of the builder. */
#ifndef LEARN_VEX_OPS_H
#define LEARN_VEX_OPS_H
#include <valgrind/libvex_ir.h>

#include "learn/ir.h"

/* A value of any libVEX type: one node, or 64-bit parts, lowest first. */
struct vex_value {
	unsigned parts; /* 0: libVEX's operation has no meaning here */
	ir_ref part[4];
};

static inline struct vex_value vex_scalar(ir_ref ref)
{
	return (struct vex_value){ 1, { ref } };
}

struct vex_value vex_unop(struct ir *ir, IROp op, struct vex_value a);
struct vex_value vex_binop(struct ir *ir, IROp op, struct vex_value a, struct vex_value b);
/* DIV and IDIV of 32 and 64 bits; parts = 0 when op is none of these. *wrong_ret: 1 bit, the
 * value means nothing then. */
struct vex_value vex_divide(struct ir *ir, IROp op, struct vex_value a, struct vex_value b,
			    ir_ref *wrong_ret);
/* Vector halves of vex_binop and vex_unop; parts = 0 when op is not one of theirs. */
struct vex_value vex_vector_binop(struct ir *ir, IROp op, struct vex_value a,
				  struct vex_value b);
struct vex_value vex_vector_unop(struct ir *ir, IROp op, struct vex_value a);
#endif
