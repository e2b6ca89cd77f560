#include "mcode/alu.h"

#include "base/error.h"
#include "mcode/isa.h"

/* Operands of one lane: cut to w bits, and the same sign-extended. */
struct lane {
	uint64_t a, b, d, mask;
	int64_t sa, sb;
	unsigned bits;
};

static int64_t sign_extend(uint64_t value, unsigned bits)
{
	return (int64_t)(value << (64 - bits)) >> (64 - bits);
}

static uint64_t divide_signed(const struct lane *l)
{
	if (!l->sb)
		return l->sa < 0 ? 1 : UINT64_MAX;
	return l->sb == -1 ? 0 - l->a : (uint64_t)(l->sa / l->sb);
}

static uint64_t remainder_signed(const struct lane *l)
{
	if (!l->sb)
		return l->a;
	return l->sb == -1 ? 0 : (uint64_t)(l->sa % l->sb);
}

static uint64_t multiply_high(const struct lane *l, bool is_signed)
{
	if (is_signed)
		return (uint64_t)(((__int128)l->sa * l->sb) >> l->bits);
	return (uint64_t)(((unsigned __int128)l->a * l->b) >> l->bits);
}

static uint64_t shift(const struct lane *l, uint8_t op)
{
	uint64_t turn = l->b & (l->bits - 1);
	switch (op) {
	case MCODE_SHL:
		return l->b < l->bits ? l->a << l->b : 0;
	case MCODE_SHR:
		return l->b < l->bits ? l->a >> l->b : 0;
	case MCODE_SAR:
		return (uint64_t)(l->sa >> (l->b < l->bits ? l->b : l->bits - 1));
	case MCODE_ROR:
		turn = (l->bits - turn) & (l->bits - 1);
		break;
	default:
		break;
	}
	return turn ? l->a << turn | l->a >> (l->bits - turn) : l->a;
}

static uint64_t saturate_signed(__int128 value, unsigned bits)
{
	__int128 top = ((__int128)1 << (bits - 1)) - 1;
	return (uint64_t)(value > top ? top : value < -top - 1 ? -top - 1 : value);
}

static uint64_t saturating(const struct lane *l, uint8_t op)
{
	switch (op) {
	case MCODE_ADDSU:
		return l->a > l->mask - l->b ? l->mask : l->a + l->b;
	case MCODE_SUBSU:
		return l->a < l->b ? 0 : l->a - l->b;
	case MCODE_ADDSS:
		return saturate_signed((__int128)l->sa + l->sb, l->bits);
	default:
		return saturate_signed((__int128)l->sa - l->sb, l->bits);
	}
}

static uint64_t compare(const struct lane *l, uint8_t op)
{
	switch (op) {
	case MCODE_CMPEQ:
		return l->a == l->b;
	case MCODE_CMPNE:
		return l->a != l->b;
	case MCODE_CMPLTU:
		return l->a < l->b;
	case MCODE_CMPLEU:
		return l->a <= l->b;
	case MCODE_CMPLTS:
		return l->sa < l->sb;
	case MCODE_CMPLES:
		return l->sa <= l->sb;
	case MCODE_MINU:
		return l->a < l->b ? l->a : l->b;
	case MCODE_MINS:
		return l->sa < l->sb ? l->a : l->b;
	case MCODE_MAXU:
		return l->a < l->b ? l->b : l->a;
	default:
		return l->sa < l->sb ? l->b : l->a;
	}
}

static uint64_t bits_op(const struct lane *l, uint8_t op)
{
	switch (op) {
	case MCODE_CLZ:
		return l->a ? (uint64_t)__builtin_clzll(l->a) - (64 - l->bits) : l->bits;
	case MCODE_CTZ:
		return l->a ? (uint64_t)__builtin_ctzll(l->a) : l->bits;
	case MCODE_POPCNT:
		return (uint64_t)__builtin_popcountll(l->a);
	default:
		return __builtin_bswap64(l->a) >> (64 - l->bits);
	}
}

static uint64_t arithmetic(const struct lane *l, uint8_t op)
{
	switch (op) {
	case MCODE_MOV:
		return l->a;
	case MCODE_ADD:
		return l->a + l->b;
	case MCODE_SUB:
		return l->a - l->b;
	case MCODE_MUL:
		return l->a * l->b;
	case MCODE_DIV:
		return l->b ? l->a / l->b : UINT64_MAX;
	case MCODE_REM:
		return l->b ? l->a % l->b : l->a;
	case MCODE_DIVS:
		return divide_signed(l);
	case MCODE_REMS:
		return remainder_signed(l);
	case MCODE_MULHU:
	case MCODE_MULHS:
		return multiply_high(l, op == MCODE_MULHS);
	case MCODE_NEG:
		return 0 - l->a;
	case MCODE_ABS:
		return l->sa < 0 ? 0 - l->a : l->a;
	case MCODE_AND:
		return l->a & l->b;
	case MCODE_OR:
		return l->a | l->b;
	case MCODE_XOR:
		return l->a ^ l->b;
	case MCODE_NOT:
		return ~l->a;
	case MCODE_ANDN:
		return l->a & ~l->b;
	case MCODE_AVGU:
		return (uint64_t)(((unsigned __int128)l->a + l->b + 1) >> 1);
	case MCODE_CMOV:
		return l->a ? l->b : l->d;
	case MCODE_LDI:
		return l->b;
	default:
		CHECK(!"an arithmetic opcode");
		return 0;
	}
}

/* One lane at one width; the caller cuts the result to w bits. */
static uint64_t alu_lane(uint8_t op, const struct lane *l)
{
	switch (op) {
	case MCODE_SHL ... MCODE_ROR:
		return shift(l, op);
	case MCODE_CMPEQ ... MCODE_CMPLES:
	case MCODE_MINU ... MCODE_MAXS:
		return compare(l, op);
	case MCODE_ADDSU ... MCODE_SUBSS:
		return saturating(l, op);
	case MCODE_CLZ ... MCODE_BSWAP:
		return bits_op(l, op);
	default:
		return arithmetic(l, op);
	}
}

static struct lane lane_make(unsigned width_code, uint64_t a, uint64_t b, uint64_t d)
{
	unsigned bits = mcode_width_bits(width_code);
	uint64_t mask = mcode_width_mask(width_code);
	return (struct lane){
		.a = a & mask,
		.b = b & mask,
		.d = d & mask,
		.mask = mask,
		.sa = sign_extend(a, bits),
		.sb = sign_extend(b, bits),
		.bits = bits,
	};
}

static uint64_t lane_get(uint64_t value, unsigned lane, unsigned bits)
{
	return value >> (lane * bits) & (UINT64_MAX >> (64 - bits));
}

static uint64_t lane_at(uint64_t value, unsigned lane, unsigned bits)
{
	return (value & (UINT64_MAX >> (64 - bits))) << (lane * bits);
}

static uint64_t packed_lanes(uint8_t op, unsigned width_code, uint64_t a, uint64_t b,
			     uint64_t d)
{
	unsigned bits = mcode_width_bits(width_code);
	uint64_t result = 0;
	for (unsigned i = 0; i < 64 / bits; i++) {
		struct lane l = lane_make(width_code, lane_get(a, i, bits),
					  lane_get(b, i, bits), lane_get(d, i, bits));
		result |= lane_at(alu_lane(op, &l), i, bits);
	}
	return result;
}

/* UNPKL of 16-bit lanes: a3 a2 a1 a0, b3 b2 b1 b0 -> b1 a1 b0 a0. */
static uint64_t unpack(uint64_t a, uint64_t b, unsigned bits, bool high)
{
	unsigned half = 32 / bits, from = high ? half : 0;
	uint64_t result = 0;
	for (unsigned i = 0; i < half; i++)
		result |= lane_at(lane_get(a, from + i, bits), 2 * i, bits) |
			  lane_at(lane_get(b, from + i, bits), 2 * i + 1, bits);
	return result;
}

static uint64_t narrow(uint8_t op, uint64_t lane, unsigned bits)
{
	int64_t value = sign_extend(lane, bits);
	int64_t top = ((int64_t)1 << bits / 2) - 1;
	if (op == MCODE_PACKSS)
		return saturate_signed(value, bits / 2);
	if (op == MCODE_PACKUS)
		return (uint64_t)(value < 0 ? 0 : value > top ? top : value);
	return lane;
}

static uint64_t pack(uint8_t op, uint64_t a, uint64_t b, unsigned bits)
{
	unsigned lanes = 64 / bits;
	uint64_t result = 0;
	for (unsigned i = 0; i < 2 * lanes; i++) {
		uint64_t lane = lane_get(i < lanes ? a : b, i % lanes, bits);
		result |= lane_at(narrow(op, lane, bits), i, bits / 2);
	}
	return result;
}

static uint64_t sum_abs_differences(uint64_t a, uint64_t b, unsigned bits)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < 64 / bits; i++) {
		uint64_t x = lane_get(a, i, bits), y = lane_get(b, i, bits);
		sum += x > y ? x - y : y - x;
	}
	return sum;
}

static uint64_t multiply_add(uint64_t a, uint64_t b, unsigned bits)
{
	uint64_t result = 0;
	for (unsigned i = 0; i < 64 / bits; i += 2) {
		uint64_t sum = 0;
		for (unsigned j = i; j < i + 2; j++)
			sum += (uint64_t)(sign_extend(lane_get(a, j, bits), bits) *
					  sign_extend(lane_get(b, j, bits), bits));
		result |= lane_at(sum, i / 2, 2 * bits);
	}
	return result;
}

static uint64_t permute(uint64_t a, uint64_t b, unsigned bits)
{
	unsigned lanes = 64 / bits;
	uint64_t result = 0;
	for (unsigned i = 0; i < lanes; i++) {
		uint64_t index = lane_get(b, i, bits);
		if (!(index >> (bits - 1)))
			result |= lane_at(lane_get(a, (unsigned)index % lanes, bits), i, bits);
	}
	return result;
}

static uint64_t crossing(uint8_t op, unsigned bits, uint64_t a, uint64_t b)
{
	uint64_t result = 0;
	switch (op) {
	case MCODE_SPLAT:
		for (unsigned i = 0; i < 64 / bits; i++)
			result |= lane_at(a, i, bits);
		return result;
	case MCODE_MOVMSK:
		for (unsigned i = 0; i < 64 / bits; i++)
			result |= (a >> (i * bits + bits - 1) & 1) << i;
		return result;
	case MCODE_UNPKL:
	case MCODE_UNPKH:
		return unpack(a, b, bits, op == MCODE_UNPKH);
	case MCODE_PACKT:
	case MCODE_PACKSS:
	case MCODE_PACKUS:
		return pack(op, a, b, bits);
	case MCODE_SADU:
		return sum_abs_differences(a, b, bits);
	case MCODE_MADD:
		return multiply_add(a, b, bits);
	default:
		return permute(a, b, bits);
	}
}

uint64_t mcode_alu(uint8_t op, unsigned width_code, bool packed, uint64_t a, uint64_t b,
		   uint64_t d)
{
	if (op >= MCODE_SPLAT && op <= MCODE_PERM)
		return crossing(op, mcode_width_bits(width_code), a, b);
	if (packed)
		return packed_lanes(op, width_code, a, b, d);
	if (op == MCODE_SEXT)
		return (uint64_t)sign_extend(a, mcode_width_bits(width_code));
	struct lane l = lane_make(width_code, a, b, d);
	return alu_lane(op, &l) & l.mask;
}
