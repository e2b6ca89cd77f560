/* Division of a double-width number: DIV and IDIV. They fault where the quotient does not fit
 * or the divisor is 0; that, and numerators of more than one width, is told as `wrong`, which
 * the executor makes a way out of the loop. A kernel that takes it stops one iteration early.
 */
#include "learn/vex_ops.h"

static ir_ref zero(struct ir *ir, ir_ref like)
{
	return ir_const(ir, ir_width(ir, like), 0);
}

static ir_ref negative(struct ir *ir, ir_ref a)
{
	return ir_binary(ir, IR_LTS, a, zero(ir, a));
}

static ir_ref negated_if(struct ir *ir, ir_ref condition, ir_ref a)
{
	return ir_ite(ir, condition, ir_binary(ir, IR_SUB, zero(ir, a), a), a);
}

struct division {
	ir_ref quotient, remainder, wrong;
};

static void divide(struct ir *ir, bool is_signed, ir_ref a, ir_ref b, struct division *ret)
{
	if (!is_signed) {
		ret->quotient = ir_binary(ir, IR_UDIV, a, b);
		ret->remainder = ir_binary(ir, IR_UREM, a, b);
		return;
	}
	ir_ref low = negative(ir, a), below = negative(ir, b);
	ir_ref size = negated_if(ir, low, a), by = negated_if(ir, below, b);
	ret->quotient = negated_if(ir, ir_binary(ir, IR_XOR, low, below),
				   ir_binary(ir, IR_UDIV, size, by));
	ret->remainder = negated_if(ir, low, ir_binary(ir, IR_UREM, size, by));
}

/* high:low by b, where high says nothing but low's sign. */
static struct division divide_long(struct ir *ir, bool is_signed, ir_ref high, ir_ref low,
				   ir_ref b)
{
	struct division d;
	uint8_t width = ir_width(ir, b);
	ir_ref top = ir_const(ir, width, width - 1u);
	ir_ref above = is_signed ? ir_binary(ir, IR_SAR, low, top) : zero(ir, b);
	ir_ref more = ir_not(ir, ir_binary(ir, IR_EQ, high, above));
	divide(ir, is_signed, low, b, &d);
	d.wrong = ir_binary(ir, IR_OR, ir_binary(ir, IR_EQ, b, zero(ir, b)), more);
	if (is_signed) { /* the least number by -1 */
		ir_ref least = ir_const(ir, width, 1ull << (width - 1));
		ir_ref minus = ir_const(ir, width, ~0ull);
		d.wrong = ir_binary(ir, IR_OR, d.wrong,
				    ir_binary(ir, IR_AND, ir_binary(ir, IR_EQ, low, least),
					      ir_binary(ir, IR_EQ, b, minus)));
	}
	return d;
}

/* libVEX gives the remainder above the quotient. */
struct vex_value vex_divide(struct ir *ir, IROp op, struct vex_value a, struct vex_value b,
			    ir_ref *wrong_ret)
{
	struct division d;
	bool is_signed = op == Iop_DivModS64to32 || op == Iop_DivModS128to64;
	switch (op) {
	case Iop_DivModU64to32:
	case Iop_DivModS64to32:
		d = divide_long(ir, is_signed, ir_extract(ir, a.part[0], 32, 32),
				ir_extract(ir, a.part[0], 0, 32), b.part[0]);
		*wrong_ret = d.wrong;
		return vex_scalar(ir_concat(ir, d.remainder, d.quotient));
	case Iop_DivModU128to64:
	case Iop_DivModS128to64:
		d = divide_long(ir, is_signed, a.part[1], a.part[0], b.part[0]);
		*wrong_ret = d.wrong;
		return (struct vex_value){ 2, { d.quotient, d.remainder } };
	default:
		return (struct vex_value){ 0 };
	}
}
