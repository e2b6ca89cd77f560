/* Symbolic execution of one lifted block. Thread: the lifter's. */
#ifndef LEARN_VEX_EXEC_H
#define LEARN_VEX_EXEC_H
#include "learn/iterate.h"

struct vex_edge {
	bool direct; /* a known address */
	bool fault;
	uint64_t target;
};

struct vex_exec {
	struct iteration *iteration; /* borrowed; events are added to it */
	ir_ref condition; /* the block is reached */
	bool stays; /* no exit is taken: see iteration_params */
	const struct iteration *follow; /* see iteration_params */
	ir_ref cells[CELLS];
	/* Told of every way out; *inside_ret: it stays in the loop. */
	struct error *(*on_edge)(void *user, const struct vex_edge *edge, ir_ref condition,
				 const ir_ref *cells, bool *inside_ret);
	void *user;
};

/* irsb: from vex_lift. Fails: ERR_UNSUPPORTED with the reason. */
struct error *vex_exec_block(struct vex_exec *exec, const void *irsb);
#endif
