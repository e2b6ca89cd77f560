/* The learner's own expression language: a hash-consed DAG over bit vectors of 1 to 64 bits.
 * Equal expressions are equal numbers. With `simplify` the constructors rewrite to a normal
 * form that the loop analysis can read; without it they build exactly what they are told, which
 * is what proofs start from, so that no rewrite rule has to be trusted. Thread: one builder
 * belongs to one thread. */
#ifndef LEARN_IR_H
#define LEARN_IR_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* ORDER IR_OP: name, arguments, commutes. Shifts by the width or more give 0 (SAR: the sign).
 */
#define IR_OPS(X)                                                                             \
	X(CONST, 0, 0) /* imm */                                                              \
	X(INIT, 0, 0) /* imm: cell of the guest state, its value at the loop head */          \
	X(LOAD, 0, 0) /* imm: number of the load in program order */                          \
	X(OPAQUE, 0, 0) /* imm: a value we have no meaning for; must turn out dead */         \
	X(ADD, 2, 1)                                                                          \
	X(SUB, 2, 0)                                                                          \
	X(MUL, 2, 1)                                                                          \
	X(MULHU, 2, 1)                                                                        \
	X(MULHS, 2, 1)                                                                        \
	X(UDIV, 2, 0) /* by 0: all ones */                                                    \
	X(UREM, 2, 0) /* by 0: the dividend */                                                \
	X(AND, 2, 1)                                                                          \
	X(OR, 2, 1)                                                                           \
	X(XOR, 2, 1)                                                                          \
	X(SHL, 2, 0) /* both arguments of the same width */                                   \
	X(SHR, 2, 0)                                                                          \
	X(SAR, 2, 0)                                                                          \
	X(EQ, 2, 1) /* results of 1 bit */                                                    \
	X(LTU, 2, 0)                                                                          \
	X(LTS, 2, 0)                                                                          \
	X(ITE, 3, 0) /* 1-bit condition first */                                              \
	X(ZEXT, 1, 0)                                                                         \
	X(SEXT, 1, 0)                                                                         \
	X(EXTRACT, 1, 0) /* imm: lowest bit taken */                                          \
	X(CONCAT, 2, 0) /* high, low */                                                       \
	X(CLZ, 1, 0) /* of 0: the width */                                                    \
	X(CTZ, 1, 0)                                                                          \
	/* The rest works on the lanes of 64-bit values only; so may the arithmetic above. */ \
	X(MINU, 2, 1)                                                                         \
	X(MINS, 2, 1)                                                                         \
	X(MAXU, 2, 1)                                                                         \
	X(MAXS, 2, 1)                                                                         \
	X(AVGU, 2, 1) /* (a + b + 1) >> 1 */                                                  \
	X(ADDSU, 2, 1) /* saturating */                                                       \
	X(ADDSS, 2, 1)                                                                        \
	X(SUBSU, 2, 0)                                                                        \
	X(SUBSS, 2, 0)                                                                        \
	X(MASKEQ, 2, 1) /* lanes of all ones where equal */                                   \
	X(MASKGT, 2, 0) /* signed */                                                          \
	X(UNPKL, 2, 0) /* low halves interleaved, a's lane lowest */                          \
	X(UNPKH, 2, 0)                                                                        \
	X(PACKT, 2, 0) /* lanes of a (low) then b, cut to half */                             \
	X(PACKSS, 2, 0) /* signed lanes saturated to signed half */                           \
	X(PACKUS, 2, 0) /* signed lanes saturated to unsigned half */                         \
	X(MOVMSK, 1, 0) /* top bit of lane i in bit i; width 64 */

enum ir_op {
#define IR_OP_ENUM(name, args, commutes) IR_##name,
	IR_OPS(IR_OP_ENUM)
#undef IR_OP_ENUM
		IR_OP_COUNT
};

typedef uint32_t ir_ref; /* number of a node; IR_NONE is no node */
#define IR_NONE 0u
#define IR_NODES_MAX (1u << 18) /* of one builder: tables by node need IR_NODES_MAX + 1 */

struct ir_node {
	uint8_t op;
	uint8_t width;
	uint8_t lane; /* bits per lane; 0: the whole value is one */
	ir_ref args[3];
	uint64_t imm;
};

struct ir;
struct error;

struct error *ir_create(bool simplify, struct ir **ret);
void ir_destroy(struct ir *ir);
bool ir_simplifies(const struct ir *ir);

/* Once memory or the node limit ends, every constructor returns the last good node and this is
 * true: a long computation checks once, at its end. */
bool ir_failed(const struct ir *ir);
size_t ir_count(const struct ir *ir); /* nodes are 1 .. ir_count */
const struct ir_node *ir_get(const struct ir *ir, ir_ref ref);
uint8_t ir_width(const struct ir *ir, ir_ref ref);
unsigned ir_arity(enum ir_op op);
const char *ir_op_name(enum ir_op op);

ir_ref ir_const(struct ir *ir, uint8_t width, uint64_t value);
ir_ref ir_leaf(struct ir *ir, enum ir_op op, uint8_t width, uint64_t imm);
ir_ref ir_unary(struct ir *ir, enum ir_op op, uint8_t width, ir_ref a);
ir_ref ir_binary(struct ir *ir, enum ir_op op, ir_ref a, ir_ref b);
ir_ref ir_ite(struct ir *ir, ir_ref condition, ir_ref then, ir_ref otherwise);
ir_ref ir_extract(struct ir *ir, ir_ref a, unsigned low, uint8_t width);
ir_ref ir_not(struct ir *ir, ir_ref a); /* every bit */
ir_ref ir_zext(struct ir *ir, uint8_t width, ir_ref a); /* or a itself at the same width */
ir_ref ir_sext(struct ir *ir, uint8_t width, ir_ref a);
ir_ref ir_concat(struct ir *ir, ir_ref high, ir_ref low);
/* The operation on each lane of 64-bit values; b is IR_NONE for one argument. */
ir_ref ir_lanes(struct ir *ir, enum ir_op op, uint8_t lane, ir_ref a, ir_ref b);

/* The node without rewriting; for the rewriter itself and for the proof side. */
ir_ref ir_raw(struct ir *ir, const struct ir_node *node);

bool ir_is_const(const struct ir *ir, ir_ref ref, uint64_t *value_ret);
static inline uint64_t ir_mask(unsigned width)
{
	return width >= 64 ? ~0ull : (1ull << width) - 1;
}

/* What an operation means on concrete values: the reference for folding, tests and proofs. */
uint64_t ir_eval_op(const struct ir_node *node, const uint8_t arg_widths[2],
		    const uint64_t args[3]);

/* Values of leaves, for ir_eval. */
struct ir_env {
	uint64_t (*leaf)(void *user, const struct ir_node *node);
	void *user;
};
/* Evaluates ref; memo has ir_count + 1 entries and done as many flags, both zeroed first. */
uint64_t ir_eval(const struct ir *ir, ir_ref ref, const struct ir_env *env, uint64_t *memo,
		 uint8_t *done);

/* Marks everything ref depends on; marks has ir_count + 1 flags. */
void ir_mark(const struct ir *ir, ir_ref ref, uint8_t *marks);

/* Copies ref into another builder (or the same), leaves replaced by what `leaf` returns. memo:
 * ir_count(from) + 1 zeroed entries. */
ir_ref ir_rewrite(const struct ir *from, struct ir *to, ir_ref ref,
		  ir_ref (*leaf)(void *user, const struct ir_node *node), void *user,
		  ir_ref *memo);

/* One line of text, for logs and reasons: (ADD64 rax (MUL64 ...)). */
void ir_print(const struct ir *ir, ir_ref ref, FILE *to);
#endif
