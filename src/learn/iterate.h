/* One iteration of a loop, from its head back to its head, as expressions over the guest state
 * at the head: every path at once, merged where paths join. Inner loops are unrolled: a block
 * is visited again as long as branches are decided by constants. Two uses: with a simplifying
 * builder for the analysis, which may take for granted that the iteration does not leave the
 * loop; with a plain builder, taking nothing for granted, as what proofs start from. Thread:
 * the lifter's. */
#ifndef LEARN_ITERATE_H
#define LEARN_ITERATE_H
#include "base/vec.h"
#include "learn/ir.h"
#include "learn/shape.h"

/* Guest state in 64-bit cells: cell i is the eight bytes at offset 8 i of libVEX's state. */
enum {
	CELL_RAX = 2,
	CELL_RSP = 6,
	CELL_R15 = 17,
	CELL_CC_OP = 18,
	CELL_CC_DEP1,
	CELL_CC_DEP2,
	CELL_CC_NDEP,
	CELL_DFLAG,
	CELL_RIP,
	CELL_YMM0 = 28, /* 4 cells each */
	CELLS = 96,
	CELL_K = 200, /* not a cell: the number of the iteration, in analysis results */
	CELL_N, /* not a cell: how many iterations were done */
	CELL_EFLAGS, /* not a cell: the flags register itself */
	CELL_ACC = 256, /* not cells: accumulators by number of reduction */
};

/* Name of a cell as people know it: "rax", "xmm3.hi", "flags". Static storage. */
const char *cell_name(unsigned cell);

struct iteration_event { /* a load or store, in program order */
	bool store;
	uint8_t width; /* bits */
	ir_ref condition; /* 1 bit: it happens */
	ir_ref address;
	ir_ref data; /* what is stored, or the LOAD leaf */
	uint64_t gva; /* of the instruction */
};

/* A conditional branch, in the order in which the walk met them. */
enum iteration_choice { CHOICE_OPEN, CHOICE_TAKEN, CHOICE_NOT_TAKEN };
struct iteration_decision {
	enum iteration_choice choice;
	ir_ref reached, guard; /* 1 bit each: the branch is met; it is taken */
};

struct iteration_exit {
	ir_ref condition; /* this iteration leaves here */
	uint64_t target; /* 0: indirect or through a call */
	bool fault; /* an alignment check that fails */
	size_t events; /* so many loads and stores come before it */
	ir_ref cells[CELLS];
};

struct iteration {
	struct ir *ir; /* borrowed */
	VEC(struct iteration_event) events;
	VEC(struct iteration_exit) exits;
	VEC(struct iteration_decision) decisions;
	ir_ref again; /* 1 bit: back at the head */
	ir_ref cells[CELLS]; /* state when back at the head */
	unsigned n_opaque;
	bool uses_df; /* steps by the direction flag, taken to be clear */
	VEC(char *) opaque; /* reason by number of the OPAQUE leaf; owned */
	VEC(ir_ref) opaque_inputs; /* what OPAQUE leaves were made from, all of them */
};

struct iteration_params {
	const struct code_source *source;
	const struct shape *shape;
	uint64_t move; /* lift as if the code stood this much higher */
	bool stays; /* take for granted that no exit is taken */
	/* Go the ways that this walk over the same shape went, instead of looking for
	 * constants. That they are the only ones is left to prove: see decisions. */
	const struct iteration *follow;
};

/* Caller owns *ret. Fails: ERR_UNSUPPORTED with the reason, ERR_LIMIT. */
struct error *iteration_create(struct ir *ir, const struct iteration_params *params,
			       struct iteration **ret);
void iteration_destroy(struct iteration *iteration);
OWN_DECLARE(own_iteration, struct iteration *, iteration_destroy)
OWN_DECLARE(own_ir, struct ir *, ir_destroy)
#endif
