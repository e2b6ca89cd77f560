/* Bit-vector terms for Z3: one meaning for each operation, used for lifted code and microcode
 * alike. Truth values stay `ite(c, 1, 0)`, shifts by constants are products, lanes are cut and
 * joined: what keeps proofs at a fraction of a millisecond. Trusted. Thread: one context
 * belongs to one thread. */
#ifndef LEARN_BV_H
#define LEARN_BV_H
#include <stdbool.h>
#include <stdint.h>
#include <z3.h>

#include "learn/ir.h"

Z3_ast bv_const(Z3_context z, unsigned width, uint64_t value);
Z3_ast bv_var(Z3_context z, unsigned width, const char *format, uint64_t number);
/* Cuts or zero-extends to width. */
Z3_ast bv_resize(Z3_context z, Z3_ast a, unsigned width);
/* Simplified with products of sums multiplied out. */
Z3_ast bv_as_sum(Z3_context z, Z3_ast a);
Z3_ast bv_sign_extend(Z3_context z, Z3_ast a, unsigned width);
Z3_ast bv_extract(Z3_context z, Z3_ast a, unsigned low, unsigned width);
unsigned bv_width(Z3_context z, Z3_ast a);
Z3_ast bv_from_bool(Z3_context z, Z3_ast condition, unsigned width);
bool bv_is_value(Z3_context z, Z3_ast a, uint64_t *value_ret);

/* Operations of ir.h with two (or one) arguments of equal width on terms of any width; the
 * result has that width, except for comparisons, which give a Bool. */
Z3_ast bv_op(Z3_context z, enum ir_op op, Z3_ast a, Z3_ast b);
/* The same on each lane of 64-bit terms, and the operations across lanes. */
Z3_ast bv_lanes(Z3_context z, enum ir_op op, unsigned lane, Z3_ast a, Z3_ast b);
#endif
