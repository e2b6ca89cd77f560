#include "learn/bv.h"

#include <stdio.h>

#include "base/error.h"

Z3_ast bv_const(Z3_context z, unsigned width, uint64_t value)
{
	return Z3_mk_unsigned_int64(z, value & ir_mask(width), Z3_mk_bv_sort(z, width));
}

Z3_ast bv_var(Z3_context z, unsigned width, const char *format, uint64_t number)
{
	char name[64];
	/* Formats are literals of this room with one number. */
	snprintf(name, sizeof(name), "%s%llu", format, (unsigned long long)number);
	return Z3_mk_const(z, Z3_mk_string_symbol(z, name), Z3_mk_bv_sort(z, width));
}

unsigned bv_width(Z3_context z, Z3_ast a)
{
	return Z3_get_bv_sort_size(z, Z3_get_sort(z, a));
}

bool bv_is_value(Z3_context z, Z3_ast a, uint64_t *value_ret)
{
	uint64_t value;
	if (Z3_get_ast_kind(z, a) != Z3_NUMERAL_AST || !Z3_get_numeral_uint64(z, a, &value))
		return false;
	if (value_ret)
		*value_ret = value;
	return true;
}

Z3_ast bv_extract(Z3_context z, Z3_ast a, unsigned low, unsigned width)
{
	uint64_t value;
	if (low == 0 && width == bv_width(z, a))
		return a;
	if (bv_is_value(z, a, &value)) /* shift amounts must look like constants */
		return bv_const(z, width, value >> low);
	return Z3_mk_extract(z, low + width - 1, low, a);
}

Z3_ast bv_resize(Z3_context z, Z3_ast a, unsigned width)
{
	unsigned have = bv_width(z, a);
	if (width <= have)
		return bv_extract(z, a, 0, width);
	uint64_t value;
	if (width <= 64 && bv_is_value(z, a, &value))
		return bv_const(z, width, value);
	return Z3_mk_zero_ext(z, width - have, a);
}

Z3_ast bv_as_sum(Z3_context z, Z3_ast a)
{
	Z3_params params = Z3_mk_params(z);
	Z3_params_inc_ref(z, params);
	Z3_params_set_bool(z, params, Z3_mk_string_symbol(z, "som"), true);
	Z3_ast result = Z3_simplify_ex(z, a, params);
	Z3_params_dec_ref(z, params);
	return result;
}

Z3_ast bv_sign_extend(Z3_context z, Z3_ast a, unsigned width)
{
	unsigned have = bv_width(z, a);
	return width == have ? a : Z3_mk_sign_ext(z, width - have, a);
}

Z3_ast bv_from_bool(Z3_context z, Z3_ast condition, unsigned width)
{
	return Z3_mk_ite(z, condition, bv_const(z, width, 1), bv_const(z, width, 0));
}

static Z3_ast shift(Z3_context z, enum ir_op op, Z3_ast a, Z3_ast by)
{
	unsigned width = bv_width(z, a);
	uint64_t n;
	bool constant = bv_is_value(z, by, &n);
	if (constant && n == 0)
		return a;
	if (op == IR_SHL && constant)
		return n >= width ? bv_const(z, width, 0)
				  : Z3_mk_bvmul(z, a, bv_const(z, width, 1ull << n));
	if (op == IR_SHR && constant)
		return n >= width
			       ? bv_const(z, width, 0)
			       : bv_resize(z,
					   bv_extract(z, a, (unsigned)n, width - (unsigned)n),
					   width);
	if (op == IR_SHL)
		return Z3_mk_bvshl(z, a, by);
	return op == IR_SHR ? Z3_mk_bvlshr(z, a, by) : Z3_mk_bvashr(z, a, by);
}

static Z3_ast multiply_high(Z3_context z, enum ir_op op, Z3_ast a, Z3_ast b)
{
	unsigned width = bv_width(z, a);
	Z3_ast wide_a =
		op == IR_MULHU ? bv_resize(z, a, 2 * width) : bv_sign_extend(z, a, 2 * width);
	Z3_ast wide_b =
		op == IR_MULHU ? bv_resize(z, b, 2 * width) : bv_sign_extend(z, b, 2 * width);
	return bv_extract(z, Z3_mk_bvmul(z, wide_a, wide_b), width, width);
}

/* Zeros above the highest one, or below the lowest. */
static Z3_ast count_zeros(Z3_context z, enum ir_op op, Z3_ast a)
{
	unsigned width = bv_width(z, a);
	Z3_ast result = bv_const(z, width, width);
	for (unsigned n = 0; n < width; n++) {
		/* The last one tested decides: start far from the end that counts. */
		unsigned bit = op == IR_CLZ ? n : width - 1 - n;
		unsigned zeros = op == IR_CLZ ? width - 1 - bit : bit;
		Z3_ast set = Z3_mk_eq(z, bv_extract(z, a, bit, 1), bv_const(z, 1, 1));
		result = Z3_mk_ite(z, set, bv_const(z, width, zeros), result);
	}
	return result;
}

static Z3_ast average(Z3_context z, Z3_ast a, Z3_ast b)
{
	unsigned width = bv_width(z, a);
	Z3_ast sum = Z3_mk_bvadd(z, bv_resize(z, a, width + 1), bv_resize(z, b, width + 1));
	sum = Z3_mk_bvadd(z, sum, bv_const(z, width + 1, 1));
	return bv_extract(z, sum, 1, width);
}

/* value (wider than `width`, signed) limited to low .. high. */
/* Between least and most, signed, and cut to width. All three are of the same, larger width. */
static Z3_ast clamp(Z3_context z, Z3_ast value, unsigned width, Z3_ast least, Z3_ast most)
{
	Z3_ast limited = Z3_mk_ite(z, Z3_mk_bvslt(z, value, least), least,
				   Z3_mk_ite(z, Z3_mk_bvsgt(z, value, most), most, value));
	return bv_extract(z, limited, 0, width);
}

static Z3_ast saturate(Z3_context z, enum ir_op op, Z3_ast a, Z3_ast b)
{
	unsigned width = bv_width(z, a), wide = width + 2;
	bool is_signed = op == IR_ADDSS || op == IR_SUBSS;
	Z3_ast x = is_signed ? bv_sign_extend(z, a, wide) : bv_resize(z, a, wide);
	Z3_ast y = is_signed ? bv_sign_extend(z, b, wide) : bv_resize(z, b, wide);
	bool adds = op == IR_ADDSU || op == IR_ADDSS;
	Z3_ast sum = adds ? Z3_mk_bvadd(z, x, y) : Z3_mk_bvsub(z, x, y);
	Z3_ast least = bv_const(z, width, is_signed ? 1ull << (width - 1) : 0);
	Z3_ast most = bv_const(z, width, is_signed ? ir_mask(width - 1) : ~0ull);
	if (is_signed)
		return clamp(z, sum, width, bv_sign_extend(z, least, wide),
			     bv_sign_extend(z, most, wide));
	return clamp(z, sum, width, bv_resize(z, least, wide), bv_resize(z, most, wide));
}

static Z3_ast select_op(Z3_context z, enum ir_op op, Z3_ast a, Z3_ast b)
{
	unsigned width = bv_width(z, a);
	Z3_ast ones = bv_const(z, width, ~0ull), zero = bv_const(z, width, 0);
	switch (op) {
	case IR_MINU:
		return Z3_mk_ite(z, Z3_mk_bvult(z, a, b), a, b);
	case IR_MAXU:
		return Z3_mk_ite(z, Z3_mk_bvult(z, a, b), b, a);
	case IR_MINS:
		return Z3_mk_ite(z, Z3_mk_bvslt(z, a, b), a, b);
	case IR_MAXS:
		return Z3_mk_ite(z, Z3_mk_bvslt(z, a, b), b, a);
	case IR_MASKEQ:
		return Z3_mk_ite(z, Z3_mk_eq(z, a, b), ones, zero);
	default:
		return Z3_mk_ite(z, Z3_mk_bvslt(z, b, a), ones, zero); /* MASKGT */
	}
}

Z3_ast bv_op(Z3_context z, enum ir_op op, Z3_ast a, Z3_ast b)
{
	switch (op) {
	case IR_ADD:
		return Z3_mk_bvadd(z, a, b);
	case IR_SUB:
		return Z3_mk_bvsub(z, a, b);
	case IR_MUL:
		return Z3_mk_bvmul(z, a, b);
	case IR_MULHU:
	case IR_MULHS:
		return multiply_high(z, op, a, b);
	case IR_UDIV:
		return Z3_mk_bvudiv(z, a, b);
	case IR_UREM:
		return Z3_mk_bvurem(z, a, b);
	case IR_AND:
		return Z3_mk_bvand(z, a, b);
	case IR_OR:
		return Z3_mk_bvor(z, a, b);
	case IR_XOR:
		return Z3_mk_bvxor(z, a, b);
	case IR_SHL:
	case IR_SHR:
	case IR_SAR:
		return shift(z, op, a, b);
	case IR_EQ:
		return Z3_mk_eq(z, a, b);
	case IR_LTU:
		return Z3_mk_bvult(z, a, b);
	case IR_LTS:
		return Z3_mk_bvslt(z, a, b);
	case IR_CLZ:
	case IR_CTZ:
		return count_zeros(z, op, a);
	case IR_AVGU:
		return average(z, a, b);
	case IR_ADDSU:
	case IR_ADDSS:
	case IR_SUBSU:
	case IR_SUBSS:
		return saturate(z, op, a, b);
	default:
		CHECK(op >= IR_MINU && op <= IR_MASKGT);
		return select_op(z, op, a, b);
	}
}

static Z3_ast unpack(Z3_context z, enum ir_op op, unsigned lane, Z3_ast a, Z3_ast b)
{
	unsigned half = 32 / lane, from = op == IR_UNPKH ? half : 0;
	Z3_ast result = NULL;
	for (unsigned i = half; i-- > 0;) {
		Z3_ast high = bv_extract(z, b, (from + i) * lane, lane);
		Z3_ast low = bv_extract(z, a, (from + i) * lane, lane);
		Z3_ast both = Z3_mk_concat(z, high, low);
		result = result ? Z3_mk_concat(z, result, both) : both;
	}
	return result;
}

static Z3_ast pack_lane(Z3_context z, enum ir_op op, Z3_ast a, unsigned half)
{
	uint64_t limit = 1ull << (half - 1);
	unsigned wide = bv_width(z, a);
	if (op == IR_PACKSS)
		return clamp(z, a, half, bv_const(z, wide, 0 - limit),
			     bv_const(z, wide, limit - 1));
	if (op == IR_PACKUS)
		return clamp(z, a, half, bv_const(z, wide, 0),
			     bv_const(z, wide, ir_mask(half)));
	return bv_extract(z, a, 0, half);
}

static Z3_ast pack(Z3_context z, enum ir_op op, unsigned lane, Z3_ast a, Z3_ast b)
{
	unsigned count = 64 / lane;
	Z3_ast result = NULL;
	for (unsigned i = 2 * count; i-- > 0;) {
		Z3_ast in = bv_extract(z, i < count ? a : b, i % count * lane, lane);
		Z3_ast out = pack_lane(z, op, in, lane / 2);
		result = result ? Z3_mk_concat(z, result, out) : out;
	}
	return result;
}

static Z3_ast move_mask(Z3_context z, unsigned lane, Z3_ast a)
{
	Z3_ast result = NULL;
	for (unsigned i = 64 / lane; i-- > 0;) {
		Z3_ast top = bv_extract(z, a, i * lane + lane - 1, 1);
		result = result ? Z3_mk_concat(z, result, top) : top;
	}
	return bv_resize(z, result, 64);
}

Z3_ast bv_lanes(Z3_context z, enum ir_op op, unsigned lane, Z3_ast a, Z3_ast b)
{
	Z3_ast result = NULL;
	switch (op) {
	case IR_UNPKL:
	case IR_UNPKH:
		return unpack(z, op, lane, a, b);
	case IR_PACKT:
	case IR_PACKSS:
	case IR_PACKUS:
		return pack(z, op, lane, a, b);
	case IR_MOVMSK:
		return move_mask(z, lane, a);
	case IR_AND:
		return Z3_mk_bvand(z, a, b);
	case IR_OR:
		return Z3_mk_bvor(z, a, b);
	case IR_XOR:
		return Z3_mk_bvxor(z, a, b);
	default:
		break;
	}
	for (unsigned i = 64 / lane; i-- > 0;) {
		Z3_ast y = b ? bv_extract(z, b, i * lane, lane) : NULL;
		Z3_ast out = bv_op(z, op, bv_extract(z, a, i * lane, lane), y);
		result = result ? Z3_mk_concat(z, result, out) : out;
	}
	return result;
}
