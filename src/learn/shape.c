#include "learn/shape.h"

#include <string.h>
#include <valgrind/libvex_ir.h>

#include "base/error.h"

enum { REACH_BYTES = 1 << 16 };

struct flow {
	const struct code_source *source;
	uint64_t head;
	bool calls, jumps_anywhere; /* somewhere in what was explored */
	unsigned count;
	struct shape_block blocks[SHAPE_BLOCKS_MAX];
	uint64_t starts[SHAPE_BLOCKS_MAX][VEX_INSNS_MAX + 1]; /* instruction addresses */
};

static int find_block(const struct shape_block *blocks, unsigned count, uint64_t address)
{
	for (unsigned i = 0; i < count; i++)
		if (blocks[i].address == address)
			return (int)i;
	return -1;
}

static void add_target(const struct flow *flow, struct shape_block *block, uint64_t target)
{
	uint64_t distance = target > flow->head ? target - flow->head : flow->head - target;
	if (distance > REACH_BYTES || block->n_targets >= SHAPE_TARGETS_MAX)
		return;
	for (unsigned i = 0; i < block->n_targets; i++)
		if (block->targets[i] == target)
			return;
	block->targets[block->n_targets++] = target;
}

static void add_targets(struct flow *flow, struct shape_block *block, const IRSB *irsb)
{
	for (Int i = 0; i < irsb->stmts_used; i++) {
		const IRStmt *stmt = irsb->stmts[i];
		if (stmt->tag == Ist_Exit && stmt->Ist.Exit.jk == Ijk_Boring)
			add_target(flow, block, stmt->Ist.Exit.dst->Ico.U64);
	}
	flow->calls |= irsb->jumpkind == Ijk_Call;
	flow->jumps_anywhere |= irsb->jumpkind == Ijk_Boring && irsb->next->tag != Iex_Const;
	if (irsb->jumpkind == Ijk_Boring && irsb->next->tag == Iex_Const)
		add_target(flow, block, irsb->next->Iex.Const.con->Ico.U64);
}

/* Lifts one block; a block that cannot be lifted simply has no way on. */
static void explore_block(struct flow *flow, uint64_t address, unsigned max_insns,
			  unsigned index)
{
	struct shape_block *block = &flow->blocks[index];
	memset(block, 0, sizeof(*block));
	block->address = address;
	struct vex_block lifted;
	AUTO(own_error)
	struct error *err = vex_lift(flow->source, address, address, max_insns, &lifted);
	if (err)
		return;
	block->n_bytes = lifted.n_bytes;
	block->n_insns = lifted.n_insns;
	memcpy(flow->starts[index], lifted.insns, sizeof(lifted.insns));
	add_targets(flow, block, lifted.irsb);
}

/* Cuts blocks that run over the start of another one. */
static void cut_at_leaders(struct flow *flow)
{
	for (unsigned i = 0; i < flow->count; i++) {
		struct shape_block *block = &flow->blocks[i];
		for (unsigned insn = 1; insn < block->n_insns; insn++) {
			if (find_block(flow->blocks, flow->count, flow->starts[i][insn]) < 0)
				continue;
			explore_block(flow, block->address, insn, i);
			break;
		}
	}
}

static void explore(struct flow *flow)
{
	flow->count = 1;
	explore_block(flow, flow->head, 0, 0);
	for (unsigned i = 0; i < flow->count; i++) {
		const struct shape_block *block = &flow->blocks[i];
		for (unsigned t = 0; t < block->n_targets; t++) {
			if (flow->count == SHAPE_BLOCKS_MAX ||
			    find_block(flow->blocks, flow->count, block->targets[t]) >= 0)
				continue;
			explore_block(flow, block->targets[t], 0, flow->count++);
		}
	}
	cut_at_leaders(flow);
}

static bool has_edge(const struct shape_block *from, uint64_t to)
{
	for (unsigned i = 0; i < from->n_targets; i++)
		if (from->targets[i] == to)
			return true;
	return false;
}

/* Natural loop of the edge latch -> head: what reaches the latch without passing the head. */
static void natural_loop(const struct flow *flow, unsigned latch, bool *in)
{
	unsigned work[SHAPE_BLOCKS_MAX], n_work = 0;
	in[0] = true;
	if (!in[latch]) {
		in[latch] = true;
		work[n_work++] = latch;
	}
	while (n_work) {
		unsigned at = work[--n_work];
		for (unsigned i = 0; i < flow->count; i++) {
			if (in[i] || !has_edge(&flow->blocks[i], flow->blocks[at].address))
				continue;
			in[i] = true;
			work[n_work++] = i;
		}
	}
}

/* The order in which blocks are placed one by one. */
struct order {
	const struct flow *flow;
	const bool *in;
	bool placed[SHAPE_BLOCKS_MAX];
	unsigned depth[SHAPE_BLOCKS_MAX]; /* inner loops around the block, as far as seen */
};

/* Somebody in front of the block has been placed / has not. */
static bool has_before(const struct order *o, unsigned block, bool placed)
{
	for (unsigned j = 0; j < o->flow->count; j++)
		if (o->in[j] && o->placed[j] == placed &&
		    has_edge(&o->flow->blocks[j], o->flow->blocks[block].address))
			return true;
	return false;
}

/* Blocks from which `head` can be reached without passing what is placed. True: itself too. */
static bool find_inner_loop(const struct order *o, unsigned head, bool *inside)
{
	bool again = false;
	unsigned work[SHAPE_BLOCKS_MAX], n_work = 0;
	memset(inside, 0, SHAPE_BLOCKS_MAX);
	inside[head] = true;
	work[n_work++] = head;
	while (n_work) {
		unsigned at = work[--n_work];
		for (unsigned i = 0; i < o->flow->count; i++) {
			if (!o->in[i] || o->placed[i] ||
			    !has_edge(&o->flow->blocks[i], o->flow->blocks[at].address))
				continue;
			again |= i == head;
			if (inside[i])
				continue;
			inside[i] = true;
			work[n_work++] = i;
		}
	}
	return again;
}

/* All of them are one deeper. */
static void enter_inner_loop(struct order *o, unsigned head)
{
	bool inside[SHAPE_BLOCKS_MAX];
	find_inner_loop(o, head, inside);
	for (unsigned i = 0; i < o->flow->count; i++)
		o->depth[i] += inside[i];
}

/* How soon a block of some depth should come: all in front of it is placed; or it is where an
 * inner loop begins; or it follows one that is still to come. */
static unsigned readiness(const struct order *o, unsigned block)
{
	bool inside[SHAPE_BLOCKS_MAX];
	return !has_before(o, block, false) ? 2 : find_inner_loop(o, block, inside);
}

/* The next block: as deep as can be, and of those the readiest. */
static bool pick_block(struct order *o, unsigned *ret)
{
	bool any = false;
	unsigned ready = 0;
	for (unsigned i = 0; i < o->flow->count; i++) {
		if (!o->in[i] || o->placed[i] || !has_before(o, i, true))
			continue;
		if (any && o->depth[i] < o->depth[*ret])
			continue;
		unsigned mine = readiness(o, i);
		if (any && o->depth[i] == o->depth[*ret] && mine <= ready)
			continue;
		any = true;
		ready = mine;
		*ret = i;
	}
	if (any && ready < 2)
		enter_inner_loop(o, *ret);
	return any;
}

/* Forward edges go forward; whatever an inner loop can still do comes before what follows it.
 */
static struct error *order_blocks(const struct flow *flow, const bool *in, struct shape *ret)
{
	AUTO(own_free) struct order *o = NULL;
	TRY(error_alloc(1, sizeof(*o), &o));
	o->flow = flow;
	o->in = in;
	unsigned next = 0;
	do {
		o->placed[next] = true;
		ret->blocks[ret->count++] = flow->blocks[next];
	} while (pick_block(o, &next));
	return NULL;
}

static bool known_shape(const struct shape_list *list, const struct shape *shape)
{
	for (unsigned i = 0; i < list->count; i++) {
		bool same = list->shapes[i]->count == shape->count;
		for (unsigned b = 0; same && b < shape->count; b++)
			same = list->shapes[i]->blocks[b].address == shape->blocks[b].address;
		if (same)
			return true;
	}
	return false;
}

static struct error *add_shape(const struct flow *flow, const bool *in, struct shape_list *list)
{
	AUTO(own_free) struct shape *shape = NULL;
	TRY(error_alloc(1, sizeof(*shape), &shape));
	TRY(order_blocks(flow, in, shape));
	if (list->count == SHAPE_CANDIDATES_MAX || known_shape(list, shape))
		return NULL;
	unsigned at = list->count++;
	for (; at > 0 && list->shapes[at - 1]->count < shape->count; at--)
		list->shapes[at] = list->shapes[at - 1];
	list->shapes[at] = TAKE(shape);
	return NULL;
}

static struct error *find_candidates(const struct flow *flow, struct shape_list *list)
{
	bool all[SHAPE_BLOCKS_MAX] = { 0 };
	unsigned latches = 0;
	for (unsigned i = 0; i < flow->count; i++) {
		if (!has_edge(&flow->blocks[i], flow->head))
			continue;
		bool in[SHAPE_BLOCKS_MAX] = { 0 };
		natural_loop(flow, i, in);
		natural_loop(flow, i, all);
		latches++;
		TRY(add_shape(flow, in, list));
	}
	if (latches > 1)
		TRY(add_shape(flow, all, list));
	if (latches == 0)
		return error_create(ERR_NOT_FOUND, "no way back to 0x%llx%s",
				    (unsigned long long)flow->head,
				    flow->calls		   ? " without a call"
				    : flow->jumps_anywhere ? " without an indirect jump"
							   : "");
	return NULL;
}

struct error *shape_find(const struct code_source *source, uint64_t head,
			 struct shape_list *ret)
{
	AUTO(own_free) struct flow *flow = NULL;
	TRY(error_alloc(1, sizeof(*flow), &flow));
	flow->source = source;
	flow->head = head;
	memset(ret, 0, sizeof(*ret));
	explore(flow);
	if (flow->blocks[0].n_insns == 0)
		return error_create(ERR_UNSUPPORTED, "nothing can be lifted at 0x%llx",
				    (unsigned long long)head);
	struct error *err = find_candidates(flow, ret);
	if (err)
		shape_list_deinit(ret);
	return err;
}

void shape_list_deinit(struct shape_list *list)
{
	for (unsigned i = 0; i < list->count; i++)
		free(list->shapes[i]);
	list->count = 0;
}

const struct shape_block *shape_block_at(const struct shape *shape, uint64_t address)
{
	int index = find_block(shape->blocks, shape->count, address);
	return index < 0 ? NULL : &shape->blocks[index];
}
