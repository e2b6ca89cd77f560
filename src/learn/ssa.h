/* A straight-line section of microcode as values: each instruction names the instructions that
 * made its operands, copies and constants are seen through, and it can be turned back into
 * instructions with registers given out anew. Thread: any. */
#ifndef LEARN_SSA_H
#define LEARN_SSA_H
#include "base/own.h"
#include "base/vec.h"
#include "mcode/program.h"
struct error;

enum { SSA_NONE = -1, SSA_START = -2 }; /* no operand; r0 as the section finds it */

struct ssa_value {
	struct mcode_insn insn; /* its register fields mean nothing */
	int a, b, d; /* values, SSA_NONE or SSA_START; d: rd before, or what is stored */
	uint8_t bits; /* the bits above are 0 */
	bool dead;
};

struct ssa {
	VEC(struct ssa_value) values; /* in program order */
};

/* Caller owns *ret. Fails: ERR_UNSUPPORTED (jumps, or a register read before it is set). */
struct error *ssa_create(const struct mcode_code *code, struct ssa **ret);
void ssa_destroy(struct ssa *ssa);
OWN_DECLARE(own_ssa, struct ssa *, ssa_destroy)

/* Marks what nothing needs any more as dead; uses[] gets how often each value is used. */
void ssa_count_uses(struct ssa *ssa, unsigned *uses);
/* Does this instruction compute a value from values alone? */
bool ssa_is_pure(const struct ssa_value *value);
/* Most bits that a pure result can have. */
uint8_t ssa_result_bits(const struct mcode_insn *insn);
/* The section again. Fails: ERR_LIMIT (too many values at once), ERR_MEMORY. */
struct error *ssa_emit(struct ssa *ssa, struct mcode_code *ret);
#endif
