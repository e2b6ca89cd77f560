/* Vector operations of libVEX as operations on the lanes of 64-bit parts. */
#include "learn/vex_ops.h"

static const struct vex_value no_value;

struct lane_op {
	IROp vex;
	uint8_t op, lane;
};

/* Same operation in every part: the 128-bit, the 256-bit and the old 64-bit form. */
static const struct lane_op lane_ops[] = {
#define ALL(name, op)                                              \
	{ Iop_##name##8x16, op, 8 }, { Iop_##name##16x8, op, 16 }, \
		{ Iop_##name##32x4, op, 32 },                      \
	{                                                          \
		Iop_##name##64x2, op, 64                           \
	}
#define ALL_NARROW(name, op)                                      \
	{ Iop_##name##8x8, op, 8 }, { Iop_##name##16x4, op, 16 }, \
	{                                                         \
		Iop_##name##32x2, op, 32                          \
	}
#define ALL_WIDE(name, op)               \
	{ Iop_##name##16x16, op, 16 },   \
	{                                \
		Iop_##name##32x8, op, 32 \
	}
	ALL(Add, IR_ADD),
	ALL_NARROW(Add, IR_ADD),
	ALL_WIDE(Add, IR_ADD),
	{ Iop_Add8x32, IR_ADD, 8 },
	{ Iop_Add64x4, IR_ADD, 64 },
	ALL(Sub, IR_SUB),
	ALL_NARROW(Sub, IR_SUB),
	ALL_WIDE(Sub, IR_SUB),
	{ Iop_Sub8x32, IR_SUB, 8 },
	{ Iop_Sub64x4, IR_SUB, 64 },
	{ Iop_Mul16x8, IR_MUL, 16 },
	{ Iop_Mul16x4, IR_MUL, 16 },
	{ Iop_Mul32x4, IR_MUL, 32 },
	ALL_WIDE(Mul, IR_MUL),
	{ Iop_MulHi16Ux8, IR_MULHU, 16 },
	{ Iop_MulHi16Sx8, IR_MULHS, 16 },
	{ Iop_MulHi16Ux16, IR_MULHU, 16 },
	{ Iop_MulHi16Sx16, IR_MULHS, 16 },
	{ Iop_Max8Ux16, IR_MAXU, 8 },
	{ Iop_Max16Sx8, IR_MAXS, 16 },
	{ Iop_Max8Sx16, IR_MAXS, 8 },
	{ Iop_Max16Ux8, IR_MAXU, 16 },
	{ Iop_Max32Sx4, IR_MAXS, 32 },
	{ Iop_Max32Ux4, IR_MAXU, 32 },
	{ Iop_Min8Ux16, IR_MINU, 8 },
	{ Iop_Min16Sx8, IR_MINS, 16 },
	{ Iop_Min8Sx16, IR_MINS, 8 },
	{ Iop_Min16Ux8, IR_MINU, 16 },
	{ Iop_Min32Sx4, IR_MINS, 32 },
	{ Iop_Min32Ux4, IR_MINU, 32 },
	{ Iop_Avg8Ux16, IR_AVGU, 8 },
	{ Iop_Avg16Ux8, IR_AVGU, 16 },
	{ Iop_QAdd8Ux16, IR_ADDSU, 8 },
	{ Iop_QAdd16Ux8, IR_ADDSU, 16 },
	{ Iop_QAdd8Sx16, IR_ADDSS, 8 },
	{ Iop_QAdd16Sx8, IR_ADDSS, 16 },
	{ Iop_QSub8Ux16, IR_SUBSU, 8 },
	{ Iop_QSub16Ux8, IR_SUBSU, 16 },
	{ Iop_QSub8Sx16, IR_SUBSS, 8 },
	{ Iop_QSub16Sx8, IR_SUBSS, 16 },
	ALL(CmpEQ, IR_MASKEQ),
	ALL_WIDE(CmpEQ, IR_MASKEQ),
	{ Iop_CmpEQ8x32, IR_MASKEQ, 8 },
	{ Iop_CmpGT8Sx16, IR_MASKGT, 8 },
	{ Iop_CmpGT16Sx8, IR_MASKGT, 16 },
	{ Iop_CmpGT32Sx4, IR_MASKGT, 32 },
	{ Iop_CmpGT64Sx2, IR_MASKGT, 64 },
};

static ir_ref lanes(struct ir *ir, enum ir_op op, uint8_t lane, ir_ref a, ir_ref b)
{
	if (lane < 64)
		return ir_lanes(ir, op, lane, a, b);
	if (op == IR_ADD || op == IR_SUB)
		return ir_binary(ir, op, a, b);
	ir_ref condition =
		op == IR_MASKEQ ? ir_binary(ir, IR_EQ, a, b) : ir_binary(ir, IR_LTS, b, a);
	return ir_sext(ir, 64, condition);
}

static struct vex_value each_part(struct ir *ir, IROp vex, struct vex_value a,
				  struct vex_value b)
{
	for (size_t i = 0; i < sizeof(lane_ops) / sizeof(*lane_ops); i++) {
		if (lane_ops[i].vex != vex)
			continue;
		struct vex_value value = { a.parts, { 0 } };
		for (unsigned p = 0; p < a.parts; p++)
			value.part[p] = lanes(ir, lane_ops[i].op, lane_ops[i].lane, a.part[p],
					      b.part[p]);
		return value;
	}
	return no_value;
}

static struct vex_value bitwise(struct ir *ir, IROp vex, struct vex_value a, struct vex_value b)
{
	enum ir_op op;
	switch (vex) {
	case Iop_AndV128:
	case Iop_AndV256:
		op = IR_AND;
		break;
	case Iop_OrV128:
	case Iop_OrV256:
		op = IR_OR;
		break;
	case Iop_XorV128:
	case Iop_XorV256:
		op = IR_XOR;
		break;
	default:
		return no_value;
	}
	struct vex_value value = { a.parts, { 0 } };
	for (unsigned p = 0; p < a.parts; p++)
		value.part[p] = ir_binary(ir, op, a.part[p], b.part[p]);
	return value;
}

/* Shift of all lanes by one amount; only constant amounts have a meaning here. */
static struct vex_value shift_lanes(struct ir *ir, enum ir_op op, uint8_t lane,
				    struct vex_value a, struct vex_value by)
{
	uint64_t amount, copies = 0;
	if (!ir_is_const(ir, by.part[0], &amount))
		return no_value;
	if (amount > lane)
		amount = lane;
	for (unsigned i = 0; i < 64; i += lane)
		copies |= amount << i;
	struct vex_value value = { a.parts, { 0 } };
	for (unsigned p = 0; p < a.parts; p++) {
		ir_ref count = ir_const(ir, 64, copies);
		value.part[p] = lane == 64 ? ir_binary(ir, op, a.part[p], count)
					   : ir_lanes(ir, op, lane, a.part[p], count);
	}
	return value;
}

/* 128-bit shift by a constant number of bits. */
static struct vex_value shift_whole(struct ir *ir, bool left, struct vex_value a,
				    struct vex_value by)
{
	uint64_t n;
	if (!ir_is_const(ir, by.part[0], &n))
		return no_value;
	ir_ref zero = ir_const(ir, 64, 0), lo = a.part[0], hi = a.part[1];
	if (n == 0)
		return a;
	if (n >= 64) {
		ir_ref count = ir_const(ir, 64, n - 64);
		if (left)
			return (struct vex_value){ 2,
						   { zero, ir_binary(ir, IR_SHL, lo, count) } };
		return (struct vex_value){ 2, { ir_binary(ir, IR_SHR, hi, count), zero } };
	}
	ir_ref count = ir_const(ir, 64, n), rest = ir_const(ir, 64, 64 - n);
	if (left)
		return (struct vex_value){ 2,
					   { ir_binary(ir, IR_SHL, lo, count),
					     ir_binary(ir, IR_OR,
						       ir_binary(ir, IR_SHL, hi, count),
						       ir_binary(ir, IR_SHR, lo, rest)) } };
	return (struct vex_value){ 2,
				   { ir_binary(ir, IR_OR, ir_binary(ir, IR_SHR, lo, count),
					       ir_binary(ir, IR_SHL, hi, rest)),
				     ir_binary(ir, IR_SHR, hi, count) } };
}

static struct vex_value pair(ir_ref low, ir_ref high)
{
	return (struct vex_value){ 2, { low, high } };
}

/* libVEX's interleaves take their first argument as the odd (higher) lanes. */
static struct vex_value interleave(struct ir *ir, unsigned part, uint8_t lane,
				   struct vex_value a, struct vex_value b)
{
	ir_ref high = a.part[part], low = b.part[part];
	if (lane == 64)
		return pair(low, high);
	return pair(ir_lanes(ir, IR_UNPKL, lane, low, high),
		    ir_lanes(ir, IR_UNPKH, lane, low, high));
}

/* libVEX's narrowing operations put their second argument in the low half. */
static struct vex_value narrow(struct ir *ir, enum ir_op op, uint8_t lane, struct vex_value a,
			       struct vex_value b)
{
	return pair(ir_lanes(ir, op, lane, b.part[0], b.part[1]),
		    ir_lanes(ir, op, lane, a.part[0], a.part[1]));
}

/* Products of the even 32-bit lanes in 64 bits. */
static ir_ref multiply_even(struct ir *ir, ir_ref a, ir_ref b)
{
	return ir_binary(ir, IR_MUL, ir_zext(ir, 64, ir_extract(ir, a, 0, 32)),
			 ir_zext(ir, 64, ir_extract(ir, b, 0, 32)));
}

/* How an operation treats its operands: all lanes shifted by one amount; lanes of the low or
 * high halves interleaved; lanes of both cut to half their width. */
enum move { MOVE_SHIFT, MOVE_LOW, MOVE_HIGH, MOVE_NARROW };

#define SHIFTS(name, op)                                                                       \
	{ Iop_##name##N16x8, MOVE_SHIFT, op, 16 }, { Iop_##name##N16x16, MOVE_SHIFT, op, 16 }, \
		{ Iop_##name##N32x4, MOVE_SHIFT, op, 32 },                                     \
	{                                                                                      \
		Iop_##name##N32x8, MOVE_SHIFT, op, 32                                          \
	}
#define INTERLEAVES(half, how)                                                                 \
	{ Iop_Interleave##half##8x16, how, 0, 8 }, { Iop_Interleave##half##16x8, how, 0, 16 }, \
		{ Iop_Interleave##half##32x4, how, 0, 32 },                                    \
	{                                                                                      \
		Iop_Interleave##half##64x2, how, 0, 64                                         \
	}

static const struct {
	IROp vex;
	uint8_t how, op, lane;
} moves[] = {
	SHIFTS(Shl, IR_SHL),
	SHIFTS(Shr, IR_SHR),
	SHIFTS(Sar, IR_SAR),
	{ Iop_ShlN8x16, MOVE_SHIFT, IR_SHL, 8 },
	{ Iop_ShrN8x16, MOVE_SHIFT, IR_SHR, 8 },
	{ Iop_SarN8x16, MOVE_SHIFT, IR_SAR, 8 },
	{ Iop_ShlN64x2, MOVE_SHIFT, IR_SHL, 64 },
	{ Iop_ShlN64x4, MOVE_SHIFT, IR_SHL, 64 },
	{ Iop_ShrN64x2, MOVE_SHIFT, IR_SHR, 64 },
	{ Iop_ShrN64x4, MOVE_SHIFT, IR_SHR, 64 },
	INTERLEAVES(LO, MOVE_LOW),
	INTERLEAVES(HI, MOVE_HIGH),
	{ Iop_NarrowBin16to8x16, MOVE_NARROW, IR_PACKT, 16 },
	{ Iop_NarrowBin32to16x8, MOVE_NARROW, IR_PACKT, 32 },
	{ Iop_QNarrowBin16Sto8Ux16, MOVE_NARROW, IR_PACKUS, 16 },
	{ Iop_QNarrowBin32Sto16Ux8, MOVE_NARROW, IR_PACKUS, 32 },
	{ Iop_QNarrowBin16Sto8Sx16, MOVE_NARROW, IR_PACKSS, 16 },
	{ Iop_QNarrowBin32Sto16Sx8, MOVE_NARROW, IR_PACKSS, 32 },
};

static struct vex_value moved(struct ir *ir, IROp vex, struct vex_value a, struct vex_value b)
{
	for (size_t i = 0; i < sizeof(moves) / sizeof(*moves); i++) {
		if (moves[i].vex != vex)
			continue;
		switch (moves[i].how) {
		case MOVE_SHIFT:
			return shift_lanes(ir, moves[i].op, moves[i].lane, a, b);
		case MOVE_NARROW:
			return narrow(ir, moves[i].op, moves[i].lane, a, b);
		default:
			return interleave(ir, moves[i].how == MOVE_HIGH, moves[i].lane, a, b);
		}
	}
	return no_value;
}

static struct vex_value across(struct ir *ir, IROp vex, struct vex_value a, struct vex_value b)
{
	switch (vex) {
	case Iop_MullEven32Ux4:
		return pair(multiply_even(ir, a.part[0], b.part[0]),
			    multiply_even(ir, a.part[1], b.part[1]));
	case Iop_ShlV128:
		return shift_whole(ir, true, a, b);
	case Iop_ShrV128:
		return shift_whole(ir, false, a, b);
	case Iop_SetV128lo64:
		return pair(b.part[0], a.part[1]);
	case Iop_SetV128lo32:
		return pair(ir_concat(ir, ir_extract(ir, a.part[0], 32, 32), b.part[0]),
			    a.part[1]);
	case Iop_V128HLtoV256:
		return (struct vex_value){ 4, { b.part[0], b.part[1], a.part[0], a.part[1] } };
	default:
		return no_value;
	}
}

struct vex_value vex_vector_binop(struct ir *ir, IROp op, struct vex_value a,
				  struct vex_value b)
{
	struct vex_value value = no_value;
	if (a.parts == b.parts && ir_width(ir, a.part[0]) == 64 &&
	    ir_width(ir, b.part[0]) == 64) {
		value = each_part(ir, op, a, b);
		if (!value.parts)
			value = bitwise(ir, op, a, b);
	}
	if (!value.parts && a.parts >= 2)
		value = moved(ir, op, a, b);
	if (!value.parts && a.parts == 2)
		value = across(ir, op, a, b);
	return value;
}

struct vex_value vex_vector_unop(struct ir *ir, IROp op, struct vex_value a)
{
	ir_ref zero = ir_const(ir, 64, 0);
	struct vex_value value = { a.parts, { 0 } };
	switch (op) {
	case Iop_NotV128:
	case Iop_NotV256:
		for (unsigned p = 0; p < a.parts; p++)
			value.part[p] = ir_not(ir, a.part[p]);
		return value;
	case Iop_V128to64:
	case Iop_128to64:
	case Iop_V256to64_0:
		return vex_scalar(a.part[0]);
	case Iop_V128HIto64:
	case Iop_128HIto64:
	case Iop_V256to64_1:
		return vex_scalar(a.part[1]);
	case Iop_V256to64_2:
		return vex_scalar(a.part[2]);
	case Iop_V256to64_3:
		return vex_scalar(a.part[3]);
	case Iop_V256toV128_0:
		return pair(a.part[0], a.part[1]);
	case Iop_V256toV128_1:
		return pair(a.part[2], a.part[3]);
	case Iop_V128to32:
		return vex_scalar(ir_extract(ir, a.part[0], 0, 32));
	case Iop_32UtoV128:
		return pair(ir_zext(ir, 64, a.part[0]), zero);
	case Iop_64UtoV128:
		return pair(a.part[0], zero);
	case Iop_ZeroHI64ofV128:
		return pair(a.part[0], zero);
	case Iop_GetMSBs8x8:
		return vex_scalar(
			ir_extract(ir, ir_lanes(ir, IR_MOVMSK, 8, a.part[0], IR_NONE), 0, 8));
	case Iop_GetMSBs8x16:
		return vex_scalar(ir_concat(
			ir,
			ir_extract(ir, ir_lanes(ir, IR_MOVMSK, 8, a.part[1], IR_NONE), 0, 8),
			ir_extract(ir, ir_lanes(ir, IR_MOVMSK, 8, a.part[0], IR_NONE), 0, 8)));
	default:
		return no_value;
	}
}
