#include "learn/loop.h"

#include <string.h>

#include "base/error.h"

bool loop_depends(const struct loop *loop, ir_ref ref, enum ir_op leaf, uint64_t imm)
{
	size_t count = ir_count(loop->ir) + 1;
	AUTO(own_free) uint8_t *marks = calloc(count, 1);
	if (!marks)
		return true;
	ir_mark(loop->ir, ref, marks);
	for (size_t i = 1; i <= ref; i++) {
		const struct ir_node *node = ir_get(loop->ir, (ir_ref)i);
		if (marks[i] && node->op == leaf && (imm == ~0ull || node->imm == imm))
			return true;
	}
	return false;
}

bool loop_is_data(const struct loop *loop, ir_ref ref)
{
	for (unsigned i = 0; i < loop->n_reductions; i++)
		if (loop->reductions[i].state && loop_depends(loop, ref, IR_INIT, CELL_ACC + i))
			return true;
	return loop_depends(loop, ref, IR_LOAD, ~0ull);
}

/* The low bits of a count in every lane. */
static ir_ref in_every_lane(struct ir *ir, ir_ref count, uint8_t lane)
{
	ir_ref low = ir_extract(ir, count, 0, lane), all = low;
	while (ir_width(ir, all) < 64)
		all = ir_concat(ir, all, low);
	return all;
}

ir_ref loop_cell_after(struct loop *loop, unsigned c, ir_ref times)
{
	struct ir *ir = loop->ir;
	const struct loop_cell *cell = &loop->cells[c];
	ir_ref entry = ir_leaf(ir, IR_INIT, 64, c), step = ir_const(ir, 64, cell->step);
	if (cell->class == LOOP_IV_LANES) {
		ir_ref count = in_every_lane(ir, times, cell->lane);
		return ir_lanes(ir, IR_ADD, cell->lane, entry,
				ir_lanes(ir, IR_MUL, cell->lane, count, cell->steps));
	}
	ir_ref sum = ir_binary(ir, IR_ADD, ir_binary(ir, IR_MUL, times, step), entry);
	return cell->class == LOOP_IV ? sum : ir_zext(ir, 64, ir_extract(ir, sum, 0, 32));
}

/* The value of an induction variable in iteration k. */
static ir_ref closed_leaf(void *user, const struct ir_node *node)
{
	struct loop *loop = user;
	struct ir *ir = loop->ir;
	ir_ref same = ir_leaf(ir, node->op, node->width, node->imm);
	if (node->op != IR_INIT || node->imm >= CELLS)
		return same;
	const struct loop_cell *cell = &loop->cells[node->imm];
	if (cell->class >= LOOP_IV && cell->class <= LOOP_IV_LANES)
		return loop_cell_after(loop, (unsigned)node->imm,
				       ir_leaf(ir, IR_INIT, 64, CELL_K));
	if (cell->class == LOOP_REDUCTION && loop->reductions[cell->reduction].state)
		return ir_leaf(ir, IR_INIT, 64, CELL_ACC + cell->reduction);
	return same;
}

ir_ref loop_close(struct loop *loop, ir_ref ref)
{
	AUTO(own_free) ir_ref *memo = calloc(ir_count(loop->ir) + 1, sizeof(*memo));
	if (!memo)
		return ref;
	return ir_rewrite(loop->ir, loop->ir, ref, closed_leaf, loop, memo);
}

void loop_limit_trip(struct loop *loop, ir_ref limit)
{
	ir_ref less = ir_binary(loop->ir, IR_LTU, limit, loop->trip);
	loop->trip = ir_ite(loop->ir, less, limit, loop->trip);
}

struct error *loop_add_guard(struct loop *loop, ir_ref condition, enum loop_reason reason)
{
	uint64_t value;
	if (ir_is_const(loop->ir, condition, &value)) {
		if (value)
			return NULL;
		return error_create(ERR_UNSUPPORTED, "its guard can never hold");
	}
	for (unsigned i = 0; i < loop->n_guards; i++)
		if (loop->guards[i] == condition)
			return NULL;
	if (loop->n_guards == LOOP_GUARDS_MAX)
		return error_create(ERR_LIMIT, "too many conditions to check");
	loop->reasons[loop->n_guards] = (uint8_t)reason;
	loop->guards[loop->n_guards++] = condition;
	return NULL;
}

enum { SUM_TERMS_MAX = 12 };

/* sum of atom[i] * factor[i] + constant + k * step, mod 2^width */
struct sum {
	unsigned count;
	uint8_t width;
	ir_ref atom[SUM_TERMS_MAX];
	uint64_t factor[SUM_TERMS_MAX];
	uint64_t constant, step;
};

static bool sum_add_atom(struct sum *sum, ir_ref atom, uint64_t factor)
{
	for (unsigned i = 0; i < sum->count; i++) {
		if (sum->atom[i] != atom)
			continue;
		sum->factor[i] += factor;
		return true;
	}
	if (sum->count == SUM_TERMS_MAX)
		return false;
	sum->atom[sum->count] = atom;
	sum->factor[sum->count++] = factor;
	return true;
}

static uint64_t sign_extend(uint64_t value, unsigned width)
{
	return (uint64_t)((int64_t)(value << (64 - width)) >> (64 - width));
}

/* Atoms in order of their numbers, so that equal sums become equal expressions. */
static ir_ref sum_base(struct ir *ir, const struct sum *sum)
{
	ir_ref total = IR_NONE, last = 0;
	for (unsigned n = 0; n < sum->count; n++) {
		unsigned best = SUM_TERMS_MAX;
		for (unsigned i = 0; i < sum->count; i++)
			if (sum->atom[i] > last &&
			    (best == SUM_TERMS_MAX || sum->atom[i] < sum->atom[best]))
				best = i;
		last = sum->atom[best];
		if ((sum->factor[best] & ir_mask(sum->width)) == 0)
			continue;
		ir_ref term = ir_binary(ir, IR_MUL, last,
					ir_const(ir, sum->width, sum->factor[best]));
		total = total == IR_NONE ? term : ir_binary(ir, IR_ADD, total, term);
	}
	ir_ref constant = ir_const(ir, sum->width, sum->constant);
	return total == IR_NONE ? constant : ir_binary(ir, IR_ADD, total, constant);
}

/* base + step k must stay inside the width for every k below the trip count: the number of
 * iterations for which it does. base is biased to unsigned by the caller. */
static void limit_wrap(struct loop *loop, ir_ref base, uint8_t width, uint64_t step)
{
	struct ir *ir = loop->ir;
	bool down = (int64_t)step < 0;
	uint64_t size = down ? 0 - step : step;
	ir_ref wide = ir_zext(ir, 64, base), most = ir_const(ir, 64, ir_mask(width));
	ir_ref room = down ? wide : ir_binary(ir, IR_SUB, most, wide);
	if (size == 0)
		return;
	ir_ref steps = size == 1 ? room : ir_binary(ir, IR_UDIV, room, ir_const(ir, 64, size));
	loop_limit_trip(loop, ir_binary(ir, IR_ADD, steps, ir_const(ir, 64, 1)));
}

static bool sum_collect(struct loop *loop, struct sum *sum, ir_ref ref, uint64_t factor);

/* ZEXT or SEXT of something linear that does not wrap. */
static bool sum_add_extended(struct loop *loop, struct sum *sum, const struct ir_node *node,
			     uint64_t factor)
{
	struct ir *ir = loop->ir;
	uint8_t width = ir_width(ir, node->args[0]);
	struct sum inner = { .width = width };
	if (!sum_collect(loop, &inner, node->args[0], 1))
		return false;
	ir_ref base = sum_base(ir, &inner), biased = base;
	uint64_t step = sign_extend(inner.step, width);
	if (node->op == IR_SEXT)
		biased = ir_binary(ir, IR_XOR, base, ir_const(ir, width, 1ull << (width - 1)));
	limit_wrap(loop, biased, width, step);
	sum->step += factor * step;
	ir_ref extended = node->op == IR_SEXT ? ir_sext(ir, sum->width, base)
					      : ir_zext(ir, sum->width, base);
	return sum_add_atom(sum, extended, factor);
}

static bool sum_collect(struct loop *loop, struct sum *sum, ir_ref ref, uint64_t factor)
{
	struct ir_node node = *ir_get(loop->ir, ref);
	uint64_t value;
	if (node.op == IR_CONST) {
		sum->constant += factor * node.imm;
		return true;
	}
	if (node.op == IR_INIT && node.imm == CELL_K) {
		sum->step += factor;
		return true;
	}
	if (node.lane == 0 && node.op == IR_ADD)
		return sum_collect(loop, sum, node.args[0], factor) &&
		       sum_collect(loop, sum, node.args[1], factor);
	if (node.lane == 0 && node.op == IR_SUB)
		return sum_collect(loop, sum, node.args[0], factor) &&
		       sum_collect(loop, sum, node.args[1], 0 - factor);
	if (node.lane == 0 && node.op == IR_MUL && ir_is_const(loop->ir, node.args[1], &value))
		return sum_collect(loop, sum, node.args[0], factor * value);
	if (loop_is_data(loop, ref))
		return false;
	if (!loop_depends(loop, ref, IR_INIT, CELL_K))
		return sum_add_atom(sum, ref, factor);
	const struct ir_node inner = *ir_get(loop->ir, node.args[0]);
	if (node.op == IR_EXTRACT && node.imm == 0 && inner.op == IR_INIT &&
	    inner.imm == CELL_K) {
		sum->step += factor;
		return true;
	}
	if (node.op == IR_ZEXT || node.op == IR_SEXT)
		return sum_add_extended(loop, sum, &node, factor);
	return false;
}

bool loop_linear(struct loop *loop, ir_ref ref, struct loop_linear *ret)
{
	struct sum sum = { .width = ir_width(loop->ir, ref) };
	ir_ref trip = loop->trip;
	if (!sum_collect(loop, &sum, ref, 1)) {
		loop->trip = trip;
		return false;
	}
	ret->base = sum_base(loop->ir, &sum);
	ret->step = sign_extend(sum.step, sum.width);
	return true;
}

static const char *pattern_of(const struct loop *loop)
{
	unsigned writes = 0, reads = 0;
	if (loop->serial)
		return loop->search ? "serial search" : "serial";
	for (unsigned i = 0; i < loop->n_accesses; i++) {
		const struct loop_access *access = &loop->accesses[i];
		bool store = loop->iteration->events.items[access->event].store;
		writes += store;
		reads += !store;
		if (store && loop_depends(loop, access->data, IR_INIT, CELL_K))
			return loop->n_reductions ? "reduction" : "doall";
	}
	if (loop->search)
		return "search";
	if (loop->n_reductions)
		return "reduction";
	if (writes && !reads)
		return "fill";
	for (unsigned i = 0; i < loop->n_accesses; i++)
		if (loop->iteration->events.items[loop->accesses[i].event].store &&
		    ir_get(loop->ir, loop->accesses[i].data)->op != IR_LOAD)
			return "doall";
	return "copy";
}

static struct error *analyse(const struct iteration *iteration, bool serial, struct loop *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->ir = iteration->ir;
	ret->iteration = iteration;
	ret->serial = serial;
	TRY(loop_classify_cells(ret));
	ret->trip = ir_const(ret->ir, 64, 1ull << 32);
	TRY(loop_find_streams(ret));
	TRY(loop_find_trip(ret));
	TRY(loop_make_guards(ret));
	if (ir_failed(ret->ir))
		return error_create(ERR_LIMIT, "the loop is too large");
	ret->pattern = pattern_of(ret);
	return NULL;
}

/* Iterations in any order if they can be; else in order. */
struct error *loop_analyse(const struct iteration *iteration, struct loop *ret)
{
	AUTO(own_error) struct error *err = analyse(iteration, false, ret);
	if (!err)
		return NULL;
	if (error_kind(err) != ERR_UNSUPPORTED)
		return TAKE(err);
	return analyse(iteration, true, ret);
}
