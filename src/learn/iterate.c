#include "learn/iterate.h"

#include <string.h>
#include <valgrind/libvex_guest_amd64.h>

#include "base/error.h"
#include "learn/vex_exec.h"

enum {
	VISITS_MAX = 256, /* of one block */
	INSNS_MAX = 1 << 14, /* of all visits */
};

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
	VEC_FREE(&iteration->decisions);
	for (size_t i = 0; i < iteration->opaque.count; i++)
		free(iteration->opaque.items[i]);
	VEC_FREE(&iteration->opaque);
	VEC_FREE(&iteration->opaque_inputs);
	free(iteration);
}

/* A way to the start of a block, or to the head again. */
struct arrival {
	ir_ref condition;
	ir_ref cells[CELLS];
};

/* What waits there; of all its conditions at most one holds. */
struct pending {
	VEC(struct arrival) arrivals;
};

struct walk {
	const struct iteration_params *params;
	struct iteration *iteration;
	struct pending pending[SHAPE_BLOCKS_MAX]; /* by block */
	struct pending again;
	unsigned visits[SHAPE_BLOCKS_MAX], insns;
};

static void walk_destroy(struct walk *walk)
{
	for (unsigned i = 0; walk && i < SHAPE_BLOCKS_MAX; i++)
		VEC_FREE(&walk->pending[i].arrivals);
	if (walk)
		VEC_FREE(&walk->again.arrivals);
	free(walk);
}
OWN_DECLARE(own_walk, struct walk *, walk_destroy)

/* The condition where all of `facts` hold: conjuncts that are facts are gone. */
static ir_ref given(struct ir *ir, ir_ref condition, const ir_ref *facts, size_t n_facts)
{
	const struct ir_node node = *ir_get(ir, condition);
	for (size_t i = 0; i < n_facts; i++)
		if (facts[i] == condition)
			return ir_const(ir, 1, 1);
	if (node.op != IR_AND)
		return condition;
	return ir_binary(ir, IR_AND, given(ir, node.args[0], facts, n_facts),
			 given(ir, node.args[1], facts, n_facts));
}

/* Each arrival's condition where none of those before it holds: of ways out of an inner loop
 * that is what its own pass adds. */
static struct error *shorten_conditions(struct ir *ir, struct pending *at)
{
	size_t n_facts = 0;
	AUTO(own_free) ir_ref *facts = NULL;
	TRY(error_alloc(at->arrivals.count, sizeof(*facts), &facts));
	for (size_t i = 0; i < at->arrivals.count; i++) {
		ir_ref *condition = &at->arrivals.items[i].condition;
		*condition = given(ir, *condition, facts, n_facts);
		facts[n_facts++] = ir_not(ir, *condition);
	}
	return NULL;
}

/* One state of all that came there, the first tested first; nothing waits there any more. */
static struct error *join(struct ir *ir, struct pending *at, struct arrival *ret)
{
	size_t n = at->arrivals.count;
	struct arrival *all = at->arrivals.items;
	if (ir_simplifies(ir))
		TRY(shorten_conditions(ir, at));
	ir_ref condition = all[0].condition;
	for (size_t i = 1; i < n; i++)
		condition = ir_binary(ir, IR_OR, condition, all[i].condition);
	*ret = all[n - 1];
	for (size_t i = n - 1; i-- > 0;)
		for (unsigned c = 0; c < CELLS; c++)
			if (all[i].cells[c] != ret->cells[c])
				ret->cells[c] = ir_ite(ir, all[i].condition, all[i].cells[c],
						       ret->cells[c]);
	ret->condition = condition;
	at->arrivals.count = 0;
	return NULL;
}

static struct error *arrive(struct pending *at, ir_ref condition, const ir_ref *cells)
{
	struct arrival arrival = { .condition = condition };
	memcpy(arrival.cells, cells, sizeof(arrival.cells));
	if (!VEC_PUSH(&at->arrivals, arrival))
		return error_create(ERR_MEMORY, "out of memory");
	return NULL;
}

static struct error *leave(struct walk *walk, const struct vex_edge *edge, ir_ref condition,
			   const ir_ref *cells)
{
	struct iteration_exit out = { .condition = condition,
				      .target = edge->target,
				      .fault = edge->fault,
				      .events = walk->iteration->events.count };
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
	const struct shape *shape = walk->params->shape;
	uint64_t target = edge->direct ? edge->target - walk->params->move : 0;
	*inside_ret = true;
	if (edge->direct && target == shape->blocks[0].address)
		return arrive(&walk->again, condition, cells);
	for (unsigned i = 1; edge->direct && i < shape->count; i++)
		if (shape->blocks[i].address == target)
			return arrive(&walk->pending[i], condition, cells);
	*inside_ret = false;
	struct vex_edge moved = *edge;
	moved.target = target;
	return leave(walk, &moved, condition, cells);
}

/* Inner loops end because constants say so; otherwise this is where the walk ends. */
static struct error *check_bounds(struct walk *walk, unsigned index, ir_ref condition)
{
	const struct shape_block *block = &walk->params->shape->blocks[index];
	uint64_t always;
	if (walk->visits[index]++ == VISITS_MAX)
		return ir_is_const(walk->iteration->ir, condition, &always)
			       ? error_create(ERR_LIMIT,
					      "an inner loop goes round more than %d times",
					      VISITS_MAX)
			       : error_create(ERR_UNSUPPORTED,
					      "the trip count of an inner loop is data");
	walk->insns += block->n_insns;
	if (walk->insns > INSNS_MAX || ir_failed(walk->iteration->ir))
		return error_create(ERR_LIMIT, "an iteration with its inner loops is too long");
	return NULL;
}

static struct error *walk_block(struct walk *walk, unsigned index)
{
	const struct shape_block *block = &walk->params->shape->blocks[index];
	struct arrival at;
	struct vex_block lifted;
	TRY(join(walk->iteration->ir, &walk->pending[index], &at));
	TRY(check_bounds(walk, index, at.condition));
	TRY(vex_lift(walk->params->source, block->address, block->address + walk->params->move,
		     block->n_insns, &lifted));
	struct vex_exec exec = { .iteration = walk->iteration,
				 .condition = at.condition,
				 .stays = walk->params->stays,
				 .follow = walk->params->follow,
				 .on_edge = on_edge,
				 .user = walk };
	memcpy(exec.cells, at.cells, sizeof(exec.cells));
	return vex_exec_block(&exec, lifted.irsb);
}

/* Always the first block that something came to: inner loops run out before what
 * follows them, and what waits at a block came there on ways of which only one can be
 * gone. */
static struct error *walk_blocks(struct walk *walk)
{
	for (unsigned i = 0; i < walk->params->shape->count;) {
		if (walk->pending[i].arrivals.count == 0) {
			i++;
			continue;
		}
		TRY(walk_block(walk, i));
		i = 0;
	}
	return NULL;
}

static struct error *walk_all(struct walk *walk)
{
	struct ir *ir = walk->iteration->ir;
	struct iteration *iteration = walk->iteration;
	struct arrival back;
	ir_ref cells[CELLS];
	for (unsigned i = 0; i < CELLS; i++)
		cells[i] = ir_leaf(ir, IR_INIT, 64, i);
	/* String instructions step by DF; the guard asks for the ABI's value. */
	cells[CELL_DFLAG] = ir_const(ir, 64, 1);
	TRY(arrive(&walk->pending[0], ir_const(ir, 1, 1), cells));
	TRY(walk_blocks(walk));
	if (walk->again.arrivals.count == 0)
		return error_create(ERR_UNSUPPORTED, "no path leads back to the head");
	if (walk->params->follow &&
	    iteration->decisions.count != walk->params->follow->decisions.count)
		return error_create(ERR_BAD_DATA, "the code changed while it was learned");
	TRY(join(ir, &walk->again, &back));
	iteration->again = back.condition;
	memcpy(iteration->cells, back.cells, sizeof(back.cells));
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
	AUTO(own_walk) struct walk *walk = NULL;
	TRY(error_alloc(1, sizeof(*walk), &walk));
	walk->params = params;
	walk->iteration = iteration;
	TRY(walk_all(walk));
	*ret = TAKE(iteration);
	return NULL;
}
