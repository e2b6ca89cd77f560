/* Parts of code generation: emit.c (values, registers), emit_chain.c (ways out early). */
#ifndef LEARN_EMIT_INTERNAL_H
#define LEARN_EMIT_INTERNAL_H
#include "learn/emit.h"

enum { NO_REG = 0xff, REGS = MCODE_REGISTERS };

struct place {
	uint32_t uses;
	uint8_t reg; /* or NO_REG */
	int16_t spill; /* or -1 */
};

struct emit {
	struct emit_params p;
	struct place *places; /* by node */
	ir_ref holds[REGS]; /* IR_NONE: free */
	bool pinned[REGS];
	uint64_t last_use[REGS], clock;
	int16_t free_spills[MCODE_SLOTS];
	unsigned n_free_spills;
};

/* The node whose register this one's value is in: see rule 1 in emit.c. */
ir_ref emit_strip(const struct emit *emit, ir_ref ref);
bool emit_comes_from_slot(const struct emit *emit, ir_ref ref);
/* Keeps what the register holds in a slot as well, if it could not be made again. */
struct error *emit_save(struct emit *emit, unsigned reg);
void emit_forget(struct emit *emit, unsigned reg); /* it holds nothing; saved before */
void emit_give(struct emit *emit, ir_ref ref, unsigned reg); /* it holds ref */

/* If ref is a chain of selections worth it: computes it with jumps over what is not needed. */
struct error *emit_chain(struct emit *emit, ir_ref ref, unsigned *reg_ret, bool *done_ret);
#endif
