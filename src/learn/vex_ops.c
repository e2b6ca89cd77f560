#include "learn/vex_ops.h"

static const struct vex_value no_value;

#define CASES4(op)         \
	case Iop_##op##8:  \
	case Iop_##op##16: \
	case Iop_##op##32: \
	case Iop_##op##64

static struct vex_value extended(struct ir *ir, enum ir_op op, uint8_t width, ir_ref a)
{
	return vex_scalar(op == IR_ZEXT ? ir_zext(ir, width, a) : ir_sext(ir, width, a));
}

static struct vex_value unop_width(struct ir *ir, IROp op, ir_ref a)
{
	switch (op) {
	case Iop_1Uto8:
		return extended(ir, IR_ZEXT, 8, a);
	case Iop_8Uto16:
		return extended(ir, IR_ZEXT, 16, a);
	case Iop_1Uto32:
	case Iop_8Uto32:
	case Iop_16Uto32:
		return extended(ir, IR_ZEXT, 32, a);
	case Iop_1Uto64:
	case Iop_8Uto64:
	case Iop_16Uto64:
	case Iop_32Uto64:
		return extended(ir, IR_ZEXT, 64, a);
	case Iop_1Sto8:
		return extended(ir, IR_SEXT, 8, a);
	case Iop_1Sto16:
	case Iop_8Sto16:
		return extended(ir, IR_SEXT, 16, a);
	case Iop_1Sto32:
	case Iop_8Sto32:
	case Iop_16Sto32:
		return extended(ir, IR_SEXT, 32, a);
	case Iop_1Sto64:
	case Iop_8Sto64:
	case Iop_16Sto64:
	case Iop_32Sto64:
		return extended(ir, IR_SEXT, 64, a);
	case Iop_32to1:
	case Iop_64to1:
		return vex_scalar(ir_extract(ir, a, 0, 1));
	case Iop_16to8:
	case Iop_32to8:
	case Iop_64to8:
		return vex_scalar(ir_extract(ir, a, 0, 8));
	case Iop_32to16:
	case Iop_64to16:
		return vex_scalar(ir_extract(ir, a, 0, 16));
	case Iop_64to32:
		return vex_scalar(ir_extract(ir, a, 0, 32));
	case Iop_16HIto8:
		return vex_scalar(ir_extract(ir, a, 8, 8));
	case Iop_32HIto16:
		return vex_scalar(ir_extract(ir, a, 16, 16));
	case Iop_64HIto32:
		return vex_scalar(ir_extract(ir, a, 32, 32));
	default:
		return no_value;
	}
}

static ir_ref zero_like(struct ir *ir, ir_ref a)
{
	return ir_const(ir, ir_width(ir, a), 0);
}

static ir_ref not_zero(struct ir *ir, ir_ref a)
{
	return ir_not(ir, ir_binary(ir, IR_EQ, a, zero_like(ir, a)));
}

static struct vex_value unop_scalar(struct ir *ir, IROp op, ir_ref a)
{
	uint8_t width = ir_width(ir, a);
	switch (op) {
	case Iop_Not1:
		CASES4(Not) : return vex_scalar(ir_not(ir, a));
		CASES4(CmpNEZ) : return vex_scalar(not_zero(ir, a));
	case Iop_CmpwNEZ32:
	case Iop_CmpwNEZ64:
		return vex_scalar(ir_sext(ir, width, not_zero(ir, a)));
		CASES4(Left)
		    : return vex_scalar(ir_binary(ir, IR_OR, a,
						  ir_binary(ir, IR_SUB, zero_like(ir, a), a)));
	case Iop_Clz64:
	case Iop_ClzNat64:
	case Iop_Clz32:
	case Iop_ClzNat32:
		return vex_scalar(ir_unary(ir, IR_CLZ, width, a));
	case Iop_Ctz64:
	case Iop_CtzNat64:
	case Iop_Ctz32:
	case Iop_CtzNat32:
		return vex_scalar(ir_unary(ir, IR_CTZ, width, a));
	case Iop_ReinterpF64asI64:
	case Iop_ReinterpI64asF64:
	case Iop_ReinterpF32asI32:
	case Iop_ReinterpI32asF32:
		return vex_scalar(a);
	default:
		return unop_width(ir, op, a);
	}
}

struct vex_value vex_unop(struct ir *ir, IROp op, struct vex_value a)
{
	struct vex_value value = vex_vector_unop(ir, op, a);
	if (value.parts || a.parts != 1)
		return value;
	return unop_scalar(ir, op, a.part[0]);
}

/* The shift amount of libVEX has 8 bits. */
static ir_ref shift_amount(struct ir *ir, uint8_t width, ir_ref by)
{
	return width < ir_width(ir, by) ? ir_extract(ir, by, 0, width) : ir_zext(ir, width, by);
}

static struct vex_value binop_arith(struct ir *ir, IROp op, ir_ref a, ir_ref b)
{
	switch (op) {
		CASES4(Add) : return vex_scalar(ir_binary(ir, IR_ADD, a, b));
		CASES4(Sub) : return vex_scalar(ir_binary(ir, IR_SUB, a, b));
		CASES4(Mul) : return vex_scalar(ir_binary(ir, IR_MUL, a, b));
	case Iop_Or1:
		CASES4(Or) : return vex_scalar(ir_binary(ir, IR_OR, a, b));
	case Iop_And1:
		CASES4(And) : return vex_scalar(ir_binary(ir, IR_AND, a, b));
		CASES4(Xor) : return vex_scalar(ir_binary(ir, IR_XOR, a, b));
		CASES4(Shl)
		    : return vex_scalar(
			      ir_binary(ir, IR_SHL, a, shift_amount(ir, ir_width(ir, a), b)));
		CASES4(Shr)
		    : return vex_scalar(
			      ir_binary(ir, IR_SHR, a, shift_amount(ir, ir_width(ir, a), b)));
		CASES4(Sar)
		    : return vex_scalar(
			      ir_binary(ir, IR_SAR, a, shift_amount(ir, ir_width(ir, a), b)));
	case Iop_Max32U:
		return vex_scalar(ir_ite(ir, ir_binary(ir, IR_LTU, a, b), b, a));
	case Iop_DivU32:
	case Iop_DivU64:
		return vex_scalar(ir_binary(ir, IR_UDIV, a, b));
	default:
		return no_value;
	}
}

static struct vex_value less(struct ir *ir, enum ir_op op, bool or_equal, ir_ref a, ir_ref b)
{
	if (or_equal) /* a <= b is not b < a */
		return vex_scalar(ir_not(ir, ir_binary(ir, op, b, a)));
	return vex_scalar(ir_binary(ir, op, a, b));
}

static struct vex_value binop_compare(struct ir *ir, IROp op, ir_ref a, ir_ref b)
{
	switch (op) {
		CASES4(CmpEQ)
		    : CASES4(CasCmpEQ) : return vex_scalar(ir_binary(ir, IR_EQ, a, b));
		CASES4(CmpNE)
		    : CASES4(ExpCmpNE)
		    : CASES4(CasCmpNE)
		    : return vex_scalar(ir_not(ir, ir_binary(ir, IR_EQ, a, b)));
	case Iop_CmpLT32S:
	case Iop_CmpLT64S:
		return less(ir, IR_LTS, false, a, b);
	case Iop_CmpLE32S:
	case Iop_CmpLE64S:
		return less(ir, IR_LTS, true, a, b);
	case Iop_CmpLT32U:
	case Iop_CmpLT64U:
		return less(ir, IR_LTU, false, a, b);
	case Iop_CmpLE32U:
	case Iop_CmpLE64U:
		return less(ir, IR_LTU, true, a, b);
	default:
		return no_value;
	}
}

static struct vex_value widening_multiply(struct ir *ir, enum ir_op extend, ir_ref a, ir_ref b)
{
	uint8_t width = (uint8_t)(ir_width(ir, a) * 2);
	if (width <= 64) {
		a = extended(ir, extend, width, a).part[0];
		b = extended(ir, extend, width, b).part[0];
		return vex_scalar(ir_binary(ir, IR_MUL, a, b));
	}
	enum ir_op high = extend == IR_ZEXT ? IR_MULHU : IR_MULHS;
	return (struct vex_value){ 2,
				   { ir_binary(ir, IR_MUL, a, b), ir_binary(ir, high, a, b) } };
}

static struct vex_value binop_widen(struct ir *ir, IROp op, ir_ref a, ir_ref b)
{
	switch (op) {
		CASES4(MullU) : return widening_multiply(ir, IR_ZEXT, a, b);
		CASES4(MullS) : return widening_multiply(ir, IR_SEXT, a, b);
	case Iop_8HLto16:
	case Iop_16HLto32:
	case Iop_32HLto64:
		return vex_scalar(ir_concat(ir, a, b));
	case Iop_64HLto128:
	case Iop_64HLtoV128:
		return (struct vex_value){ 2, { b, a } };
	default:
		return no_value;
	}
}

struct vex_value vex_binop(struct ir *ir, IROp op, struct vex_value a, struct vex_value b)
{
	struct vex_value value = vex_vector_binop(ir, op, a, b);
	if (value.parts || a.parts != 1 || b.parts != 1)
		return value;
	value = binop_arith(ir, op, a.part[0], b.part[0]);
	if (!value.parts)
		value = binop_compare(ir, op, a.part[0], b.part[0]);
	if (!value.parts)
		value = binop_widen(ir, op, a.part[0], b.part[0]);
	return value;
}
