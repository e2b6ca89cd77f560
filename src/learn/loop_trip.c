/* How often the loop goes round: every exit becomes a bound on the trip count, a condition for
 * the guard, or a search. Stopping early is always right, so a bound may be too small. */
#include "base/error.h"
#include "learn/loop.h"

/* The loop goes on while x + k step REL bound. */
enum relation { WHILE_NE, WHILE_LT, WHILE_LE, WHILE_GT, WHILE_GE };

struct counted {
	enum relation relation;
	ir_ref x, bound; /* 64 bits, unsigned, of values of `width` bits */
	uint64_t step;
	uint8_t width;
};

static ir_ref constant(struct loop *loop, uint64_t value)
{
	return ir_const(loop->ir, 64, value);
}

static ir_ref binary(struct loop *loop, enum ir_op op, ir_ref a, ir_ref b)
{
	return ir_binary(loop->ir, op, a, b);
}

/* Iterations until x + k step = bound, which must be hit exactly. */
static struct error *until_equal(struct loop *loop, const struct counted *c)
{
	bool down = (int64_t)c->step < 0;
	uint64_t size = down ? 0 - c->step : c->step;
	ir_ref distance = down ? binary(loop, IR_SUB, c->x, c->bound)
			       : binary(loop, IR_SUB, c->bound, c->x);
	if (c->width < 64)
		distance = ir_zext(loop->ir, 64, ir_extract(loop->ir, distance, 0, c->width));
	if (size != 1) {
		ir_ref rest = (size & (size - 1)) == 0
				      ? binary(loop, IR_AND, distance, constant(loop, size - 1))
				      : binary(loop, IR_UREM, distance, constant(loop, size));
		TRY(loop_add_guard(loop, binary(loop, IR_EQ, rest, constant(loop, 0)),
				   LOOP_SHAPE));
		distance = binary(loop, IR_UDIV, distance, constant(loop, size));
	}
	loop_limit_trip(loop, distance);
	return NULL;
}

/* Number of k for which x + k step stays on its side of bound; 0 if it starts beyond. */
static bool until_passed(struct loop *loop, const struct counted *c)
{
	bool down = c->relation == WHILE_GT || c->relation == WHILE_GE;
	bool strict = c->relation == WHILE_LT || c->relation == WHILE_GT;
	uint64_t size = down ? 0 - c->step : c->step;
	if ((int64_t)size <= 0)
		return false;
	ir_ref low = down ? c->bound : c->x, high = down ? c->x : c->bound;
	ir_ref room = binary(loop, IR_SUB, high, low);
	if (strict)
		room = binary(loop, IR_SUB, room, constant(loop, 1));
	ir_ref count = size == 1 ? room : binary(loop, IR_UDIV, room, constant(loop, size));
	count = binary(loop, IR_ADD, count, constant(loop, 1));
	ir_ref inside = strict ? binary(loop, IR_LTU, low, high)
			       : ir_not(loop->ir, binary(loop, IR_LTU, high, low));
	loop_limit_trip(loop, ir_ite(loop->ir, inside, count, constant(loop, 0)));
	return true;
}

static ir_ref to_unsigned(struct loop *loop, ir_ref value, bool is_signed)
{
	uint8_t width = ir_width(loop->ir, value);
	if (is_signed)
		value = ir_binary(loop->ir, IR_XOR, value,
				  ir_const(loop->ir, width, 1ull << (width - 1)));
	return ir_zext(loop->ir, 64, value);
}

/* The relation under which the loop goes on, from the comparison that ends it. */
static bool relation_of(enum ir_op op, bool inverted, bool moving_first,
			enum relation *relation_ret)
{
	if (op == IR_EQ) {
		*relation_ret = WHILE_NE;
		return !inverted; /* going on while equal: at most once */
	}
	if (moving_first) /* leaves when x < b, or inverted when x >= b */
		*relation_ret = inverted ? WHILE_LT : WHILE_GE;
	else /* leaves when b < x, or inverted when b >= x */
		*relation_ret = inverted ? WHILE_GT : WHILE_LE;
	return true;
}

static bool depends_on_k(const struct loop *loop, ir_ref ref)
{
	return loop_depends(loop, ref, IR_INIT, CELL_K);
}

/* An exit that compares something that grows with something that stays. */
static struct error *bound_by_compare(struct loop *loop, const struct ir_node *test,
				      bool inverted, bool *done_ret)
{
	struct counted c = { 0 };
	ir_ref a = test->args[0], b = test->args[1], saved = loop->trip;
	bool first = depends_on_k(loop, a), second = depends_on_k(loop, b);
	struct loop_linear linear;
	*done_ret = false;
	if (first && second && test->op == IR_EQ) { /* two pointers meet */
		a = ir_binary(loop->ir, IR_SUB, a, b);
		b = ir_const(loop->ir, ir_width(loop->ir, a), 0);
		second = false;
	}
	if (first == second || !relation_of(test->op, inverted, first, &c.relation) ||
	    !loop_linear(loop, first ? a : b, &linear))
		return NULL;
	bool is_signed = test->op == IR_LTS;
	c.width = ir_width(loop->ir, a);
	c.step = linear.step;
	c.x = to_unsigned(loop, linear.base, is_signed);
	c.bound = to_unsigned(loop, first ? b : a, is_signed);
	if (c.relation == WHILE_NE && c.step != 0) {
		*done_ret = true;
		return until_equal(loop, &c);
	}
	*done_ret = c.relation != WHILE_NE && until_passed(loop, &c);
	if (!*done_ret)
		loop->trip = saved;
	return NULL;
}

static struct error *bound_by_exit(struct loop *loop, ir_ref condition, bool inverted,
				   bool *done_ret);

/* Either side of a conjunction, kept false, keeps the whole false. */
static struct error *bound_by_either(struct loop *loop, const struct ir_node *node,
				     bool inverted, bool *done_ret)
{
	for (unsigned i = 0; i < 2 && !*done_ret; i++)
		if (depends_on_k(loop, node->args[i]))
			TRY(bound_by_exit(loop, node->args[i], inverted, done_ret));
	for (unsigned i = 0; i < 2 && !*done_ret; i++)
		if (!depends_on_k(loop, node->args[i]))
			TRY(bound_by_exit(loop, node->args[i], inverted, done_ret));
	return NULL;
}

static struct error *bound_by_both(struct loop *loop, const struct ir_node *node, bool inverted,
				   bool *done_ret)
{
	bool first = false, second = false;
	TRY(bound_by_exit(loop, node->args[0], inverted, &first));
	TRY(bound_by_exit(loop, node->args[1], inverted, &second));
	*done_ret = first && second;
	return NULL;
}

/* Keeps `condition` (its opposite when inverted) false for all iterations below the trip count,
 * if it knows how. */
static struct error *bound_by_exit(struct loop *loop, ir_ref condition, bool inverted,
				   bool *done_ret)
{
	const struct ir_node node = *ir_get(loop->ir, condition);
	*done_ret = false;
	bool data = loop_is_data(loop, condition);
	if (data && node.op != IR_AND && node.op != IR_OR && node.op != IR_XOR)
		return NULL;
	if (!data && !depends_on_k(loop, condition)) {
		*done_ret = true;
		return loop_add_guard(loop, inverted ? condition : ir_not(loop->ir, condition),
				      LOOP_SHAPE);
	}
	if (node.op == IR_XOR && ir_is_const(loop->ir, node.args[1], NULL))
		return bound_by_exit(loop, node.args[0], !inverted, done_ret);
	if (node.op == IR_EQ || node.op == IR_LTU || node.op == IR_LTS) {
		loop->counted = true;
		return bound_by_compare(loop, &node, inverted, done_ret);
	}
	if (node.op == (inverted ? IR_OR : IR_AND))
		return bound_by_either(loop, &node, inverted, done_ret);
	if (node.op == (inverted ? IR_AND : IR_OR))
		return bound_by_both(loop, &node, inverted, done_ret);
	return NULL;
}

/* Who leaves must find carried cells as the pass before left them. Where the trip count says
 * when that is, the kernel stops one pass earlier; a search cannot. */
static struct error *care_for_carried(struct loop *loop)
{
	const struct iteration *iteration = loop->iteration;
	if (loop->search == IR_NONE) {
		ir_ref none = binary(loop, IR_EQ, loop->trip, constant(loop, 0));
		loop->trip = ir_ite(loop->ir, none, loop->trip,
				    binary(loop, IR_SUB, loop->trip, constant(loop, 1)));
		return NULL;
	}
	for (size_t i = 0; i < iteration->exits.count; i++) {
		const struct iteration_exit *out = &iteration->exits.items[i];
		if (loop_is_settled(loop, loop_close(loop, out->condition)))
			continue;
		for (unsigned c = 0; c < CELLS; c++)
			for (unsigned d = 0; d < CELLS; d++)
				if (loop->cells[d].class == LOOP_CARRIED &&
				    loop_depends(loop, out->cells[c], IR_INIT, d))
					return error_create(ERR_UNSUPPORTED,
							    "a search, and %s is carried over "
							    "from the iteration before",
							    cell_name(d));
	}
	return NULL;
}

/* The iteration that leaves is the guest's: nothing of it may be done. In order that is a
 * condition on its stores, and accumulators are not folded then. */
static struct error *mind_search(struct loop *loop)
{
	if (loop->n_reductions && !loop->serial)
		return error_create(ERR_UNSUPPORTED, "searches and accumulates in one loop");
	for (unsigned i = 0; i < loop->n_accesses; i++) {
		struct loop_access *access = &loop->accesses[i];
		if (!loop->iteration->events.items[access->event].store)
			continue;
		if (!loop->serial)
			return error_create(ERR_UNSUPPORTED, "searches and stores in one loop");
		access->condition =
			binary(loop, IR_AND, access->condition, ir_not(loop->ir, loop->search));
	}
	return NULL;
}

/* Something that never changes in the loop keeps the condition false, if it does so at all. */
static bool can_rule_out(const struct loop *loop, ir_ref condition)
{
	const struct ir_node *node = ir_get(loop->ir, condition);
	if (loop_is_settled(loop, condition))
		return true;
	if (node->op == IR_AND)
		return can_rule_out(loop, node->args[0]) || can_rule_out(loop, node->args[1]);
	return node->op == IR_OR && can_rule_out(loop, node->args[0]) &&
	       can_rule_out(loop, node->args[1]);
}

static struct error *rule_out(struct loop *loop, ir_ref condition)
{
	const struct ir_node node = *ir_get(loop->ir, condition);
	if (loop_is_settled(loop, condition))
		return loop_add_guard(loop, ir_not(loop->ir, condition), LOOP_SHAPE);
	bool first = can_rule_out(loop, node.args[0]);
	if (first)
		TRY(rule_out(loop, node.args[0]));
	return node.op == IR_OR || !first ? rule_out(loop, node.args[1]) : NULL;
}

/* Faults are not what a loop ends by: rather no kernel at all than one that counts up to where
 * a division would overflow. */
bool loop_rules_out(const struct loop *loop, const struct iteration_exit *out, ir_ref closed)
{
	return loop_is_settled(loop, closed) || (out->fault && can_rule_out(loop, closed));
}

static struct error *bound_or_search(struct loop *loop)
{
	const struct iteration *iteration = loop->iteration;
	ir_ref search = ir_const(loop->ir, 1, 0);
	for (size_t i = 0; i < iteration->exits.count; i++) {
		ir_ref condition = loop_close(loop, iteration->exits.items[i].condition);
		bool done;
		done = loop_rules_out(loop, &iteration->exits.items[i], condition);
		TRY(done ? rule_out(loop, condition)
			 : bound_by_exit(loop, condition, false, &done));
		if (done && i < 64)
			loop->counted_exits |= 1ull << i;
		else
			search = ir_binary(loop->ir, IR_OR, search, condition);
	}
	uint64_t never;
	if (ir_is_const(loop->ir, search, &never)) {
		if (never)
			return error_create(ERR_UNSUPPORTED, "leaves in its first iteration");
		return NULL;
	}
	if (loop_depends(loop, search, IR_OPAQUE, ~0ull))
		return error_create(ERR_UNSUPPORTED,
				    "an exit depends on an instruction without a meaning here");
	loop->search = search;
	return mind_search(loop);
}

struct error *loop_find_trip(struct loop *loop)
{
	TRY(bound_or_search(loop));
	return loop->any_carried ? care_for_carried(loop) : NULL;
}
