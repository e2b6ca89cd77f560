/* What each piece of guest state does over an iteration. */
#include <string.h>

#include "base/error.h"
#include "learn/loop.h"
#include "learn/translate.h"

/* Leaves that somebody needs, found backwards from memory, exits and other live cells. */
struct live {
	bool cell[CELLS];
	bool inside[CELLS]; /* somebody who stays in the loop */
	uint8_t *marks; /* by node */
};

static void mark_live(struct loop *loop, struct live *live, ir_ref ref)
{
	ir_mark(loop->ir, ref, live->marks);
}

static bool read_marks(const struct loop *loop, const struct live *live, bool *cells)
{
	bool changed = false;
	for (ir_ref i = 1; i <= ir_count(loop->ir); i++) {
		const struct ir_node *node = ir_get(loop->ir, i);
		if (!live->marks[i] || node->op != IR_INIT || node->imm >= CELLS ||
		    cells[node->imm])
			continue;
		cells[node->imm] = true;
		changed = true;
	}
	return changed;
}

/* Cells that marked values depend on, over any number of iterations. */
static void spread(struct loop *loop, struct live *live, bool *cells)
{
	while (read_marks(loop, live, cells))
		for (unsigned c = 0; c < CELLS; c++)
			if (cells[c])
				mark_live(loop, live, loop->iteration->cells[c]);
}

static void find_live(struct loop *loop, struct live *live)
{
	const struct iteration *iteration = loop->iteration;
	for (size_t i = 0; i < iteration->events.count; i++) {
		mark_live(loop, live, iteration->events.items[i].address);
		if (!iteration->events.items[i].store)
			continue;
		mark_live(loop, live, iteration->events.items[i].condition);
		mark_live(loop, live, iteration->events.items[i].data);
	}
	for (size_t i = 0; i < iteration->opaque_inputs.count; i++)
		mark_live(loop, live, iteration->opaque_inputs.items[i]);
	for (size_t i = 0; i < iteration->exits.count; i++)
		mark_live(loop, live, iteration->exits.items[i].condition);
	spread(loop, live, live->inside);
	for (size_t i = 0; i < iteration->exits.count; i++)
		for (unsigned c = 0; c < CELLS; c++)
			mark_live(loop, live, iteration->exits.items[i].cells[c]);
	spread(loop, live, live->cell);
}

static bool is_init(const struct ir *ir, ir_ref ref, unsigned cell)
{
	const struct ir_node *node = ir_get(ir, ref);
	return node->op == IR_INIT && node->imm == cell;
}

/* R + c, or zext32(R + c). */
static bool match_iv(const struct ir *ir, ir_ref next, unsigned c, struct loop_cell *ret)
{
	const struct ir_node *node = ir_get(ir, next);
	if (node->op == IR_ADD && !node->lane && is_init(ir, node->args[0], c) &&
	    ir_is_const(ir, node->args[1], &ret->step)) {
		ret->class = LOOP_IV;
		return true;
	}
	if (node->op != IR_ZEXT)
		return false;
	const struct ir_node *sum = ir_get(ir, node->args[0]);
	if (sum->op != IR_ADD || sum->width != 32 || sum->lane ||
	    !ir_is_const(ir, sum->args[1], &ret->step))
		return false;
	const struct ir_node *low = ir_get(ir, sum->args[0]);
	if (low->op != IR_EXTRACT || low->imm != 0 || !is_init(ir, low->args[0], c))
		return false;
	ret->class = LOOP_IV32;
	return true;
}

/* The same in every iteration, told without looking at classes that are not known yet. */
static bool is_fixed(const struct loop *loop, ir_ref ref)
{
	if (loop_depends(loop, ref, IR_LOAD, ~0ull) ||
	    loop_depends(loop, ref, IR_OPAQUE, ~0ull))
		return false;
	for (unsigned d = 0; d < CELLS; d++)
		if (!is_init(loop->ir, loop->iteration->cells[d], d) &&
		    loop_depends(loop, ref, IR_INIT, d))
			return false;
	return true;
}

/* R + S, lane by lane. */
static bool match_lanes(const struct loop *loop, ir_ref next, unsigned c, struct loop_cell *ret)
{
	const struct ir_node *node = ir_get(loop->ir, next);
	if (node->op != IR_ADD || !node->lane || node->lane == 64)
		return false;
	for (unsigned side = 0; side < 2; side++) {
		if (!is_init(loop->ir, node->args[side], c) ||
		    !is_fixed(loop, node->args[!side]))
			continue;
		ret->class = LOOP_IV_LANES;
		ret->lane = node->lane;
		ret->steps = node->args[!side];
		return true;
	}
	return false;
}

struct match {
	struct loop *loop;
	unsigned cell;
	struct loop_reduction *ret;
};

/* ref is the accumulator itself, cut to the reduction's width. */
static bool is_acc(const struct match *m, ir_ref ref)
{
	const struct ir_node *node = ir_get(m->loop->ir, ref);
	if (is_init(m->loop->ir, ref, m->cell))
		return true;
	return node->op == IR_EXTRACT && node->imm == 0 &&
	       is_init(m->loop->ir, node->args[0], m->cell);
}

static bool has_acc(const struct match *m, ir_ref ref)
{
	return loop_depends(m->loop, ref, IR_INIT, m->cell);
}

/* acc op f where op is its own; f free of acc. */
static bool match_plain(const struct match *m, const struct ir_node *node)
{
	struct ir *ir = m->loop->ir;
	for (unsigned side = 0; side < 2; side++) {
		ir_ref acc = node->args[side], other = node->args[!side];
		if (has_acc(m, other))
			continue;
		if (node->op == IR_SUB && side == 0 && is_acc(m, acc)) {
			ir_ref zero = ir_const(ir, node->width, 0);
			m->ret->op = IR_ADD;
			m->ret->value = node->lane
						? ir_lanes(ir, IR_SUB, node->lane, zero, other)
						: ir_binary(ir, IR_SUB, zero, other);
			return true;
		}
		bool folds = node->op == IR_ADD || node->op == IR_AND || node->op == IR_OR ||
			     node->op == IR_XOR || (node->op >= IR_MINU && node->op <= IR_MAXS);
		if (folds && is_acc(m, acc)) {
			m->ret->op = node->op;
			m->ret->value = other;
			return true;
		}
	}
	return false;
}

static bool match_fold(const struct match *m, ir_ref next);

static ir_ref identity_of(struct ir *ir, const struct loop_reduction *r)
{
	uint8_t width = r->width;
	switch (r->op) {
	case IR_AND:
	case IR_MINU:
		return ir_const(ir, width, ~0ull);
	case IR_MINS:
		return ir_const(ir, width, ir_mask(width - 1u));
	case IR_MAXS:
		return ir_const(ir, width, 1ull << (width - 1));
	default:
		return ir_const(ir, width, 0);
	}
}

/* min and max spelt as a comparison: ite(a < b, x, y) with {x, y} = {a, b}. */
static bool match_minmax(const struct match *m, const struct ir_node *node)
{
	struct ir *ir = m->loop->ir;
	const struct ir_node test = *ir_get(ir, node->args[0]);
	if ((test.op != IR_LTU && test.op != IR_LTS) || test.lane)
		return false;
	ir_ref a = test.args[0], b = test.args[1], x = node->args[1], y = node->args[2];
	bool smaller = x == a && y == b, larger = x == b && y == a;
	if (!smaller && !larger)
		return false;
	ir_ref other = is_acc(m, a) ? b : a;
	if ((!is_acc(m, a) && !is_acc(m, b)) || has_acc(m, other))
		return false;
	m->ret->op = test.op == IR_LTU ? (smaller ? IR_MINU : IR_MAXU)
				       : (smaller ? IR_MINS : IR_MAXS);
	m->ret->value = other;
	return true;
}

/* ite(c, acc op f, acc): f or the identity, by c. */
static bool match_conditional(const struct match *m, const struct ir_node *node)
{
	struct ir *ir = m->loop->ir;
	if (has_acc(m, node->args[0]))
		return match_minmax(m, node);
	for (unsigned side = 1; side < 3; side++) {
		ir_ref keeps = node->args[3 - side];
		if (!is_acc(m, keeps) || !match_fold(m, node->args[side]))
			continue;
		ir_ref nothing = identity_of(ir, m->ret), f = m->ret->value;
		m->ret->value = side == 1 ? ir_ite(ir, node->args[0], f, nothing)
					  : ir_ite(ir, node->args[0], nothing, f);
		return m->ret->lane == 0;
	}
	return false;
}

/* (acc + f) + g and the like: everything but acc is the contribution. */
static bool match_nested(const struct match *m, const struct ir_node *node)
{
	struct ir *ir = m->loop->ir;
	bool folds = node->op == IR_ADD || node->op == IR_AND || node->op == IR_OR ||
		     node->op == IR_XOR || (node->op >= IR_MINU && node->op <= IR_MAXS);
	for (unsigned side = 0; folds && side < 2; side++) {
		ir_ref other = node->args[!side];
		if (has_acc(m, other) || !match_fold(m, node->args[side]) ||
		    m->ret->op != node->op)
			continue;
		m->ret->value =
			node->lane ? ir_lanes(ir, node->op, node->lane, m->ret->value, other)
				   : ir_binary(ir, node->op, m->ret->value, other);
		return true;
	}
	if (node->op == IR_SUB && !has_acc(m, node->args[1]) && match_fold(m, node->args[0]) &&
	    m->ret->op == IR_ADD) {
		m->ret->value =
			node->lane
				? ir_lanes(ir, IR_SUB, node->lane, m->ret->value, node->args[1])
				: ir_binary(ir, IR_SUB, m->ret->value, node->args[1]);
		return true;
	}
	return false;
}

static bool match_fold(const struct match *m, ir_ref next)
{
	const struct ir_node node = *ir_get(m->loop->ir, next);
	m->ret->width = node.width;
	m->ret->lane = node.lane;
	if (ir_arity(node.op) == 3)
		return match_conditional(m, &node);
	if (ir_arity(node.op) != 2)
		return false;
	return match_plain(m, &node) || match_nested(m, &node);
}

/* ite(c, zext(acc32 op f), acc64): a 32-bit operation jumped over. Right when the top half is
 * zero to begin with. */
static bool match_guarded_narrow(const struct match *m, const struct ir_node *node)
{
	struct ir *ir = m->loop->ir;
	if (has_acc(m, node->args[0]))
		return false;
	for (unsigned side = 1; side < 3; side++) {
		const struct ir_node arm = *ir_get(ir, node->args[side]);
		if (!is_init(ir, node->args[3 - side], m->cell) || arm.op != IR_ZEXT ||
		    !match_fold(m, arm.args[0]) || m->ret->lane)
			continue;
		ir_ref nothing = identity_of(ir, m->ret), f = m->ret->value;
		m->ret->value = side == 1 ? ir_ite(ir, node->args[0], f, nothing)
					  : ir_ite(ir, node->args[0], nothing, f);
		m->ret->clean_top = true;
		return true;
	}
	return false;
}

static bool match_reduction(struct loop *loop, ir_ref next, unsigned c,
			    struct loop_reduction *ret)
{
	struct match m = { loop, c, ret };
	const struct ir_node node = *ir_get(loop->ir, next);
	memset(ret, 0, sizeof(*ret));
	ret->cell = c;
	if (node.op == IR_ITE && match_guarded_narrow(&m, &node))
		return true;
	if (node.op == IR_ZEXT && node.width == 64) {
		if (!match_fold(&m, node.args[0]))
			return false;
	} else if (!match_fold(&m, next)) {
		return false;
	}
	return ret->width == 8 || ret->width == 16 || ret->width == 32 || ret->width == 64;
}

/* Somebody who needs this cell in every iteration, not only when leaving. */
static bool is_needed_inside(const struct loop *loop, const struct live *live, unsigned d)
{
	return live->inside[d] ||
	       (live->cell[d] && loop_depends(loop, loop->iteration->cells[d], IR_INIT, d));
}

/* The accumulator may be read by nobody but itself. */
static bool used_elsewhere(struct loop *loop, const struct live *live, unsigned c)
{
	const struct iteration *iteration = loop->iteration;
	for (size_t i = 0; i < iteration->events.count; i++) {
		const struct iteration_event *event = &iteration->events.items[i];
		if (loop_depends(loop, event->address, IR_INIT, c) ||
		    (event->store && (loop_depends(loop, event->data, IR_INIT, c) ||
				      loop_depends(loop, event->condition, IR_INIT, c))))
			return true;
	}
	for (size_t i = 0; i < iteration->exits.count; i++)
		if (loop_depends(loop, iteration->exits.items[i].condition, IR_INIT, c))
			return true;
	for (unsigned d = 0; d < CELLS; d++)
		if (d != c && is_needed_inside(loop, live, d) &&
		    loop_depends(loop, iteration->cells[d], IR_INIT, c))
			return true;
	return false;
}

static const char *why_serial(struct loop *loop, ir_ref next, unsigned c)
{
	bool self = loop_depends(loop, next, IR_INIT, c);
	if (loop_depends(loop, next, IR_OPAQUE, ~0ull))
		return "depends on an instruction without a meaning here";
	if (self && loop_depends(loop, next, IR_LOAD, ~0ull))
		return "each iteration needs the last one's result";
	if (self)
		return "changes by a rule without a closed form";
	return "is carried over from the iteration before";
}

/* The reason of the first meaningless value that matters. */
static const char *opaque_reason(const struct loop *loop, ir_ref ref)
{
	for (ir_ref i = 1; i <= ir_count(loop->ir); i++) {
		const struct ir_node *node = ir_get(loop->ir, i);
		if (node->op == IR_OPAQUE && loop_depends(loop, ref, IR_OPAQUE, node->imm) &&
		    (uint32_t)node->imm < loop->iteration->opaque.count)
			return loop->iteration->opaque.items[(uint32_t)node->imm];
	}
	return NULL;
}

static struct error *add_reduction(struct loop *loop, unsigned c,
				   const struct loop_reduction *reduction)
{
	if (loop->n_reductions == LOOP_REDUCTIONS_MAX)
		return error_create(ERR_LIMIT, "too many accumulators");
	loop->cells[c].class = LOOP_REDUCTION;
	loop->cells[c].reduction = loop->n_reductions;
	loop->reductions[loop->n_reductions++] = *reduction;
	return NULL;
}

/* In order, whatever a pass makes of a register is what the next one finds. */
static bool can_be_state(const struct loop *loop, unsigned c)
{
	return loop->serial && translate_guest_reg(c) >= 0 &&
	       !loop_depends(loop, loop->iteration->cells[c], IR_OPAQUE, ~0ull);
}

static struct error *classify(struct loop *loop, const struct live *live, unsigned c)
{
	struct loop_cell *cell = &loop->cells[c];
	ir_ref next = loop->iteration->cells[c];
	struct loop_reduction reduction;
	if (is_init(loop->ir, next, c)) {
		cell->class = LOOP_INVARIANT;
		return NULL;
	}
	if (!live->cell[c] || c == CELL_RIP || c == CELL_DFLAG) {
		cell->class = LOOP_DEAD;
		return NULL;
	}
	if (match_iv(loop->ir, next, c, cell))
		return NULL;
	if (can_be_state(loop, c)) {
		reduction = (struct loop_reduction){
			.cell = c, .state = true, .width = 64, .value = next
		};
		return add_reduction(loop, c, &reduction);
	}
	if (!loop->serial && match_reduction(loop, next, c, &reduction) &&
	    !used_elsewhere(loop, live, c))
		return add_reduction(loop, c, &reduction);
	if (!loop->serial && match_lanes(loop, next, c, cell))
		return NULL;
	if (!live->inside[c]) {
		cell->class = LOOP_CARRIED;
		loop->any_carried = true;
		return NULL;
	}
	const char *opaque = opaque_reason(loop, next);
	if (opaque)
		return error_create(ERR_UNSUPPORTED, "%s: %s", cell_name(c), opaque);
	return error_create(ERR_UNSUPPORTED, "serial: %s %s", cell_name(c),
			    why_serial(loop, next, c));
}

/* One pass must set a carried cell, and contribute to an accumulator, whatever stale cells
 * held.
 */
static struct error *check_fresh(struct loop *loop, unsigned c)
{
	for (unsigned d = 0; d < CELLS; d++)
		if (loop_class_is_stale(loop->cells[d].class) &&
		    loop_depends(loop, loop->iteration->cells[c], IR_INIT, d))
			return error_create(ERR_UNSUPPORTED, "serial: %s %s", cell_name(c),
					    why_serial(loop, loop->iteration->cells[c], d));
	return NULL;
}

struct error *loop_classify_cells(struct loop *loop)
{
	struct live live = { 0 };
	/* Matching builds new nodes; marks are of what was there before. */
	AUTO(own_free) uint8_t *marks = NULL;
	TRY(error_alloc(ir_count(loop->ir) * 4 + 65536, 1, &marks));
	live.marks = marks;
	find_live(loop, &live);
	for (unsigned c = 0; c < CELLS; c++)
		TRY(classify(loop, &live, c));
	for (unsigned c = 0; c < CELLS; c++)
		if (loop->cells[c].class == LOOP_CARRIED ||
		    loop->cells[c].class == LOOP_REDUCTION)
			TRY(check_fresh(loop, c));
	for (unsigned i = 0; i < loop->n_reductions; i++)
		loop->reductions[i].value = loop_close(loop, loop->reductions[i].value);
	for (unsigned i = 0; i < loop->n_reductions; i++) {
		const char *opaque = opaque_reason(loop, loop->reductions[i].value);
		if (opaque)
			return error_create(ERR_UNSUPPORTED, "%s", opaque);
	}
	return NULL;
}
