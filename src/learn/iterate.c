#include "learn/iterate.h"

#include <string.h>
#include <valgrind/libvex_guest_amd64.h>

#include "base/error.h"
#include "learn/vex_exec.h"

_Static_assert(offsetof(VexGuestAMD64State, guest_RAX) == 8 * CELL_RAX, "libVEX's layout");
_Static_assert(offsetof(VexGuestAMD64State, guest_R15) == 8 * CELL_R15, "libVEX's layout");
_Static_assert(offsetof(VexGuestAMD64State, guest_CC_OP) == 8 * CELL_CC_OP, "libVEX's layout");
_Static_assert(offsetof(VexGuestAMD64State, guest_DFLAG) == 8 * CELL_DFLAG, "libVEX's layout");
_Static_assert(offsetof(VexGuestAMD64State, guest_RIP) == 8 * CELL_RIP, "libVEX's layout");
_Static_assert(offsetof(VexGuestAMD64State, guest_YMM0) == 8 * CELL_YMM0, "libVEX's layout");

const char *cell_name(unsigned cell)
{
	static const char gpr[16][4] = {
		"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
		"r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"
	};
	static char text[16];
	if (cell >= CELL_RAX && cell <= CELL_R15)
		return gpr[cell - CELL_RAX];
	if (cell >= CELL_CC_OP && cell <= CELL_CC_NDEP)
		return "flags";
	if (cell >= CELL_YMM0 && cell < CELL_YMM0 + 64) {
		static const char part[4][5] = { "lo", "hi", "up0", "up1" };
		snprintf(text, sizeof(text), "xmm%u.%s", (cell - CELL_YMM0) / 4,
			 part[(cell - CELL_YMM0) % 4]);
		return text;
	}
	return cell == CELL_DFLAG ? "DF" : "state";
}

void iteration_destroy(struct iteration *iteration)
{
	if (!iteration)
		return;
	VEC_FREE(&iteration->events);
	VEC_FREE(&iteration->exits);
	for (size_t i = 0; i < iteration->opaque.count; i++)
		free(iteration->opaque.items[i]);
	VEC_FREE(&iteration->opaque);
	VEC_FREE(&iteration->opaque_inputs);
	free(iteration);
}

/* State waiting at the start of a block, or at the head again. */
struct pending {
	ir_ref condition; /* IR_NONE: nothing came here yet */
	ir_ref cells[CELLS];
};

struct walk {
	const struct iteration_params *params;
	struct iteration *iteration;
	struct pending *pending; /* by block */
	struct pending again;
};

static void merge(struct ir *ir, struct pending *to, ir_ref condition, const ir_ref *cells)
{
	if (to->condition == IR_NONE) {
		to->condition = condition;
		memcpy(to->cells, cells, sizeof(to->cells));
		return;
	}
	for (unsigned i = 0; i < CELLS; i++)
		if (to->cells[i] != cells[i])
			to->cells[i] = ir_ite(ir, condition, cells[i], to->cells[i]);
	to->condition = ir_binary(ir, IR_OR, to->condition, condition);
}

static struct error *leave(struct walk *walk, const struct vex_edge *edge, ir_ref condition,
			   const ir_ref *cells)
{
	struct iteration_exit out = { .condition = condition,
				      .target = edge->target,
				      .fault = edge->fault };
	memcpy(out.cells, cells, sizeof(out.cells));
	if (!VEC_PUSH(&walk->iteration->exits, out))
		return error_create(ERR_MEMORY, "out of memory");
	return NULL;
}

/* Called by the executor for every way out of a block. `inside_ret`: stays in the loop. */
static struct error *on_edge(void *user, const struct vex_edge *edge, ir_ref condition,
			     const ir_ref *cells, bool *inside_ret)
{
	struct walk *walk = user;
	struct ir *ir = walk->iteration->ir;
	const struct shape *shape = walk->params->shape;
	uint64_t target = edge->direct ? edge->target - walk->params->move : 0;
	*inside_ret = true;
	if (edge->direct && target == shape->blocks[0].address) {
		merge(ir, &walk->again, condition, cells);
		return NULL;
	}
	for (unsigned i = 1; edge->direct && i < shape->count; i++) {
		if (shape->blocks[i].address != target)
			continue;
		merge(ir, &walk->pending[i], condition, cells);
		return NULL;
	}
	*inside_ret = false;
	struct vex_edge moved = *edge;
	moved.target = target;
	return leave(walk, &moved, condition, cells);
}

static struct error *walk_block(struct walk *walk, unsigned index)
{
	const struct shape_block *block = &walk->params->shape->blocks[index];
	struct pending *at = &walk->pending[index];
	if (at->condition == IR_NONE)
		return NULL;
	struct vex_block lifted;
	TRY(vex_lift(walk->params->source, block->address, block->address + walk->params->move,
		     block->n_insns, &lifted));
	struct vex_exec exec = { .iteration = walk->iteration,
				 .condition = at->condition,
				 .stays = walk->params->stays,
				 .on_edge = on_edge,
				 .user = walk };
	memcpy(exec.cells, at->cells, sizeof(exec.cells));
	return vex_exec_block(&exec, lifted.irsb);
}

static struct error *walk_all(struct walk *walk)
{
	struct ir *ir = walk->iteration->ir;
	const struct shape *shape = walk->params->shape;
	walk->pending[0].condition = ir_const(ir, 1, 1);
	for (unsigned i = 0; i < CELLS; i++)
		walk->pending[0].cells[i] = ir_leaf(ir, IR_INIT, 64, i);
	/* String instructions step by DF; the guard asks for the ABI's value. */
	walk->pending[0].cells[CELL_DFLAG] = ir_const(ir, 64, 1);
	for (unsigned i = 0; i < shape->count; i++)
		TRY(walk_block(walk, i));
	if (walk->again.condition == IR_NONE)
		return error_create(ERR_UNSUPPORTED, "no path leads back to the head");
	walk->iteration->again = walk->again.condition;
	memcpy(walk->iteration->cells, walk->again.cells, sizeof(walk->again.cells));
	if (ir_failed(ir))
		return error_create(ERR_LIMIT, "the loop body is too large");
	return NULL;
}

struct error *iteration_create(struct ir *ir, const struct iteration_params *params,
			       struct iteration **ret)
{
	AUTO(own_iteration) struct iteration *iteration = NULL;
	TRY(error_alloc(1, sizeof(*iteration), &iteration));
	iteration->ir = ir;
	AUTO(own_free) struct pending *pending = NULL;
	TRY(error_alloc(params->shape->count, sizeof(*pending), &pending));
	AUTO(own_free) struct walk *walk = NULL;
	TRY(error_alloc(1, sizeof(*walk), &walk));
	walk->params = params;
	walk->iteration = iteration;
	walk->pending = pending;
	TRY(walk_all(walk));
	*ret = TAKE(iteration);
	return NULL;
}
