/* A section of a kernel executed on bit-vector terms, all ways through it at once: jumps go
 * forward only, which is what the learner emits. Trusted. Thread: that of the context. */
#ifndef LEARN_BV_MCODE_H
#define LEARN_BV_MCODE_H
#include "learn/bv.h"
#include "mcode/program.h"
struct error;

struct bv_mcode {
	Z3_context z;
	const struct mcode_kernel *kernel;
	Z3_ast slots[MCODE_SLOTS]; /* 64 bits each */
	Z3_ast regs[MCODE_REGISTERS];
	enum mcode_section section; /* that runs */
	Z3_ast reached; /* Bool: when the instruction at hand is; NULL: always */
	/* Memory of an iteration. index: 64 bits or NULL; condition: a Bool or NULL. */
	struct error *(*load)(void *user, unsigned stream, Z3_ast index, int64_t offset,
			      unsigned bits, Z3_ast *ret);
	struct error *(*store)(void *user, unsigned stream, Z3_ast index, int64_t offset,
			       Z3_ast value, Z3_ast condition);
	void *user;
};

/* Slots of the state: all 0. */
void bv_mcode_init(struct bv_mcode *m, Z3_context z, const struct mcode_kernel *kernel);
/* Runs a section: registers 0 but r0. Fails: ERR_UNSUPPORTED (a jump back),
 * ERR_BAD_DATA, ERR_MEMORY. */
struct error *bv_mcode_run(struct bv_mcode *m, enum mcode_section section, Z3_ast r0);
/* Result of an instruction of form RR or RRR on 64-bit terms; d: rd before. NULL: the prover
 * does not know the opcode. */
Z3_ast bv_mcode_value(Z3_context z, const struct mcode_insn *insn, Z3_ast a, Z3_ast b,
		      Z3_ast d);
/* Operation of the expression language behind an opcode; false: it has none. */
bool bv_mcode_op(uint8_t opcode, enum ir_op *ret);
#endif
