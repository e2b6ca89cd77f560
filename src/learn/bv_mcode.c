#include "learn/bv_mcode.h"

#include <string.h>

#include "base/error.h"
#include "base/vec.h"

enum { CONDITION_DEPTH = 6 };

void bv_mcode_init(struct bv_mcode *m, Z3_context z, const struct mcode_kernel *kernel)
{
	m->z = z;
	m->kernel = kernel;
	for (unsigned i = 0; i < MCODE_SLOTS; i++)
		m->slots[i] = bv_const(z, 64, 0);
}

bool bv_mcode_op(uint8_t opcode, enum ir_op *ret)
{
	static const struct {
		uint8_t opcode, op;
	} same[] = {
		{ MCODE_ADD, IR_ADD },	     { MCODE_SUB, IR_SUB },
		{ MCODE_MUL, IR_MUL },	     { MCODE_DIV, IR_UDIV },
		{ MCODE_REM, IR_UREM },	     { MCODE_MULHU, IR_MULHU },
		{ MCODE_MULHS, IR_MULHS },   { MCODE_AND, IR_AND },
		{ MCODE_OR, IR_OR },	     { MCODE_XOR, IR_XOR },
		{ MCODE_SHL, IR_SHL },	     { MCODE_SHR, IR_SHR },
		{ MCODE_SAR, IR_SAR },	     { MCODE_MINU, IR_MINU },
		{ MCODE_MINS, IR_MINS },     { MCODE_MAXU, IR_MAXU },
		{ MCODE_MAXS, IR_MAXS },     { MCODE_AVGU, IR_AVGU },
		{ MCODE_ADDSU, IR_ADDSU },   { MCODE_ADDSS, IR_ADDSS },
		{ MCODE_SUBSU, IR_SUBSU },   { MCODE_SUBSS, IR_SUBSS },
		{ MCODE_CLZ, IR_CLZ },	     { MCODE_CTZ, IR_CTZ },
		{ MCODE_UNPKL, IR_UNPKL },   { MCODE_UNPKH, IR_UNPKH },
		{ MCODE_PACKT, IR_PACKT },   { MCODE_PACKSS, IR_PACKSS },
		{ MCODE_PACKUS, IR_PACKUS }, { MCODE_MOVMSK, IR_MOVMSK },
	};
	for (size_t i = 0; i < sizeof(same) / sizeof(*same); i++) {
		if (same[i].opcode != opcode)
			continue;
		*ret = same[i].op;
		return true;
	}
	return false;
}

static Z3_ast compare(Z3_context z, uint8_t op, Z3_ast a, Z3_ast b)
{
	switch (op) {
	case MCODE_CMPEQ:
		return Z3_mk_eq(z, a, b);
	case MCODE_CMPNE:
		return Z3_mk_not(z, Z3_mk_eq(z, a, b));
	case MCODE_CMPLTU:
		return Z3_mk_bvult(z, a, b);
	case MCODE_CMPLEU:
		return Z3_mk_bvule(z, a, b);
	case MCODE_CMPLTS:
		return Z3_mk_bvslt(z, a, b);
	case MCODE_CMPLES:
		return Z3_mk_bvsle(z, a, b);
	default:
		return NULL;
	}
}

static Z3_ast count_ones(Z3_context z, Z3_ast a)
{
	unsigned bits = bv_width(z, a);
	Z3_ast sum = bv_const(z, bits, 0);
	for (unsigned i = 0; i < bits; i++)
		sum = Z3_mk_bvadd(z, sum, bv_resize(z, bv_extract(z, a, i, 1), bits));
	return sum;
}

static Z3_ast swap_bytes(Z3_context z, Z3_ast a)
{
	Z3_ast result = NULL;
	for (unsigned at = 0; at < bv_width(z, a); at += 8) {
		Z3_ast byte = bv_extract(z, a, at, 8);
		result = result ? Z3_mk_concat(z, result, byte) : byte;
	}
	return result;
}

/* The condition behind a term that is 1 where it holds and 0 where not; NULL: none is seen. */
static Z3_ast condition_of(Z3_context z, Z3_ast a, unsigned depth)
{
	uint64_t yes, no;
	Z3_app app = Z3_to_app(z, a);
	Z3_decl_kind kind = Z3_get_decl_kind(z, Z3_get_app_decl(z, app));
	if (bv_is_value(z, a, &yes))
		return yes > 1 ? NULL : yes ? Z3_mk_true(z) : Z3_mk_false(z);
	if (depth == 0 || Z3_get_app_num_args(z, app) == 0)
		return NULL;
	Z3_ast first = Z3_get_app_arg(z, app, 0);
	if (kind == Z3_OP_ZERO_EXT ||
	    (kind == Z3_OP_EXTRACT &&
	     Z3_get_decl_int_parameter(z, Z3_get_app_decl(z, app), 1) == 0))
		return condition_of(z, first, depth - 1);
	if (kind == Z3_OP_ITE && bv_is_value(z, Z3_get_app_arg(z, app, 1), &yes) &&
	    bv_is_value(z, Z3_get_app_arg(z, app, 2), &no) && yes + no == 1)
		return yes ? first : Z3_mk_not(z, first);
	if (kind != Z3_OP_BXOR && kind != Z3_OP_BAND && kind != Z3_OP_BOR)
		return NULL;
	Z3_ast both[2] = { condition_of(z, first, depth - 1),
			   condition_of(z, Z3_get_app_arg(z, app, 1), depth - 1) };
	if (!both[0] || !both[1] || Z3_get_app_num_args(z, app) != 2)
		return NULL;
	return kind == Z3_OP_BXOR   ? Z3_mk_xor(z, both[0], both[1])
	       : kind == Z3_OP_BAND ? Z3_mk_and(z, 2, both)
				    : Z3_mk_or(z, 2, both);
}

/* a = 0, without the detour over bits where a is a condition. */
static Z3_ast is_zero(Z3_context z, Z3_ast a)
{
	Z3_ast condition = condition_of(z, a, CONDITION_DEPTH);
	return condition ? Z3_mk_not(z, condition)
			 : Z3_mk_eq(z, a, bv_const(z, bv_width(z, a), 0));
}

/* One lane, or the whole operand cut to the width: terms of `bits` bits. d: rd before. */
static Z3_ast scalar(Z3_context z, uint8_t op, Z3_ast a, Z3_ast b, Z3_ast d)
{
	unsigned bits = bv_width(z, a);
	Z3_ast condition = compare(z, op, a, b);
	enum ir_op same;
	if (condition)
		return bv_from_bool(z, condition, bits);
	if (bv_mcode_op(op, &same))
		return bv_op(z, same, a, b);
	switch (op) {
	case MCODE_MOV:
		return a;
	case MCODE_NEG:
		return Z3_mk_bvsub(z, bv_const(z, bits, 0), a);
	case MCODE_NOT:
		return Z3_mk_bvxor(z, a, bv_const(z, bits, ~0ull));
	case MCODE_ANDN:
		return Z3_mk_bvand(z, a, Z3_mk_bvxor(z, b, bv_const(z, bits, ~0ull)));
	case MCODE_ABS:
		return Z3_mk_ite(z, Z3_mk_bvslt(z, a, bv_const(z, bits, 0)),
				 Z3_mk_bvsub(z, bv_const(z, bits, 0), a), a);
	case MCODE_CMOV:
		return Z3_mk_ite(z, is_zero(z, a), d, b);
	case MCODE_DIVS:
		return Z3_mk_bvsdiv(z, a, b);
	case MCODE_REMS:
		return Z3_mk_bvsrem(z, a, b);
	case MCODE_ROL:
		return Z3_mk_ext_rotate_left(z, a, b);
	case MCODE_ROR:
		return Z3_mk_ext_rotate_right(z, a, b);
	case MCODE_POPCNT:
		return count_ones(z, a);
	case MCODE_BSWAP:
		return swap_bytes(z, a);
	default:
		return NULL;
	}
}

/* Lane `index mod count` of a, for an index that is a term. */
static Z3_ast pick_lane(Z3_context z, unsigned lane, Z3_ast a, Z3_ast index)
{
	unsigned count = 64 / lane;
	Z3_ast low = Z3_mk_bvand(z, index, bv_const(z, lane, count - 1));
	Z3_ast result = bv_extract(z, a, 0, lane);
	for (unsigned i = 1; i < count; i++)
		result = Z3_mk_ite(z, Z3_mk_eq(z, low, bv_const(z, lane, i)),
				   bv_extract(z, a, i * lane, lane), result);
	return Z3_mk_ite(z, Z3_mk_eq(z, bv_extract(z, index, lane - 1, 1), bv_const(z, 1, 1)),
			 bv_const(z, lane, 0), result);
}

static Z3_ast sum_of_distances(Z3_context z, unsigned lane, Z3_ast a, Z3_ast b)
{
	Z3_ast sum = bv_const(z, 64, 0);
	for (unsigned at = 0; at < 64; at += lane) {
		Z3_ast x = bv_extract(z, a, at, lane), y = bv_extract(z, b, at, lane);
		Z3_ast distance = Z3_mk_ite(z, Z3_mk_bvult(z, x, y), Z3_mk_bvsub(z, y, x),
					    Z3_mk_bvsub(z, x, y));
		sum = Z3_mk_bvadd(z, sum, bv_resize(z, distance, 64));
	}
	return sum;
}

/* Signed products of lanes 2i and 2i + 1 added. */
static Z3_ast multiply_add(Z3_context z, unsigned lane, Z3_ast a, Z3_ast b)
{
	Z3_ast result = NULL;
	for (unsigned at = 0; at < 64; at += 2 * lane) {
		Z3_ast sum = bv_const(z, 2 * lane, 0);
		for (unsigned i = 0; i < 2; i++) {
			Z3_ast x = bv_extract(z, a, at + i * lane, lane);
			Z3_ast y = bv_extract(z, b, at + i * lane, lane);
			sum = Z3_mk_bvadd(z, sum,
					  Z3_mk_bvmul(z, bv_sign_extend(z, x, 2 * lane),
						      bv_sign_extend(z, y, 2 * lane)));
		}
		result = result ? Z3_mk_concat(z, sum, result) : sum;
	}
	return result;
}

/* Operations across lanes that expressions lack; NULL: none of these. */
static Z3_ast across(Z3_context z, uint8_t op, unsigned lane, Z3_ast a, Z3_ast b)
{
	Z3_ast result = NULL;
	if (op == MCODE_SADU)
		return sum_of_distances(z, lane, a, b);
	if (op == MCODE_MADD)
		return multiply_add(z, lane, a, b);
	if (op != MCODE_SPLAT && op != MCODE_PERM)
		return NULL;
	for (unsigned at = 0; at < 64; at += lane) {
		Z3_ast out = op == MCODE_SPLAT
				     ? bv_extract(z, a, 0, lane)
				     : pick_lane(z, lane, a, bv_extract(z, b, at, lane));
		result = result ? Z3_mk_concat(z, out, result) : out;
	}
	return result;
}

static Z3_ast packed(Z3_context z, const struct mcode_insn *insn, Z3_ast a, Z3_ast b, Z3_ast d)
{
	unsigned lane = mcode_width_bits(insn->width_code);
	enum ir_op same;
	if (insn->op == MCODE_NEG)
		return bv_lanes(z, IR_SUB, lane, bv_const(z, 64, 0), a);
	if (bv_mcode_op(insn->op, &same))
		return bv_lanes(z, same, lane, a, b);
	Z3_ast result = across(z, insn->op, lane, a, b);
	if (result)
		return result;
	for (unsigned i = 64 / lane; i-- > 0;) {
		Z3_ast out = scalar(z, insn->op, bv_extract(z, a, i * lane, lane),
				    bv_extract(z, b, i * lane, lane),
				    bv_extract(z, d, i * lane, lane));
		if (!out)
			return NULL;
		result = result ? Z3_mk_concat(z, result, out) : out;
	}
	return result;
}

Z3_ast bv_mcode_value(Z3_context z, const struct mcode_insn *insn, Z3_ast a, Z3_ast b, Z3_ast d)
{
	if (insn->has_imm)
		b = bv_const(z, 64, insn->imm);
	if (insn->packed)
		return packed(z, insn, a, b, d);
	unsigned bits = mcode_width_bits(insn->width_code);
	Z3_ast low_b = insn->has_imm ? bv_const(z, bits, insn->imm) : bv_resize(z, b, bits);
	if (insn->op == MCODE_SEXT)
		return bv_sign_extend(z, bv_resize(z, a, bits), 64);
	Z3_ast out = scalar(z, insn->op, bv_resize(z, a, bits), low_b, bv_resize(z, d, bits));
	return out ? bv_resize(z, out, 64) : NULL;
}

/* Both hold; NULL is what always does. */
static Z3_ast both(Z3_context z, Z3_ast a, Z3_ast b)
{
	Z3_ast args[2] = { a, b };
	return !a ? b : !b ? a : Z3_mk_and(z, 2, args);
}

static struct error *memory(struct bv_mcode *m, const struct mcode_insn *insn)
{
	unsigned bits = mcode_width_bits(insn->width_code);
	int64_t offset = (int64_t)insn->imm;
	bool indexed = insn->op == MCODE_LDX || insn->op == MCODE_STX;
	Z3_ast index = indexed ? m->regs[insn->rs2] : NULL, condition = NULL, value;
	if (!m->load || !m->store)
		return error_create(ERR_BAD_DATA, "memory outside the body");
	if (insn->op == MCODE_LD || insn->op == MCODE_LDX) {
		TRY(m->load(m->user, insn->rs1, index, offset, bits, &value));
		m->regs[insn->rd] = bv_resize(m->z, value, 64);
		return NULL;
	}
	if (insn->op == MCODE_STC)
		condition = Z3_mk_not(m->z, is_zero(m->z, m->regs[insn->rs2]));
	value = bv_resize(m->z, m->regs[insn->rd], bits);
	return m->store(m->user, insn->rs1, index, offset, value,
			both(m->z, m->reached, condition));
}

/* State on a way that jumped. */
struct way {
	uint64_t target; /* pixel */
	Z3_ast condition; /* it was gone; NULL: always */
	Z3_ast slots[MCODE_SLOTS], regs[MCODE_REGISTERS];
};

struct ways {
	VEC(struct way) list; /* in the order of their jumps */
};

/* Goes to the target if `taken`; the instructions in between are for who does not. */
static struct error *jump(struct bv_mcode *m, struct ways *ways, uint64_t target, Z3_ast taken)
{
	struct way way = { .target = target, .condition = both(m->z, m->reached, taken) };
	memcpy(way.slots, m->slots, sizeof(way.slots));
	memcpy(way.regs, m->regs, sizeof(way.regs));
	if (!VEC_PUSH(&ways->list, way))
		return error_create(ERR_MEMORY, "out of memory");
	m->reached = taken ? both(m->z, m->reached, Z3_mk_not(m->z, taken)) : Z3_mk_false(m->z);
	return NULL;
}

static void select_all(Z3_context z, Z3_ast condition, const Z3_ast *from, Z3_ast *to,
		       unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (from[i] != to[i])
			to[i] = Z3_mk_ite(z, condition, from[i], to[i]);
}

/* `to` becomes what it is on either way; only one of them is gone. */
static void merge(Z3_context z, struct way *to, const struct way *way)
{
	Z3_ast condition = way->condition ? way->condition : Z3_mk_true(z);
	Z3_ast either[2] = { to->condition ? to->condition : Z3_mk_true(z), condition };
	select_all(z, condition, way->slots, to->slots, MCODE_SLOTS);
	select_all(z, condition, way->regs, to->regs, MCODE_REGISTERS);
	to->condition = Z3_mk_or(z, 2, either);
}

/* Who jumped here joins who came here step by step. With nobody left in flight all are here. */
static struct error *land(struct bv_mcode *m, struct ways *ways, uint64_t at)
{
	size_t left = 0, landed = 0;
	AUTO(own_free) struct way *here = NULL;
	for (size_t i = 0; i < ways->list.count; i++)
		landed += ways->list.items[i].target == at;
	if (!landed)
		return NULL;
	TRY(jump(m, ways, at, NULL));
	TRY(error_alloc(1, sizeof(*here), &here));
	landed = 0;
	for (size_t i = 0; i < ways->list.count; i++) {
		const struct way *way = &ways->list.items[i];
		if (way->target != at)
			ways->list.items[left++] = *way;
		else if (landed++ == 0)
			*here = *way;
		else
			merge(m->z, here, way);
	}
	ways->list.count = left;
	memcpy(m->slots, here->slots, sizeof(m->slots));
	memcpy(m->regs, here->regs, sizeof(m->regs));
	m->reached = left ? here->condition : NULL;
	return NULL;
}

static struct error *conditional_jump(struct bv_mcode *m, struct ways *ways,
				      const struct mcode_insn *insn, uint64_t at)
{
	Z3_ast zero = is_zero(m->z, m->regs[insn->rs1]);
	if (insn->imm <= at)
		return error_create(ERR_UNSUPPORTED, "the prover takes no jumps back");
	if (insn->op == MCODE_JMP)
		return jump(m, ways, insn->imm, NULL);
	return jump(m, ways, insn->imm, insn->op == MCODE_JZ ? zero : Z3_mk_not(m->z, zero));
}

static struct error *step(struct bv_mcode *m, struct ways *ways, const struct mcode_insn *insn,
			  uint64_t at)
{
	Z3_ast value;
	switch (insn->op) {
	case MCODE_NOP:
		return NULL;
	case MCODE_HALT:
		return jump(m, ways, m->kernel->code[m->section].count, NULL);
	case MCODE_LDI:
		m->regs[insn->rd] = bv_const(m->z, 64, insn->imm);
		return NULL;
	case MCODE_GET:
		m->regs[insn->rd] = m->slots[insn->rs1];
		return NULL;
	case MCODE_PUT:
		m->slots[insn->rs1] = m->regs[insn->rd];
		return NULL;
	case MCODE_LD:
	case MCODE_LDX:
	case MCODE_ST:
	case MCODE_STC:
	case MCODE_STX:
		return memory(m, insn);
	case MCODE_JMP:
	case MCODE_JZ:
	case MCODE_JNZ:
		return conditional_jump(m, ways, insn, at);
	default:
		break;
	}
	value = bv_mcode_value(m->z, insn, m->regs[insn->rs1], m->regs[insn->rs2],
			       m->regs[insn->rd]);
	if (!value)
		return error_create(ERR_UNSUPPORTED, "the prover does not know opcode 0x%x",
				    insn->op);
	m->regs[insn->rd] = value;
	return NULL;
}

static struct error *run_all(struct bv_mcode *m, struct ways *ways)
{
	const struct mcode_code *code = &m->kernel->code[m->section];
	struct mcode_insn insn;
	for (uint32_t at = 0; at < code->count; at += insn.n_pixels) {
		const char *why;
		if (!mcode_decode(code->pixels, code->count, at, &insn, &why))
			return error_create(ERR_BAD_DATA, "%s at pixel %u: %s",
					    mcode_section_name(m->section), at, why);
		TRY(land(m, ways, at));
		TRY(step(m, ways, &insn, at));
	}
	return land(m, ways, code->count);
}

struct error *bv_mcode_run(struct bv_mcode *m, enum mcode_section section, Z3_ast r0)
{
	struct ways ways = { 0 };
	for (unsigned i = 0; i < MCODE_REGISTERS; i++)
		m->regs[i] = bv_const(m->z, 64, 0);
	if (r0)
		m->regs[0] = r0;
	m->section = section;
	m->reached = NULL;
	struct error *err = run_all(m, &ways);
	VEC_FREE(&ways.list);
	return err;
}
