#include "learn/ssa.h"

#include <string.h>

#include "base/error.h"

void ssa_destroy(struct ssa *ssa)
{
	if (!ssa)
		return;
	VEC_FREE(&ssa->values);
	free(ssa);
}

bool ssa_is_pure(const struct ssa_value *value)
{
	const struct mcode_op_info *info = mcode_op_info(value->insn.op);
	return info->form == MCODE_FORM_RR || info->form == MCODE_FORM_RRR;
}

uint8_t ssa_result_bits(const struct mcode_insn *insn)
{
	unsigned bits = mcode_width_bits(insn->width_code);
	if (insn->packed || insn->op == MCODE_SEXT)
		return 64;
	switch (insn->op) {
	case MCODE_CMPEQ:
	case MCODE_CMPNE:
	case MCODE_CMPLTU:
	case MCODE_CMPLEU:
	case MCODE_CMPLTS:
	case MCODE_CMPLES:
		return 1;
	default:
		return (uint8_t)bits;
	}
}

static uint8_t bits_of_imm(uint64_t imm)
{
	return imm ? (uint8_t)(64 - __builtin_clzll(imm)) : 1;
}

/* Which register fields an instruction reads: rs1, rs2, rd. */
struct reads {
	bool a, b, d;
};

static struct reads reads_of(const struct mcode_insn *insn)
{
	struct reads r = { false, false, false };
	switch (mcode_op_info(insn->op)->form) {
	case MCODE_FORM_RR:
		r.a = true;
		break;
	case MCODE_FORM_RRR:
		r.a = true;
		r.b = !insn->has_imm;
		r.d = insn->op == MCODE_CMOV;
		break;
	case MCODE_FORM_LDX:
		r.b = true;
		break;
	case MCODE_FORM_STX:
		r.b = r.d = true;
		break;
	case MCODE_FORM_ST:
	case MCODE_FORM_PUT:
		r.d = true;
		break;
	default:
		break;
	}
	return r;
}

static bool has_result(const struct mcode_insn *insn)
{
	switch (mcode_op_info(insn->op)->form) {
	case MCODE_FORM_RR:
	case MCODE_FORM_RRR:
	case MCODE_FORM_RI:
	case MCODE_FORM_LD:
	case MCODE_FORM_LDX:
	case MCODE_FORM_GET:
		return true;
	default:
		return false;
	}
}

static uint8_t bits_of(const struct ssa *ssa, const struct ssa_value *v)
{
	(void)ssa;
	switch (mcode_op_info(v->insn.op)->form) {
	case MCODE_FORM_RI:
		return bits_of_imm(v->insn.imm);
	case MCODE_FORM_LD:
	case MCODE_FORM_LDX:
		return (uint8_t)mcode_width_bits(v->insn.width_code);
	case MCODE_FORM_RR:
	case MCODE_FORM_RRR:
		return ssa_result_bits(&v->insn);
	default:
		return 64;
	}
}

/* A copy is what it copies; so is a cut to bits that are all there is. */
static int see_through(const struct ssa *ssa, const struct ssa_value *v)
{
	unsigned width = mcode_width_bits(v->insn.width_code);
	if (v->insn.op != MCODE_MOV || v->insn.packed)
		return SSA_NONE;
	if (width == 64)
		return v->a;
	return v->a >= 0 && ssa->values.items[v->a].bits <= width ? v->a : SSA_NONE;
}

static struct error *read_insn(struct ssa *ssa, const struct mcode_insn *insn, int *holds)
{
	struct ssa_value v = { .insn = *insn, .a = SSA_NONE, .b = SSA_NONE, .d = SSA_NONE };
	struct reads r = reads_of(insn);
	if (r.a)
		v.a = holds[insn->rs1];
	if (r.b)
		v.b = holds[insn->rs2];
	if (r.d)
		v.d = holds[insn->rd];
	if ((r.a && v.a == SSA_NONE) || (r.b && v.b == SSA_NONE) || (r.d && v.d == SSA_NONE))
		return error_create(ERR_UNSUPPORTED, "a register read before it is set");
	v.bits = bits_of(ssa, &v);
	int same = see_through(ssa, &v);
	if (same != SSA_NONE) {
		holds[insn->rd] = same;
		return NULL;
	}
	if (!VEC_PUSH(&ssa->values, v))
		return error_create(ERR_MEMORY, "out of memory");
	if (has_result(insn))
		holds[insn->rd] = (int)ssa->values.count - 1;
	return NULL;
}

struct error *ssa_create(const struct mcode_code *code, struct ssa **ret)
{
	AUTO(own_ssa) struct ssa *ssa = NULL;
	int holds[MCODE_REGISTERS];
	TRY(error_alloc(1, sizeof(*ssa), &ssa));
	for (unsigned r = 0; r < MCODE_REGISTERS; r++)
		holds[r] = r ? SSA_NONE : SSA_START;
	for (uint32_t at = 0; at < code->count;) {
		struct mcode_insn insn;
		if (!mcode_decode(code->pixels, code->count, at, &insn, NULL))
			return error_create(ERR_BAD_DATA, "a section that does not decode");
		at += insn.n_pixels;
		if (insn.op == MCODE_HALT)
			break;
		if (mcode_op_info(insn.op)->class == MCODE_CLASS_CONTROL)
			return error_create(ERR_UNSUPPORTED, "a section with jumps");
		TRY(read_insn(ssa, &insn, holds));
	}
	*ret = TAKE(ssa);
	return NULL;
}

static void add_use(unsigned *uses, int value)
{
	if (value >= 0)
		uses[value]++;
}

void ssa_count_uses(struct ssa *ssa, unsigned *uses)
{
	memset(uses, 0, ssa->values.count * sizeof(*uses));
	for (size_t i = ssa->values.count; i-- > 0;) {
		struct ssa_value *v = &ssa->values.items[i];
		/* Loads can fault: they stay only where something needs them, as in the first
		 * translation. */
		v->dead = has_result(&v->insn) && uses[i] == 0;
		if (v->dead)
			continue;
		add_use(uses, v->a);
		add_use(uses, v->b);
		add_use(uses, v->d);
	}
}

/* Registers given out in one pass: each value keeps its register until its last use. */
struct giver {
	struct ssa *ssa;
	struct mcode_code *code;
	unsigned *left; /* uses to come, by value */
	uint8_t *reg; /* by value */
	int holds[MCODE_REGISTERS]; /* value, SSA_START or SSA_NONE */
	unsigned start_left;
};

static uint8_t reg_of(const struct giver *g, int value)
{
	return value == SSA_START ? 0 : value >= 0 ? g->reg[value] : 0;
}

static void used(struct giver *g, int value)
{
	unsigned *left = value == SSA_START ? &g->start_left
			 : value >= 0	    ? &g->left[value]
					    : NULL;
	if (left && --*left == 0)
		g->holds[reg_of(g, value)] = SSA_NONE;
}

static struct error *take_free(struct giver *g, unsigned *ret)
{
	for (unsigned r = 0; r < MCODE_REGISTERS; r++) {
		if (g->holds[r] != SSA_NONE)
			continue;
		*ret = r;
		return NULL;
	}
	return error_create(ERR_LIMIT, "too many values at once");
}

/* A result that starts from rd's old value: in its register if nobody else needs it. */
static struct error *place_over(struct giver *g, const struct ssa_value *v, unsigned *ret)
{
	unsigned left = v->d == SSA_START ? g->start_left : g->left[v->d];
	bool mine = left == 1 && v->a != v->d && v->b != v->d;
	*ret = reg_of(g, v->d);
	if (mine)
		return NULL;
	TRY(take_free(g, ret));
	return mcode_emit(g->code, &(struct mcode_insn){ .op = MCODE_MOV,
							 .rd = (uint8_t)*ret,
							 .rs1 = reg_of(g, v->d) });
}

static struct error *emit_one(struct giver *g, size_t at)
{
	const struct ssa_value *v = &g->ssa->values.items[at];
	struct mcode_insn insn = v->insn;
	bool over = insn.op == MCODE_CMOV, result = has_result(&insn);
	unsigned rd = reg_of(g, v->d);
	if (over)
		TRY(place_over(g, v, &rd));
	if (v->a != SSA_NONE)
		insn.rs1 = reg_of(g, v->a);
	if (v->b != SSA_NONE)
		insn.rs2 = reg_of(g, v->b);
	used(g, v->a);
	used(g, v->b);
	used(g, v->d);
	if (result && !over)
		TRY(take_free(g, &rd));
	insn.rd = (uint8_t)rd;
	if (result) {
		g->reg[at] = (uint8_t)rd;
		g->holds[rd] = (int)at;
	}
	return mcode_emit(g->code, &insn);
}

static void count_start(struct giver *g)
{
	g->holds[0] = SSA_NONE;
	for (size_t i = 0; i < g->ssa->values.count; i++) {
		const struct ssa_value *v = &g->ssa->values.items[i];
		if (!v->dead)
			g->start_left +=
				(v->a == SSA_START) + (v->b == SSA_START) + (v->d == SSA_START);
	}
	if (g->start_left)
		g->holds[0] = SSA_START;
}

struct error *ssa_emit(struct ssa *ssa, struct mcode_code *ret)
{
	AUTO(own_free) unsigned *left = NULL;
	AUTO(own_free) uint8_t *reg = NULL;
	TRY(error_alloc(ssa->values.count + 1, sizeof(*left), &left));
	TRY(error_alloc(ssa->values.count + 1, 1, &reg));
	ssa_count_uses(ssa, left);
	struct giver g = { .ssa = ssa, .code = ret, .left = left, .reg = reg };
	for (unsigned r = 0; r < MCODE_REGISTERS; r++)
		g.holds[r] = SSA_NONE;
	count_start(&g);
	for (size_t i = 0; i < ssa->values.count; i++)
		if (!ssa->values.items[i].dead)
			TRY(emit_one(&g, i));
	return mcode_emit(ret, &(struct mcode_insn){ .op = MCODE_HALT });
}
