/* libVEX's pure helper functions that have a meaning here: conditions of flags whose origin is
 * known, and a few vector operations. Trusted. Thread: any. */
#ifndef LEARN_VEX_CALL_H
#define LEARN_VEX_CALL_H
#include "learn/ir.h"

/* The 64-bit result of the helper with these 64-bit arguments; IR_NONE: it has no meaning here.
 */
ir_ref vex_call(struct ir *ir, const char *name, const ir_ref *args, unsigned count);
#endif
