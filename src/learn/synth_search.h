/* Looks for the cheapest microcode of one or two instructions that computes a function of at
 * most two values, from examples: every form of every opcode, with constants that are taken
 * from the code or worked out from the examples. What it finds is a guess. Thread: any. */
#ifndef LEARN_SYNTH_SEARCH_H
#define LEARN_SYNTH_SEARCH_H
#include <stdbool.h>
#include <stdint.h>

#include "mcode/program.h"

enum {
	SYNTH_LEAVES = 2,
	SYNTH_EXAMPLES = 24,
	SYNTH_PROGRAM = 2, /* instructions */
	SYNTH_CONSTANTS = 16,
	SYNTH_TEMP = SYNTH_LEAVES, /* operand: the first instruction's result */
};

/* rs1 and rs2 of the instructions are operands: a leaf, or SYNTH_TEMP. */
struct synth_program {
	unsigned count;
	struct mcode_insn insns[SYNTH_PROGRAM];
};

struct synth_spec {
	unsigned n_leaves, n_examples, n_constants;
	uint64_t in[SYNTH_LEAVES][SYNTH_EXAMPLES], out[SYNTH_EXAMPLES];
	uint64_t constants[SYNTH_CONSTANTS];
	unsigned weight; /* find something below this */
};

/* What an instruction weighs: twice its cost in the ISA's table, one for being there, and more
 * for what keeps a compiler from vectorising. */
unsigned synth_weight(const struct mcode_insn *insn);
uint64_t synth_eval(const struct mcode_insn *insn, uint64_t a, uint64_t b);
uint64_t synth_run(const struct synth_program *program, const uint64_t *leaves);
/* The lightest that fits all examples; false: none below the weight. */
bool synth_search(const struct synth_spec *spec, struct synth_program *ret);
#endif
