/* Rules:
 * 1. Constants fold; in a commutative operation the constant stands second, otherwise the
 *    smaller number first.
 * 2. A sum keeps at most one constant, outermost; x - c is x + (-c).
 * 3. Cutting (EXTRACT) goes inwards as far as it can: compilers compute in 64 bits what they
 *    need in 8.
 * 4. Masks of low bits are ZEXT of EXTRACT.
 * 5. Conditions are 1-bit values; selections by them are ITE, also when written with masks. */
#include "learn/ir_simplify.h"

static const struct ir_node *at(const struct ir *ir, ir_ref ref)
{
	return ir_get(ir, ref);
}

static bool is_value(const struct ir *ir, ir_ref ref, uint64_t value)
{
	uint64_t have;
	return ir_is_const(ir, ref, &have) && have == (value & ir_mask(ir_width(ir, ref)));
}

/* x + c split into x and c; false when ref has no constant part. */
static bool split_sum(const struct ir *ir, ir_ref ref, ir_ref *x_ret, uint64_t *c_ret)
{
	const struct ir_node *node = at(ir, ref);
	if (node->op != IR_ADD || node->lane || !ir_is_const(ir, node->args[1], c_ret))
		return false;
	*x_ret = node->args[0];
	return true;
}

static ir_ref rule_add(struct ir *ir, const struct ir_node *node)
{
	ir_ref a = node->args[0], b = node->args[1], x;
	uint64_t c, d;
	if (ir_is_const(ir, b, &c)) {
		if (c == 0)
			return a;
		if (split_sum(ir, a, &x, &d))
			return ir_binary(ir, IR_ADD, x, ir_const(ir, node->width, c + d));
		return IR_NONE;
	}
	if (split_sum(ir, a, &x, &c))
		return ir_binary(ir, IR_ADD, ir_binary(ir, IR_ADD, x, b),
				 ir_const(ir, node->width, c));
	if (split_sum(ir, b, &x, &c))
		return ir_binary(ir, IR_ADD, ir_binary(ir, IR_ADD, a, x),
				 ir_const(ir, node->width, c));
	return IR_NONE;
}

static ir_ref rule_sub(struct ir *ir, const struct ir_node *node)
{
	ir_ref a = node->args[0], b = node->args[1], x;
	uint64_t c;
	if (a == b)
		return ir_const(ir, node->width, 0);
	if (ir_is_const(ir, b, &c))
		return ir_binary(ir, IR_ADD, a, ir_const(ir, node->width, 0 - c));
	if (split_sum(ir, a, &x, &c))
		return ir_binary(ir, IR_ADD, ir_binary(ir, IR_SUB, x, b),
				 ir_const(ir, node->width, c));
	return IR_NONE;
}

/* (a + b c) d where c d is a multiple of 2^width: what alignment checks of counters are. */
static ir_ref rule_mul_vanishing(struct ir *ir, const struct ir_node *node, uint64_t factor)
{
	const struct ir_node sum = *at(ir, node->args[0]);
	if (sum.op != IR_ADD || sum.lane)
		return IR_NONE;
	for (unsigned side = 0; side < 2; side++) {
		const struct ir_node product = *at(ir, sum.args[side]);
		uint64_t inner;
		if (product.op == IR_MUL && !product.lane &&
		    ir_is_const(ir, product.args[1], &inner) &&
		    ((inner * factor) & ir_mask(node->width)) == 0)
			return ir_binary(ir, IR_MUL, sum.args[!side], node->args[1]);
	}
	return IR_NONE;
}

static ir_ref rule_mul(struct ir *ir, const struct ir_node *node)
{
	uint64_t factor;
	if (!ir_is_const(ir, node->args[1], &factor))
		return IR_NONE;
	if (factor == 0)
		return node->args[1];
	return factor == 1 ? node->args[0] : rule_mul_vanishing(ir, node, factor);
}

/* NOT of a mask made from a condition: the condition's opposite. */
static bool mask_condition(const struct ir *ir, ir_ref ref, ir_ref *condition_ret,
			   bool *inverted_ret)
{
	const struct ir_node *node = at(ir, ref);
	if (node->op == IR_XOR && !node->lane && is_value(ir, node->args[1], ~0ull)) {
		bool inner;
		if (!mask_condition(ir, node->args[0], condition_ret, &inner))
			return false;
		*inverted_ret = !inner;
		return true;
	}
	if (node->op != IR_SEXT || ir_width(ir, node->args[0]) != 1)
		return false;
	*condition_ret = node->args[0];
	*inverted_ret = false;
	return true;
}

static ir_ref and_with_mask(struct ir *ir, ir_ref mask, ir_ref value)
{
	ir_ref condition, zero = ir_const(ir, ir_width(ir, value), 0);
	bool inverted;
	if (ir_width(ir, value) == 1 || !mask_condition(ir, mask, &condition, &inverted))
		return IR_NONE;
	return inverted ? ir_ite(ir, condition, zero, value)
			: ir_ite(ir, condition, value, zero);
}

static ir_ref rule_and(struct ir *ir, const struct ir_node *node)
{
	ir_ref a = node->args[0], b = node->args[1];
	uint64_t c;
	if (a == b || is_value(ir, b, ~0ull))
		return a;
	if (is_value(ir, b, 0))
		return b;
	if (ir_is_const(ir, b, &c)) {
		if ((c & (c + 1)) == 0)
			return ir_zext(ir, node->width,
				       ir_extract(ir, a, 0, (uint8_t)__builtin_popcountll(c)));
		return IR_NONE;
	}
	if (node->width == 1)
		return ir_not(ir, a) == b ? ir_const(ir, 1, 0) : IR_NONE;
	ir_ref result = and_with_mask(ir, a, b);
	return result ? result : and_with_mask(ir, b, a);
}

/* ITE(c, x, 0) | ITE(c, 0, y) is ITE(c, x, y). */
static ir_ref or_of_selections(struct ir *ir, ir_ref a, ir_ref b)
{
	struct ir_node x = *at(ir, a), y = *at(ir, b);
	if (x.op != IR_ITE || y.op != IR_ITE || x.args[0] != y.args[0])
		return IR_NONE;
	if (is_value(ir, x.args[2], 0) && is_value(ir, y.args[1], 0))
		return ir_ite(ir, x.args[0], x.args[1], y.args[2]);
	if (is_value(ir, x.args[1], 0) && is_value(ir, y.args[2], 0))
		return ir_ite(ir, x.args[0], y.args[1], x.args[2]);
	return IR_NONE;
}

/* (p & c) | (p & ~c) is p, c | ~c is 1: what merging the two sides of a branch leaves. */
static ir_ref or_of_conditions(struct ir *ir, ir_ref a, ir_ref b)
{
	if (ir_not(ir, a) == b)
		return ir_const(ir, 1, 1);
	struct ir_node x = *at(ir, a), y = *at(ir, b);
	if (x.op != IR_AND || y.op != IR_AND)
		return IR_NONE;
	for (unsigned i = 0; i < 4; i++) {
		ir_ref p = x.args[i & 1], c = x.args[!(i & 1)], d = y.args[!(i >> 1)];
		if (p == y.args[i >> 1] && ir_not(ir, c) == d)
			return p;
	}
	return IR_NONE;
}

/* value & mask, in either order, where mask is a comparison of signed lanes (or its inverse).
 */
static bool is_masked(const struct ir *ir, ir_ref ref, ir_ref *value_ret, ir_ref *mask_ret,
		      bool *inverted_ret)
{
	const struct ir_node *node = at(ir, ref);
	for (unsigned side = 0; node->op == IR_AND && side < 2; side++) {
		ir_ref mask = node->args[side];
		const struct ir_node *inner = at(ir, mask);
		bool inverted = inner->op == IR_XOR && is_value(ir, inner->args[1], ~0ull);
		mask = inverted ? inner->args[0] : mask;
		if (at(ir, mask)->op != IR_MASKGT)
			continue;
		*value_ret = node->args[!side];
		*mask_ret = mask;
		*inverted_ret = inverted;
		return true;
	}
	return false;
}

/* (x & (a > b)) | (y & ~(a > b)) with {x, y} = {a, b}: how SSE2 spells max and min. */
static ir_ref or_of_masked(struct ir *ir, ir_ref a, ir_ref b)
{
	ir_ref x, y, mask, other;
	bool first, second;
	if (!is_masked(ir, a, &x, &mask, &first) || !is_masked(ir, b, &y, &other, &second) ||
	    mask != other || first == second)
		return IR_NONE;
	const struct ir_node greater = *at(ir, mask);
	ir_ref kept = first ? y : x, left = first ? x : y;
	if (kept == greater.args[0] && left == greater.args[1])
		return ir_lanes(ir, IR_MAXS, greater.lane, kept, left);
	if (kept == greater.args[1] && left == greater.args[0])
		return ir_lanes(ir, IR_MINS, greater.lane, kept, left);
	return IR_NONE;
}

static ir_ref rule_or(struct ir *ir, const struct ir_node *node)
{
	ir_ref a = node->args[0], b = node->args[1];
	if (a == b || is_value(ir, b, 0))
		return a;
	if (is_value(ir, b, ~0ull))
		return b;
	if (node->width == 1)
		return or_of_conditions(ir, a, b);
	ir_ref selected = node->width == 64 ? or_of_masked(ir, a, b) : IR_NONE;
	return selected ? selected : or_of_selections(ir, a, b);
}

static ir_ref rule_xor(struct ir *ir, const struct ir_node *node)
{
	ir_ref a = node->args[0], b = node->args[1];
	uint64_t c, d;
	if (a == b)
		return ir_const(ir, node->width, 0);
	if (is_value(ir, b, 0))
		return a;
	const struct ir_node inner = *at(ir, a);
	if (ir_is_const(ir, b, &c) && inner.op == IR_XOR && !inner.lane &&
	    ir_is_const(ir, inner.args[1], &d))
		return ir_binary(ir, IR_XOR, inner.args[0], ir_const(ir, node->width, c ^ d));
	if (node->width > 1 && is_value(ir, b, ~0ull) && inner.op == IR_SEXT &&
	    ir_width(ir, inner.args[0]) == 1)
		return ir_sext(ir, node->width, ir_not(ir, inner.args[0]));
	return IR_NONE;
}

static ir_ref rule_shift(struct ir *ir, const struct ir_node *node)
{
	uint64_t by;
	if (!ir_is_const(ir, node->args[1], &by))
		return IR_NONE;
	if (by == 0)
		return node->args[0];
	unsigned width = node->width;
	if (node->op == IR_SHL && by < width)
		return ir_binary(ir, IR_MUL, node->args[0],
				 ir_const(ir, node->width, 1ull << by));
	if (node->op == IR_SHR && by < width)
		return ir_zext(
			ir, node->width,
			ir_extract(ir, node->args[0], (unsigned)by, (uint8_t)(width - by)));
	return IR_NONE;
}

static ir_ref rule_eq(struct ir *ir, const struct ir_node *node)
{
	ir_ref a = node->args[0], b = node->args[1], x = a, y = b;
	uint64_t c = 0, d = 0;
	if (a == b)
		return ir_const(ir, 1, 1);
	if (!ir_is_const(ir, b, &c)) { /* x + c = x + d */
		split_sum(ir, a, &x, &c);
		split_sum(ir, b, &y, &d);
		return x == y ? ir_const(ir, 1, c == d) : IR_NONE;
	}
	const struct ir_node inner = *at(ir, a);
	if (ir_width(ir, a) == 1)
		return c ? a : ir_not(ir, a);
	if (inner.op == IR_ZEXT) {
		uint8_t width = ir_width(ir, inner.args[0]);
		if (c > ir_mask(width))
			return ir_const(ir, 1, 0);
		return ir_binary(ir, IR_EQ, inner.args[0], ir_const(ir, width, c));
	}
	if (inner.op == IR_SUB && !inner.lane && c == 0)
		return ir_binary(ir, IR_EQ, inner.args[0], inner.args[1]);
	if (inner.op == IR_XOR && !inner.lane && c == 0)
		return ir_binary(ir, IR_EQ, inner.args[0], inner.args[1]);
	if (split_sum(ir, a, &x, &d))
		return ir_binary(ir, IR_EQ, x, ir_const(ir, inner.width, c - d));
	return IR_NONE;
}

static ir_ref rule_less(struct ir *ir, const struct ir_node *node)
{
	ir_ref a = node->args[0], b = node->args[1];
	if (a == b)
		return ir_const(ir, 1, 0);
	if (node->op == IR_LTU && is_value(ir, b, 0))
		return ir_const(ir, 1, 0);
	const struct ir_node x = *at(ir, a), y = *at(ir, b);
	uint64_t c;
	if (node->op == IR_LTU && x.op == IR_ZEXT && ir_is_const(ir, b, &c)) {
		uint8_t width = ir_width(ir, x.args[0]);
		if (c > ir_mask(width))
			return ir_const(ir, 1, 1);
		return ir_binary(ir, IR_LTU, x.args[0], ir_const(ir, width, c));
	}
	if (node->op == IR_LTU && x.op == IR_ZEXT && y.op == IR_ZEXT &&
	    ir_width(ir, x.args[0]) == ir_width(ir, y.args[0]))
		return ir_binary(ir, IR_LTU, x.args[0], y.args[0]);
	return IR_NONE;
}

static ir_ref rule_ite(struct ir *ir, const struct ir_node *node)
{
	ir_ref c = node->args[0], a = node->args[1], b = node->args[2];
	uint64_t value;
	if (a == b)
		return a;
	if (ir_is_const(ir, c, &value))
		return value ? a : b;
	struct ir_node condition = *at(ir, c);
	if (condition.op == IR_XOR && is_value(ir, condition.args[1], 1))
		return ir_ite(ir, condition.args[0], b, a);
	if (is_value(ir, a, 1) && is_value(ir, b, 0))
		return ir_zext(ir, node->width, c);
	if (is_value(ir, a, 0) && is_value(ir, b, 1))
		return ir_zext(ir, node->width, ir_not(ir, c));
	if (node->width > 1 && is_value(ir, a, ~0ull) && is_value(ir, b, 0))
		return ir_sext(ir, node->width, c);
	if (node->width == 1 && is_value(ir, b, 0))
		return ir_binary(ir, IR_AND, c, a);
	if (node->width == 1 && is_value(ir, a, 1))
		return ir_binary(ir, IR_OR, c, b);
	if (at(ir, a)->op == IR_ITE && at(ir, a)->args[0] == c)
		return ir_ite(ir, c, at(ir, a)->args[1], b);
	if (at(ir, b)->op == IR_ITE && at(ir, b)->args[0] == c)
		return ir_ite(ir, c, a, at(ir, b)->args[2]);
	return IR_NONE;
}

static ir_ref rule_extend(struct ir *ir, const struct ir_node *node)
{
	struct ir_node inner = *at(ir, node->args[0]);
	if (inner.op == IR_ZEXT)
		return ir_zext(ir, node->width, inner.args[0]);
	if (node->op == IR_SEXT && inner.op == IR_SEXT)
		return ir_sext(ir, node->width, inner.args[0]);
	return IR_NONE;
}

static ir_ref extract_of_extend(struct ir *ir, const struct ir_node *inner, unsigned low,
				uint8_t width)
{
	uint8_t have = ir_width(ir, inner->args[0]);
	if (low + width <= have)
		return ir_extract(ir, inner->args[0], low, width);
	if (inner->op == IR_ZEXT && low >= have)
		return ir_const(ir, width, 0);
	if (inner->op == IR_ZEXT)
		return ir_zext(ir, width,
			       ir_extract(ir, inner->args[0], low, (uint8_t)(have - low)));
	if (low == 0)
		return ir_sext(ir, width, inner->args[0]);
	return IR_NONE;
}

static ir_ref extract_of_concat(struct ir *ir, const struct ir_node *inner, unsigned low,
				uint8_t width)
{
	uint8_t split = ir_width(ir, inner->args[1]);
	if (low + width <= split)
		return ir_extract(ir, inner->args[1], low, width);
	if (low >= split)
		return ir_extract(ir, inner->args[0], low - split, width);
	return IR_NONE;
}

/* Cutting it costs nothing: it is made of pieces. */
static bool is_pieces(const struct ir *ir, ir_ref ref)
{
	unsigned op = at(ir, ref)->op;
	return op == IR_CONST || op == IR_CONCAT || op == IR_ZEXT || op == IR_SEXT;
}

/* Of a high part of what is no pieces: two cuts for one, and the shift of a rotation is gone.
 */
static bool is_better_whole(const struct ir *ir, const struct ir_node *inner, unsigned low)
{
	return low > 0 && !is_pieces(ir, inner->args[0]) && !is_pieces(ir, inner->args[1]);
}

static ir_ref extract_of_binary(struct ir *ir, const struct ir_node *inner, unsigned low,
				uint8_t width)
{
	ir_ref a = ir_extract(ir, inner->args[0], low, width);
	ir_ref b = ir_extract(ir, inner->args[1], low, width);
	return ir_binary(ir, inner->op, a, b);
}

/* A cut of a sum at its top bit asks for its sign. */
static bool is_sign(const struct ir_node *inner, unsigned low, uint8_t width)
{
	return width == 1 && low == inner->width - 1u && inner->width > 1 &&
	       (inner->op == IR_ADD || inner->op == IR_SUB || inner->op == IR_INIT ||
		inner->op == IR_LOAD || (inner->op == IR_EXTRACT && inner->imm == 0));
}

static ir_ref rule_extract(struct ir *ir, const struct ir_node *node)
{
	struct ir_node inner = *at(ir, node->args[0]);
	unsigned low = (unsigned)node->imm;
	if (inner.lane)
		return IR_NONE;
	if (is_sign(&inner, low, node->width))
		return ir_binary(ir, IR_LTS, node->args[0], ir_const(ir, inner.width, 0));
	switch (inner.op) {
	case IR_EXTRACT:
		return ir_extract(ir, inner.args[0], low + (unsigned)inner.imm, node->width);
	case IR_ZEXT:
	case IR_SEXT:
		return extract_of_extend(ir, &inner, low, node->width);
	case IR_CONCAT:
		return extract_of_concat(ir, &inner, low, node->width);
	case IR_AND:
	case IR_OR:
	case IR_XOR:
		return is_better_whole(ir, &inner, low)
			       ? IR_NONE
			       : extract_of_binary(ir, &inner, low, node->width);
	case IR_ADD:
	case IR_SUB:
	case IR_MUL:
		return low == 0 ? extract_of_binary(ir, &inner, low, node->width) : IR_NONE;
	case IR_ITE: {
		ir_ref a = ir_extract(ir, inner.args[1], low, node->width);
		ir_ref b = ir_extract(ir, inner.args[2], low, node->width);
		return ir_ite(ir, inner.args[0], a, b);
	}
	default:
		return IR_NONE;
	}
}

static ir_ref rule_concat(struct ir *ir, const struct ir_node *node)
{
	struct ir_node high = *at(ir, node->args[0]), low = *at(ir, node->args[1]);
	if (is_value(ir, node->args[0], 0))
		return ir_zext(ir, node->width, node->args[1]);
	if (high.op == IR_EXTRACT && low.op == IR_EXTRACT && high.args[0] == low.args[0] &&
	    high.imm == low.imm + low.width)
		return ir_extract(ir, high.args[0], (unsigned)low.imm, node->width);
	return IR_NONE;
}

static ir_ref fold(struct ir *ir, const struct ir_node *node)
{
	uint64_t args[3] = { 0 };
	unsigned arity = ir_arity(node->op);
	if (arity == 0)
		return IR_NONE;
	for (unsigned i = 0; i < arity; i++)
		if (!ir_is_const(ir, node->args[i], &args[i]))
			return IR_NONE;
	uint8_t widths[2] = { ir_width(ir, node->args[0]), ir_width(ir, node->args[1]) };
	return ir_const(ir, node->width, ir_eval_op(node, widths, args));
}

static bool commutes(unsigned op)
{
	static const bool table[IR_OP_COUNT] = {
#define IR_OP_COMMUTES(name, args, does) does,
		IR_OPS(IR_OP_COMMUTES)
#undef IR_OP_COMMUTES
	};
	return table[op];
}

static ir_ref reorder(struct ir *ir, const struct ir_node *node)
{
	ir_ref a = node->args[0], b = node->args[1];
	bool a_const = ir_is_const(ir, a, NULL), b_const = ir_is_const(ir, b, NULL);
	if (!commutes(node->op) || (a_const == b_const ? a <= b : b_const))
		return IR_NONE;
	if (node->lane)
		return ir_lanes(ir, node->op, node->lane, b, a);
	return ir_binary(ir, node->op, b, a);
}

ir_ref ir_simplify(struct ir *ir, const struct ir_node *node)
{
	ir_ref simple = fold(ir, node);
	if (!simple)
		simple = reorder(ir, node);
	if (simple || node->lane)
		return simple;
	switch (node->op) {
	case IR_ADD:
		return rule_add(ir, node);
	case IR_SUB:
		return rule_sub(ir, node);
	case IR_MUL:
		return rule_mul(ir, node);
	case IR_AND:
		return rule_and(ir, node);
	case IR_OR:
		return rule_or(ir, node);
	case IR_XOR:
		return rule_xor(ir, node);
	case IR_SHL:
	case IR_SHR:
	case IR_SAR:
		return rule_shift(ir, node);
	case IR_EQ:
		return rule_eq(ir, node);
	case IR_LTU:
	case IR_LTS:
		return rule_less(ir, node);
	case IR_ITE:
		return rule_ite(ir, node);
	case IR_ZEXT:
	case IR_SEXT:
		return rule_extend(ir, node);
	case IR_EXTRACT:
		return rule_extract(ir, node);
	case IR_CONCAT:
		return rule_concat(ir, node);
	default:
		return IR_NONE;
	}
}
