/* Concrete meaning of the expression language. */
#include "base/error.h"
#include "learn/ir.h"

static int64_t sign_extend(uint64_t value, unsigned width)
{
	unsigned up = 64 - width;
	return (int64_t)(value << up) >> up;
}

static uint64_t eval_shift(unsigned op, unsigned width, uint64_t value, uint64_t by)
{
	if (op == IR_SAR)
		return (uint64_t)(sign_extend(value, width) >> (by >= width ? width - 1 : by));
	if (by >= width)
		return 0;
	return op == IR_SHL ? value << by : value >> by;
}

static uint64_t eval_mul_high(unsigned op, unsigned width, uint64_t a, uint64_t b)
{
	if (op == IR_MULHU)
		return (uint64_t)(((unsigned __int128)a * b) >> width);
	return (uint64_t)(((__int128)sign_extend(a, width) * sign_extend(b, width)) >> width);
}

static uint64_t eval_count(unsigned op, unsigned width, uint64_t a)
{
	if (a == 0)
		return width;
	if (op == IR_CTZ)
		return (uint64_t)__builtin_ctzll(a);
	return (uint64_t)__builtin_clzll(a) - (64 - width);
}

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
	return value < low ? low : value > high ? high : value;
}

/* Saturating sums of lanes below 64 bits. */
static uint64_t eval_saturate(unsigned op, unsigned width, uint64_t a, uint64_t b)
{
	int64_t high = (int64_t)ir_mask(width), half = (int64_t)(1ull << (width - 1));
	int64_t sa = sign_extend(a, width), sb = sign_extend(b, width);
	switch (op) {
	case IR_ADDSU:
		return (uint64_t)clamp((int64_t)(a + b), 0, high);
	case IR_SUBSU:
		return a < b ? 0 : a - b;
	case IR_ADDSS:
		return (uint64_t)clamp(sa + sb, -half, half - 1);
	default:
		return (uint64_t)clamp(sa - sb, -half, half - 1);
	}
}

static uint64_t eval_select(unsigned op, unsigned width, uint64_t a, uint64_t b)
{
	int64_t sa = sign_extend(a, width), sb = sign_extend(b, width);
	switch (op) {
	case IR_MINU:
		return a < b ? a : b;
	case IR_MAXU:
		return a < b ? b : a;
	case IR_MINS:
		return sa < sb ? a : b;
	case IR_MAXS:
		return sa < sb ? b : a;
	case IR_AVGU:
		return (uint64_t)(((unsigned __int128)a + b + 1) >> 1);
	case IR_MASKEQ:
		return a == b ? ~0ull : 0;
	default:
		return sa > sb ? ~0ull : 0; /* MASKGT */
	}
}

static uint64_t eval_scalar(unsigned op, unsigned width, unsigned arg_width,
			    const uint64_t args[3], uint64_t imm)
{
	uint64_t a = args[0], b = args[1];
	switch (op) {
	case IR_ADD:
		return a + b;
	case IR_SUB:
		return a - b;
	case IR_MUL:
		return a * b;
	case IR_MULHU:
	case IR_MULHS:
		return eval_mul_high(op, arg_width, a, b);
	case IR_UDIV:
		return b ? a / b : ~0ull;
	case IR_UREM:
		return b ? a % b : a;
	case IR_AND:
		return a & b;
	case IR_OR:
		return a | b;
	case IR_XOR:
		return a ^ b;
	case IR_SHL:
	case IR_SHR:
	case IR_SAR:
		return eval_shift(op, width, a, b);
	case IR_EQ:
		return a == b;
	case IR_LTU:
		return a < b;
	case IR_LTS:
		return sign_extend(a, arg_width) < sign_extend(b, arg_width);
	case IR_ITE:
		return a ? b : args[2];
	case IR_ZEXT:
		return a;
	case IR_SEXT:
		return (uint64_t)sign_extend(a, arg_width);
	case IR_EXTRACT:
		return a >> imm;
	case IR_CLZ:
	case IR_CTZ:
		return eval_count(op, arg_width, a);
	case IR_ADDSU:
	case IR_ADDSS:
	case IR_SUBSU:
	case IR_SUBSS:
		return eval_saturate(op, width, a, b);
	default:
		return eval_select(op, width, a, b);
	}
}

static uint64_t lane_of(uint64_t value, unsigned lane, unsigned index)
{
	return (value >> (lane * index)) & ir_mask(lane);
}

static uint64_t eval_unpack(unsigned op, unsigned lane, uint64_t a, uint64_t b)
{
	unsigned half = 32 / lane, from = op == IR_UNPKH ? half : 0;
	uint64_t value = 0;
	for (unsigned i = 0; i < half; i++) {
		value |= lane_of(a, lane, from + i) << (2 * i * lane);
		value |= lane_of(b, lane, from + i) << ((2 * i + 1) * lane);
	}
	return value;
}

static uint64_t eval_pack(unsigned op, unsigned lane, uint64_t a, uint64_t b)
{
	unsigned count = 64 / lane, half = lane / 2;
	int64_t limit = (int64_t)(1ull << (half - 1));
	uint64_t value = 0;
	for (unsigned i = 0; i < 2 * count; i++) {
		uint64_t in = lane_of(i < count ? a : b, lane, i % count);
		int64_t out = sign_extend(in, lane);
		if (op == IR_PACKSS)
			out = clamp(out, -limit, limit - 1);
		else if (op == IR_PACKUS)
			out = clamp(out, 0, (int64_t)ir_mask(half));
		value |= ((uint64_t)out & ir_mask(half)) << (i * half);
	}
	return value;
}

static uint64_t eval_lanes(const struct ir_node *node, uint64_t a, uint64_t b)
{
	unsigned lane = node->lane;
	uint64_t value = 0;
	switch (node->op) {
	case IR_UNPKL:
	case IR_UNPKH:
		return eval_unpack(node->op, lane, a, b);
	case IR_PACKT:
	case IR_PACKSS:
	case IR_PACKUS:
		return eval_pack(node->op, lane, a, b);
	case IR_MOVMSK:
		for (unsigned i = 0; i < 64 / lane; i++)
			value |= (lane_of(a, lane, i) >> (lane - 1)) << i;
		return value;
	default:
		for (unsigned i = 0; i < 64 / lane; i++) {
			uint64_t args[3] = { lane_of(a, lane, i), lane_of(b, lane, i), 0 };
			value |= (eval_scalar(node->op, lane, lane, args, 0) & ir_mask(lane))
				 << (i * lane);
		}
		return value;
	}
}

uint64_t ir_eval_op(const struct ir_node *node, const uint8_t arg_widths[2],
		    const uint64_t args[3])
{
	if (node->op == IR_CONCAT)
		return (args[0] << arg_widths[1]) | args[1];
	if (node->lane)
		return eval_lanes(node, args[0], args[1]);
	return eval_scalar(node->op, node->width, arg_widths[0], args, node->imm) &
	       ir_mask(node->width);
}

uint64_t ir_eval(const struct ir *ir, ir_ref ref, const struct ir_env *env, uint64_t *memo,
		 uint8_t *done)
{
	if (done[ref])
		return memo[ref];
	const struct ir_node *node = ir_get(ir, ref);
	uint64_t args[3] = { 0 };
	for (unsigned i = 0; i < ir_arity(node->op); i++)
		args[i] = ir_eval(ir, node->args[i], env, memo, done);
	uint8_t widths[2] = { ir_width(ir, node->args[0]), ir_width(ir, node->args[1]) };
	if (node->op == IR_CONST)
		memo[ref] = node->imm;
	else if (ir_arity(node->op) == 0)
		memo[ref] = env->leaf(env->user, node) & ir_mask(node->width);
	else
		memo[ref] = ir_eval_op(node, widths, args);
	done[ref] = 1;
	return memo[ref];
}
