/* The rewrite rules behind a simplifying builder. Nothing here has to be trusted: proofs start
 * from unsimplified expressions. Thread: that of the builder. */
#ifndef LEARN_IR_SIMPLIFY_H
#define LEARN_IR_SIMPLIFY_H
#include "learn/ir.h"

/* A simpler equal of what node would be, or IR_NONE. */
ir_ref ir_simplify(struct ir *ir, const struct ir_node *node);
#endif
