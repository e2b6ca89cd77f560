/* Code generation: expressions into one section of a kernel, with registers given out as values
 * come and go, and slots when there are too few. Straight-line but for long selections, where
 * asked. Thread: that of the builder. */
#ifndef LEARN_EMIT_H
#define LEARN_EMIT_H
#include "learn/ir.h"
#include "mcode/program.h"
struct error;
struct emit;

struct emit_params {
	const struct ir *ir;
	struct mcode_kernel *kernel;
	enum mcode_section section;
	/* Where a leaf's value comes from: a slot, or memory. */
	struct error *(*leaf)(void *user, struct emit *emit, ir_ref ref, unsigned rd);
	/* A slot that already holds ref's value, or -1. */
	int (*slot_of)(void *user, ir_ref ref);
	bool may_jump; /* forward, over what long chains of selections do not need */
	ir_ref in_r0; /* leaf that r0 holds at the start, or IR_NONE */
	void *user;
};

struct error *emit_create(const struct emit_params *params, struct emit **ret);
void emit_destroy(struct emit *emit);

/* Announces that ref will be asked for once more; all of it before the first value. */
void emit_expect(struct emit *emit, ir_ref ref);
/* Computes ref; the register stays ref's until emit_done(ref) or a later emit_value. */
struct error *emit_value(struct emit *emit, ir_ref ref, unsigned *reg_ret);
void emit_done(struct emit *emit, ir_ref ref); /* one announced use is over */
bool emit_is_live(const struct emit *emit, ir_ref ref); /* still expected */
struct error *emit_insn(struct emit *emit, const struct mcode_insn *insn);
struct error *emit_put(struct emit *emit, unsigned slot, ir_ref ref); /* expected once */
/* Gives a register no value holds, to be used at once. */
struct error *emit_scratch(struct emit *emit, unsigned *reg_ret);
#endif
