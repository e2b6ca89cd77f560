#include "learn/vex_call.h"

#include <string.h>

/* ORDER libVEX's conditions and origins of flags (AMD64Condcode, AMD64G_CC_OP). */
enum {
	COND_B = 2,
	COND_NB,
	COND_Z,
	COND_NZ,
	COND_BE,
	COND_NBE,
	COND_S,
	COND_NS,
	COND_L = 12,
	COND_NL,
	COND_LE,
	COND_NLE
};
enum { OP_ADDB = 1, OP_SUBB = 5, OP_LOGICB = 13, OP_INCB = 17, OP_SHLB = 25, OP_END = 33 };

/* What an instruction that set the flags computed; all of its width. */
struct origin {
	ir_ref a, b, result;
	bool adds, subtracts;
};

static bool read_origin(struct ir *ir, uint64_t op, ir_ref dep1, ir_ref dep2,
			struct origin *ret)
{
	if (op < OP_ADDB || op >= OP_END || (op >= OP_SUBB + 4 && op < OP_LOGICB))
		return false;
	uint8_t bits = (uint8_t)(8 << ((op - 1) & 3));
	ret->a = ir_extract(ir, dep1, 0, bits);
	ret->b = ir_extract(ir, dep2, 0, bits);
	ret->adds = op < OP_SUBB;
	ret->subtracts = op >= OP_SUBB && op < OP_SUBB + 4;
	ret->result = ret->adds	       ? ir_binary(ir, IR_ADD, ret->a, ret->b)
		      : ret->subtracts ? ir_binary(ir, IR_SUB, ret->a, ret->b)
				       : ret->a;
	return true;
}

/* The condition of an even number; the odd one after it is its opposite. 1 bit. */
static ir_ref even_condition(struct ir *ir, unsigned condition, const struct origin *o)
{
	ir_ref zero = ir_const(ir, ir_width(ir, o->result), 0);
	ir_ref equal = ir_binary(ir, IR_EQ, o->result, zero);
	if (condition == COND_Z)
		return equal;
	if (condition == COND_S)
		return ir_binary(ir, IR_LTS, o->result, zero);
	if (condition == COND_B && o->adds)
		return ir_binary(ir, IR_LTU, o->result, o->a);
	if (!o->subtracts)
		return IR_NONE;
	switch (condition) {
	case COND_B:
		return ir_binary(ir, IR_LTU, o->a, o->b);
	case COND_BE:
		return ir_not(ir, ir_binary(ir, IR_LTU, o->b, o->a));
	case COND_L:
		return ir_binary(ir, IR_LTS, o->a, o->b);
	case COND_LE:
		return ir_not(ir, ir_binary(ir, IR_LTS, o->b, o->a));
	default:
		return IR_NONE;
	}
}

/* condition, origin, two operands, and what else an origin may need */
static ir_ref condition_of_flags(struct ir *ir, const ir_ref *args)
{
	uint64_t condition, op;
	struct origin origin;
	if (!ir_is_const(ir, args[0], &condition) || !ir_is_const(ir, args[1], &op) ||
	    !read_origin(ir, op, args[2], args[3], &origin))
		return IR_NONE;
	ir_ref holds = even_condition(ir, (unsigned)condition & ~1u, &origin);
	if (holds == IR_NONE)
		return IR_NONE;
	return ir_zext(ir, 64, condition & 1 ? ir_not(ir, holds) : holds);
}

static ir_ref product(struct ir *ir, const ir_ref *args, unsigned lane)
{
	ir_ref a = ir_sext(ir, 32, ir_extract(ir, args[0], 16 * lane, 16));
	ir_ref b = ir_sext(ir, 32, ir_extract(ir, args[1], 16 * lane, 16));
	return ir_binary(ir, IR_MUL, a, b);
}

/* Products of signed 16-bit lanes, neighbours added. */
static ir_ref multiply_add(struct ir *ir, const ir_ref *args)
{
	ir_ref low = ir_binary(ir, IR_ADD, product(ir, args, 0), product(ir, args, 1));
	ir_ref high = ir_binary(ir, IR_ADD, product(ir, args, 2), product(ir, args, 3));
	return ir_concat(ir, high, low);
}

ir_ref vex_call(struct ir *ir, const char *name, const ir_ref *args, unsigned count)
{
	if (count == 5 && !strcmp(name, "amd64g_calculate_condition"))
		return condition_of_flags(ir, args);
	if (count == 2 && !strcmp(name, "amd64g_calculate_mmx_pmaddwd"))
		return multiply_add(ir, args);
	return IR_NONE;
}
