/* Arithmetic opcodes in SPIR-V. Values travel as 64-bit ids; an operation of 32 bits or less is
 * done in 32-bit arithmetic between two conversions, which drivers fold away. `struct lane`
 * holds operands zero-extended to the machine type. SPIR-V leaves holes (division by 0, shifts
 * by the width or more) undefined: every use of such an instruction is guarded. */
#include "base/error.h"
#include "mcode/isa.h"
#include "mcode/spirv_words.h"

enum { GlslFindILsb = 73, GlslFindUMsb = 75 };

struct lane {
	struct spirv *sp;
	unsigned bits; /* of the operation */
	unsigned machine; /* 32 or 64 */
	uint32_t type;
	uint32_t a, b, d;
};

static uint32_t number(const struct lane *l, uint64_t value)
{
	return l->machine == 64 ? spirv_u64(l->sp, value) : spirv_u32(l->sp, (uint32_t)value);
}

static uint32_t mask_of(const struct lane *l)
{
	return number(l, UINT64_MAX >> (64 - l->bits));
}

static uint32_t bin(const struct lane *l, unsigned op, uint32_t a, uint32_t b)
{
	return spirv_op2(l->sp, op, l->type, a, b);
}

/* Cuts to the operation's width. */
static uint32_t cut(const struct lane *l, uint32_t a)
{
	return l->bits == l->machine ? a : bin(l, OpBitwiseAnd, a, mask_of(l));
}

/* Sign-extends from the operation's width to the machine's. */
static uint32_t sign(const struct lane *l, uint32_t a)
{
	if (l->bits == l->machine)
		return a;
	uint32_t by = spirv_u32(l->sp, l->machine - l->bits);
	return bin(l, OpShiftRightArithmetic, bin(l, OpShiftLeftLogical, a, by), by);
}

static uint32_t test(const struct lane *l, unsigned op, uint32_t a, uint32_t b)
{
	return spirv_op2(l->sp, op, l->sp->t_bool, a, b);
}

static uint32_t pick(const struct lane *l, uint32_t condition, uint32_t yes, uint32_t no)
{
	return spirv_op3(l->sp, OpSelect, l->type, condition, yes, no);
}

static uint32_t negate(const struct lane *l, uint32_t a)
{
	return bin(l, OpISub, number(l, 0), a);
}

/* x / y or x % y of unsigned machine values, with SMT-LIB's answers for y = 0. */
static uint32_t divide(const struct lane *l, uint32_t x, uint32_t y, bool remainder)
{
	uint32_t zero = test(l, OpIEqual, y, number(l, 0));
	uint32_t safe = pick(l, zero, number(l, 1), y);
	uint32_t result = bin(l, remainder ? OpUMod : OpUDiv, x, safe);
	return pick(l, zero, remainder ? x : number(l, UINT64_MAX), result);
}

/* Through magnitudes: |a| / |b|, then the sign. b = 0 gives |a| / 0 = all ones = -1, negated to
 * 1 for a < 0, as SMT-LIB wants; MIN / -1 wraps to MIN. */
static uint32_t divide_signed(const struct lane *l, bool remainder)
{
	uint32_t sa = sign(l, l->a), sb = sign(l, l->b), zero = number(l, 0);
	uint32_t a_negative = test(l, OpSLessThan, sa, zero);
	uint32_t b_negative = test(l, OpSLessThan, sb, zero);
	uint32_t x = pick(l, a_negative, negate(l, sa), sa);
	uint32_t y = pick(l, b_negative, negate(l, sb), sb);
	uint32_t result = divide(l, x, y, remainder);
	result = pick(l, a_negative, negate(l, result), result);
	return remainder ? result : pick(l, b_negative, negate(l, result), result);
}

static uint32_t shift(const struct lane *l, uint8_t op)
{
	struct spirv *sp = l->sp;
	uint32_t too_far = test(l, OpULessThanEqual, number(l, l->bits), l->b);
	uint32_t safe = bin(l, OpBitwiseAnd, l->b, number(l, l->bits - 1));
	if (op == MCODE_SAR) {
		uint32_t by = pick(l, too_far, number(l, l->bits - 1), safe);
		return bin(l, OpShiftRightArithmetic, sign(l, l->a), by);
	}
	(void)sp;
	uint32_t result =
		bin(l, op == MCODE_SHL ? OpShiftLeftLogical : OpShiftRightLogical, l->a, safe);
	return pick(l, too_far, number(l, 0), result);
}

static uint32_t rotate(const struct lane *l, bool left)
{
	uint32_t low = number(l, l->bits - 1);
	uint32_t by = bin(l, OpBitwiseAnd, l->b, low);
	uint32_t back = bin(l, OpBitwiseAnd, negate(l, by), low);
	return bin(l, OpBitwiseOr, bin(l, OpShiftLeftLogical, l->a, left ? by : back),
		   bin(l, OpShiftRightLogical, l->a, left ? back : by));
}

static uint32_t compare(const struct lane *l, uint8_t op)
{
	switch (op) {
	case MCODE_CMPEQ:
		return test(l, OpIEqual, l->a, l->b);
	case MCODE_CMPNE:
		return test(l, OpINotEqual, l->a, l->b);
	case MCODE_CMPLTU:
	case MCODE_MINU:
	case MCODE_MAXU:
		return test(l, OpULessThan, l->a, l->b);
	case MCODE_CMPLEU:
		return test(l, OpULessThanEqual, l->a, l->b);
	case MCODE_CMPLES:
		return test(l, OpSLessThanEqual, sign(l, l->a), sign(l, l->b));
	default:
		return test(l, OpSLessThan, sign(l, l->a), sign(l, l->b));
	}
}

/* High half of a 64 x 64-bit product from four 32 x 32-bit ones:
 *      a1 a0 * b1 b0 = a1b1 << 64 + (a1b0 + a0b1) << 32 + a0b0 */
static uint32_t multiply_high_64(const struct lane *l)
{
	uint32_t by = spirv_u32(l->sp, 32), low = number(l, UINT32_MAX);
	uint32_t a0 = bin(l, OpBitwiseAnd, l->a, low),
		 a1 = bin(l, OpShiftRightLogical, l->a, by);
	uint32_t b0 = bin(l, OpBitwiseAnd, l->b, low),
		 b1 = bin(l, OpShiftRightLogical, l->b, by);
	uint32_t p00 = bin(l, OpIMul, a0, b0), p01 = bin(l, OpIMul, a0, b1);
	uint32_t p10 = bin(l, OpIMul, a1, b0), p11 = bin(l, OpIMul, a1, b1);
	uint32_t middle = bin(l, OpIAdd, bin(l, OpShiftRightLogical, p00, by),
			      bin(l, OpBitwiseAnd, p01, low));
	middle = bin(l, OpIAdd, middle, bin(l, OpBitwiseAnd, p10, low));
	uint32_t high = bin(l, OpIAdd, p11, bin(l, OpShiftRightLogical, p01, by));
	high = bin(l, OpIAdd, high, bin(l, OpShiftRightLogical, p10, by));
	return bin(l, OpIAdd, high, bin(l, OpShiftRightLogical, middle, by));
}

static uint32_t multiply_high(const struct lane *l, bool is_signed)
{
	struct spirv *sp = l->sp;
	uint32_t zero = number(l, 0);
	if (l->bits == 64) {
		uint32_t high = multiply_high_64(l);
		if (!is_signed)
			return high;
		uint32_t a_negative = test(l, OpSLessThan, l->a, zero);
		uint32_t b_negative = test(l, OpSLessThan, l->b, zero);
		high = bin(l, OpISub, high, pick(l, a_negative, l->b, zero));
		return bin(l, OpISub, high, pick(l, b_negative, l->a, zero));
	}
	uint32_t a = is_signed ? sign(l, l->a) : l->a, b = is_signed ? sign(l, l->b) : l->b;
	unsigned widen = is_signed ? OpSConvert : OpUConvert;
	uint32_t product = spirv_op2(sp, OpIMul, sp->t_u64, spirv_op1(sp, widen, sp->t_u64, a),
				     spirv_op1(sp, widen, sp->t_u64, b));
	product =
		spirv_op2(sp, OpShiftRightLogical, sp->t_u64, product, spirv_u32(sp, l->bits));
	return spirv_op1(sp, OpUConvert, sp->t_u32, product);
}

/* Signed saturation by overflow bits: the sum overflows iff both operands have the other sign
 * than it; the difference iff the operands differ and it has not a's sign. */
static uint32_t saturate_signed(const struct lane *l, bool add)
{
	uint32_t r = bin(l, add ? OpIAdd : OpISub, l->a, l->b);
	uint32_t differs = bin(l, OpBitwiseXor, l->a, r);
	uint32_t other = add ? bin(l, OpBitwiseXor, l->b, r) : bin(l, OpBitwiseXor, l->a, l->b);
	uint32_t overflow = bin(l, OpBitwiseAnd, differs, other);
	uint32_t top_bit = number(l, UINT64_C(1) << (l->bits - 1));
	uint32_t over =
		test(l, OpINotEqual, bin(l, OpBitwiseAnd, overflow, top_bit), number(l, 0));
	uint32_t a_negative =
		test(l, OpINotEqual, bin(l, OpBitwiseAnd, l->a, top_bit), number(l, 0));
	uint32_t top = number(l, (UINT64_C(1) << (l->bits - 1)) - 1);
	return pick(l, over, pick(l, a_negative, top_bit, top), r);
}

/* All ones where a 64-bit sum carries out, by the carry's own formula. The usual forms are not
 * an option: NVIDIA's driver 580.159 makes of min(a, ~b) + b in 64 bits a saturating addition
 * that saturates the low half only. */
static uint32_t saturate_sum_64(const struct lane *l)
{
	uint32_t sum = bin(l, OpIAdd, l->a, l->b);
	uint32_t not_sum = spirv_op1(l->sp, OpNot, l->type, sum);
	uint32_t either = bin(l, OpBitwiseOr, l->a, l->b);
	uint32_t carry = bin(l, OpBitwiseOr, bin(l, OpBitwiseAnd, l->a, l->b),
			     bin(l, OpBitwiseAnd, either, not_sum));
	uint32_t spread = bin(l, OpShiftRightArithmetic, carry, spirv_u32(l->sp, 63));
	return bin(l, OpBitwiseOr, sum, spread);
}

static uint32_t saturating(const struct lane *l, uint8_t op)
{
	uint32_t limit;
	switch (op) {
	case MCODE_ADDSU:
		if (l->bits == 64)
			return saturate_sum_64(l);
		limit = bin(l, OpBitwiseXor, l->b, mask_of(l));
		return bin(l, OpIAdd, pick(l, test(l, OpULessThan, l->a, limit), l->a, limit),
			   l->b);
	case MCODE_SUBSU:
		return bin(l, OpISub, pick(l, test(l, OpULessThan, l->a, l->b), l->b, l->a),
			   l->b);
	default:
		return saturate_signed(l, op == MCODE_ADDSS);
	}
}

static uint32_t glsl32(const struct lane *l, unsigned instruction, uint32_t a)
{
	return spirv_glsl1(l->sp, instruction, l->sp->t_u32, a);
}

static uint32_t half(const struct lane *l, uint32_t a, bool high)
{
	struct spirv *sp = l->sp;
	if (high)
		a = spirv_op2(sp, OpShiftRightLogical, sp->t_u64, a, spirv_u32(sp, 32));
	return spirv_op1(sp, OpUConvert, sp->t_u32, a);
}

static uint32_t op32(const struct lane *l, unsigned op, uint32_t a, uint32_t b)
{
	return spirv_op2(l->sp, op, l->sp->t_u32, a, b);
}

/* FindMsb and FindILsb give -1 for 0, so msb + 1 and the tests below need no special case:
 * clz = w - 1 - msb. */
static uint32_t count_32(const struct lane *l, uint8_t op, uint32_t a, unsigned bits)
{
	struct spirv *sp = l->sp;
	if (op == MCODE_POPCNT)
		return spirv_op1(sp, OpBitCount, sp->t_u32, a);
	if (op == MCODE_CLZ)
		return op32(l, OpISub, spirv_u32(sp, bits - 1), glsl32(l, GlslFindUMsb, a));
	uint32_t zero = spirv_op2(sp, OpIEqual, sp->t_bool, a, spirv_u32(sp, 0));
	return spirv_op3(sp, OpSelect, sp->t_u32, zero, spirv_u32(sp, bits),
			 glsl32(l, GlslFindILsb, a));
}

static uint32_t count(const struct lane *l, uint8_t op)
{
	struct spirv *sp = l->sp;
	if (l->machine == 32)
		return count_32(l, op, l->a, l->bits);
	uint32_t low = half(l, l->a, false), high = half(l, l->a, true), result;
	uint32_t first = count_32(l, op, op == MCODE_CLZ ? high : low, 32);
	uint32_t second = count_32(l, op, op == MCODE_CLZ ? low : high, 32);
	uint32_t both = op32(l, OpIAdd, first, second);
	if (op == MCODE_POPCNT) {
		result = both;
	} else {
		uint32_t empty = spirv_op2(sp, OpIEqual, sp->t_bool, first, spirv_u32(sp, 32));
		result = spirv_op3(sp, OpSelect, sp->t_u32, empty, both, first);
	}
	return spirv_op1(sp, OpUConvert, sp->t_u64, result);
}

static uint32_t swap_bytes(const struct lane *l)
{
	uint32_t result = number(l, 0), byte = number(l, 0xff);
	for (unsigned i = 0; i < l->bits; i += 8) {
		uint32_t b = bin(l, OpBitwiseAnd,
				 bin(l, OpShiftRightLogical, l->a, spirv_u32(l->sp, i)), byte);
		b = bin(l, OpShiftLeftLogical, b, spirv_u32(l->sp, l->bits - 8 - i));
		result = bin(l, OpBitwiseOr, result, b);
	}
	return result;
}

/* (a | b) - ((a ^ b) >> 1) is the average rounded up, without a wider sum. */
static uint32_t average(const struct lane *l)
{
	uint32_t x = bin(l, OpBitwiseXor, l->a, l->b);
	return bin(l, OpISub, bin(l, OpBitwiseOr, l->a, l->b),
		   bin(l, OpShiftRightLogical, x, spirv_u32(l->sp, 1)));
}

static uint32_t arithmetic(const struct lane *l, uint8_t op)
{
	uint32_t zero;
	switch (op) {
	case MCODE_MOV:
		return l->a;
	case MCODE_LDI:
		return l->b;
	case MCODE_ADD:
		return bin(l, OpIAdd, l->a, l->b);
	case MCODE_SUB:
		return bin(l, OpISub, l->a, l->b);
	case MCODE_MUL:
		return bin(l, OpIMul, l->a, l->b);
	case MCODE_DIV:
	case MCODE_REM:
		return divide(l, l->a, l->b, op == MCODE_REM);
	case MCODE_DIVS:
	case MCODE_REMS:
		return divide_signed(l, op == MCODE_REMS);
	case MCODE_MULHU:
	case MCODE_MULHS:
		return multiply_high(l, op == MCODE_MULHS);
	case MCODE_NEG:
		return negate(l, l->a);
	case MCODE_ABS:
		zero = number(l, 0);
		return pick(l, test(l, OpSLessThan, sign(l, l->a), zero), negate(l, l->a),
			    l->a);
	case MCODE_AND:
		return bin(l, OpBitwiseAnd, l->a, l->b);
	case MCODE_OR:
		return bin(l, OpBitwiseOr, l->a, l->b);
	case MCODE_XOR:
		return bin(l, OpBitwiseXor, l->a, l->b);
	case MCODE_NOT:
		return spirv_op1(l->sp, OpNot, l->type, l->a);
	case MCODE_ANDN:
		return bin(l, OpBitwiseAnd, l->a, spirv_op1(l->sp, OpNot, l->type, l->b));
	case MCODE_AVGU:
		return average(l);
	case MCODE_CMOV:
		return pick(l, test(l, OpINotEqual, l->a, number(l, 0)), l->b, l->d);
	case MCODE_BSWAP:
		return swap_bytes(l);
	case MCODE_SEXT:
		return sign(l, l->a);
	default:
		CHECK(!"an arithmetic opcode");
		return 0;
	}
}

/* One lane; the result may have bits above the width. */
static uint32_t lane_op(const struct lane *l, uint8_t op)
{
	switch (op) {
	case MCODE_SHL ... MCODE_SAR:
		return shift(l, op);
	case MCODE_ROL:
	case MCODE_ROR:
		return rotate(l, op == MCODE_ROL);
	case MCODE_CMPEQ ... MCODE_CMPLES:
		return pick(l, compare(l, op), number(l, 1), number(l, 0));
	case MCODE_MINU:
	case MCODE_MINS:
		return pick(l, compare(l, op), l->a, l->b);
	case MCODE_MAXU:
	case MCODE_MAXS:
		return pick(l, compare(l, op), l->b, l->a);
	case MCODE_ADDSU ... MCODE_SUBSS:
		return saturating(l, op);
	case MCODE_CLZ ... MCODE_POPCNT:
		return count(l, op);
	default:
		return arithmetic(l, op);
	}
}

/* From a 64-bit id, lane number i of the width. */
static uint32_t take(const struct lane *l, uint32_t whole, unsigned i)
{
	struct spirv *sp = l->sp;
	if (!whole)
		return number(l, 0);
	if (i)
		whole = spirv_op2(sp, OpShiftRightLogical, sp->t_u64, whole,
				  spirv_u32(sp, i * l->bits));
	if (l->machine == 32)
		whole = spirv_op1(sp, OpUConvert, sp->t_u32, whole);
	return cut(l, whole);
}

/* Puts a lane that is cut to its width at bit `at` of a 64-bit id. */
static uint32_t place(const struct lane *l, uint32_t whole, uint32_t lane, unsigned at)
{
	struct spirv *sp = l->sp;
	if (l->machine == 32)
		lane = spirv_op1(sp, OpUConvert, sp->t_u64, lane);
	if (at)
		lane = spirv_op2(sp, OpShiftLeftLogical, sp->t_u64, lane, spirv_u32(sp, at));
	return whole ? spirv_op2(sp, OpBitwiseOr, sp->t_u64, whole, lane) : lane;
}

static struct lane lane_for(struct spirv *sp, unsigned bits)
{
	return (struct lane){ .sp = sp,
			      .bits = bits,
			      .machine = bits == 64 ? 64 : 32,
			      .type = bits == 64 ? sp->t_u64 : sp->t_u32 };
}

static uint32_t saturate_lane(const struct lane *l, uint8_t op, uint32_t value)
{
	unsigned h = l->bits / 2;
	uint32_t wide = sign(l, value);
	if (op == MCODE_PACKT)
		return value;
	uint32_t top = number(l, op == MCODE_PACKSS ? (1u << (h - 1)) - 1 : (1u << h) - 1);
	uint32_t bottom =
		op == MCODE_PACKSS ? number(l, (uint64_t)0 - (1u << (h - 1))) : number(l, 0);
	wide = pick(l, test(l, OpSLessThan, top, wide), top, wide);
	return pick(l, test(l, OpSLessThan, wide, bottom), bottom, wide);
}

static uint32_t pack(const struct lane *l, uint8_t op, uint32_t a, uint32_t b)
{
	struct lane narrow = lane_for(l->sp, l->bits / 2);
	unsigned lanes = 64 / l->bits;
	uint32_t result = 0;
	for (unsigned i = 0; i < 2 * lanes; i++) {
		uint32_t v = saturate_lane(l, op, take(l, i < lanes ? a : b, i % lanes));
		result = place(&narrow, result, cut(&narrow, v), i * narrow.bits);
	}
	return result;
}

static uint32_t unpack(const struct lane *l, uint32_t a, uint32_t b, bool high)
{
	unsigned half_lanes = 32 / l->bits, from = high ? half_lanes : 0;
	uint32_t result = 0;
	for (unsigned i = 0; i < half_lanes; i++) {
		result = place(l, result, take(l, a, from + i), 2 * i * l->bits);
		result = place(l, result, take(l, b, from + i), (2 * i + 1) * l->bits);
	}
	return result;
}

static uint32_t sum_differences(const struct lane *l, uint32_t a, uint32_t b)
{
	struct spirv *sp = l->sp;
	uint32_t sum = spirv_u64(sp, 0);
	for (unsigned i = 0; i < 64 / l->bits; i++) {
		uint32_t x = take(l, a, i), y = take(l, b, i);
		uint32_t d = pick(l, test(l, OpULessThan, x, y), bin(l, OpISub, y, x),
				  bin(l, OpISub, x, y));
		sum = spirv_op2(sp, OpIAdd, sp->t_u64, sum,
				spirv_op1(sp, OpUConvert, sp->t_u64, d));
	}
	return sum;
}

static uint32_t multiply_add(const struct lane *l, uint32_t a, uint32_t b)
{
	uint32_t result = 0;
	for (unsigned i = 0; i < 64 / l->bits; i += 2) {
		uint32_t p = bin(l, OpIMul, sign(l, take(l, a, i)), sign(l, take(l, b, i)));
		uint32_t q =
			bin(l, OpIMul, sign(l, take(l, a, i + 1)), sign(l, take(l, b, i + 1)));
		result = place(l, result, bin(l, OpIAdd, p, q), i * l->bits);
	}
	return result;
}

/* Lane by a variable index: shift the whole register by index * w. */
static uint32_t permute(const struct lane *l, uint32_t a, uint32_t b)
{
	struct spirv *sp = l->sp;
	unsigned lanes = 64 / l->bits;
	uint32_t result = 0;
	for (unsigned i = 0; i < lanes; i++) {
		uint32_t index = take(l, b, i);
		uint32_t by = bin(l, OpIMul, bin(l, OpBitwiseAnd, index, number(l, lanes - 1)),
				  number(l, l->bits));
		uint32_t v = spirv_op2(sp, OpShiftRightLogical, sp->t_u64, a, by);
		v = cut(l, spirv_op1(sp, OpUConvert, sp->t_u32, v));
		uint32_t top = bin(l, OpBitwiseAnd, index, number(l, 1u << (l->bits - 1)));
		v = pick(l, test(l, OpINotEqual, top, number(l, 0)), number(l, 0), v);
		result = place(l, result, v, i * l->bits);
	}
	return result;
}

static uint32_t splat_or_mask(const struct lane *l, uint8_t op, uint32_t a)
{
	uint32_t result = 0;
	for (unsigned i = 0; i < 64 / l->bits; i++) {
		if (op == MCODE_SPLAT) {
			result = place(l, result, take(l, a, 0), i * l->bits);
		} else {
			uint32_t top = bin(l, OpShiftRightLogical, take(l, a, i),
					   spirv_u32(l->sp, l->bits - 1));
			result = place(l, result, top, i);
		}
	}
	return result;
}

static uint32_t crossing(struct spirv *sp, uint8_t op, unsigned bits, uint32_t a, uint32_t b)
{
	struct lane l = lane_for(sp, bits);
	switch (op) {
	case MCODE_SPLAT:
	case MCODE_MOVMSK:
		return splat_or_mask(&l, op, a);
	case MCODE_UNPKL:
	case MCODE_UNPKH:
		return unpack(&l, a, b, op == MCODE_UNPKH);
	case MCODE_PACKT:
	case MCODE_PACKSS:
	case MCODE_PACKUS:
		return pack(&l, op, a, b);
	case MCODE_SADU:
		return sum_differences(&l, a, b);
	case MCODE_MADD:
		return multiply_add(&l, a, b);
	default:
		return permute(&l, a, b);
	}
}

uint32_t spirv_alu(struct spirv *sp, uint8_t op, unsigned width_code, bool packed, uint32_t a,
		   uint32_t b, uint32_t d)
{
	unsigned bits = mcode_width_bits(width_code);
	uint32_t result = 0;
	if (op >= MCODE_SPLAT && op <= MCODE_PERM)
		return crossing(sp, op, bits, a, b);
	for (unsigned i = 0; i < (packed ? 64 / bits : 1); i++) {
		struct lane l = lane_for(sp, bits);
		l.a = take(&l, a, i);
		l.b = take(&l, b, i);
		l.d = take(&l, d, i);
		uint32_t value = lane_op(&l, op);
		if (op == MCODE_SEXT)
			return l.machine == 64 ? value
					       : spirv_op1(sp, OpSConvert, sp->t_u64, value);
		result = place(&l, result, cut(&l, value), i * bits);
	}
	return result;
}
