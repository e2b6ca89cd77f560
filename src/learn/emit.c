/* Rules:
 * 1. A register always holds its value zero-extended to 64 bits; ZEXT is therefore the same
 *    register as its argument.
 * 2. Widths that microcode lacks (1 bit, 57 bits) are computed in the next one it has and cut.
 * 3. A value lives in a register while uses are left; under pressure it moves to a spill slot,
 *    from where it comes back when it is needed. */
#include "learn/emit_internal.h"

#include <string.h>

#include "base/error.h"

struct error *emit_create(const struct emit_params *params, struct emit **ret)
{
	struct emit *emit = NULL;
	TRY(error_alloc(1, sizeof(*emit), &emit));
	emit->p = *params;
	struct error *err =
		error_alloc(ir_count(params->ir) + 1, sizeof(*emit->places), &emit->places);
	if (err) {
		emit_destroy(emit);
		return err;
	}
	for (size_t i = 0; i <= ir_count(params->ir); i++)
		emit->places[i] = (struct place){ .reg = NO_REG, .spill = -1 };
	if (params->in_r0 != IR_NONE) {
		emit->holds[0] = params->in_r0;
		emit->places[params->in_r0].reg = 0;
		emit->places[params->in_r0].uses = 1; /* until the end */
	}
	*ret = emit;
	return NULL;
}

void emit_destroy(struct emit *emit)
{
	if (!emit)
		return;
	free(emit->places);
	free(emit);
}

/* Rule 1. */
ir_ref emit_strip(const struct emit *emit, ir_ref ref)
{
	while (ir_get(emit->p.ir, ref)->op == IR_ZEXT)
		ref = ir_get(emit->p.ir, ref)->args[0];
	return ref;
}

bool emit_comes_from_slot(const struct emit *emit, ir_ref ref)
{
	return emit->p.slot_of && emit->p.slot_of(emit->p.user, ref) >= 0;
}

void emit_expect(struct emit *emit, ir_ref ref)
{
	ref = emit_strip(emit, ref);
	if (emit->places[ref].uses++ > 0 || ir_is_const(emit->p.ir, ref, NULL) ||
	    emit_comes_from_slot(emit, ref))
		return;
	const struct ir_node *node = ir_get(emit->p.ir, ref);
	for (unsigned i = 0; i < ir_arity(node->op); i++)
		emit_expect(emit, node->args[i]);
}

bool emit_is_live(const struct emit *emit, ir_ref ref)
{
	return emit->places[emit_strip(emit, ref)].uses > 0;
}

struct error *emit_insn(struct emit *emit, const struct mcode_insn *insn)
{
	return mcode_emit(&emit->p.kernel->code[emit->p.section], insn);
}

static struct error *new_spill(struct emit *emit, int16_t *slot_ret)
{
	if (emit->n_free_spills) {
		*slot_ret = emit->free_spills[--emit->n_free_spills];
		return NULL;
	}
	if (emit->p.kernel->n_slots >= MCODE_SLOTS)
		return error_create(ERR_LIMIT, "the loop needs too many values at once");
	*slot_ret = (int16_t)emit->p.kernel->n_slots++;
	return NULL;
}

/* The value can be had again without its register. */
struct error *emit_save(struct emit *emit, unsigned reg)
{
	struct place *place = &emit->places[emit->holds[reg]];
	uint64_t value;
	if (ir_is_const(emit->p.ir, emit->holds[reg], &value) ||
	    emit_comes_from_slot(emit, emit->holds[reg]) || place->spill >= 0)
		return NULL;
	TRY(new_spill(emit, &place->spill));
	return emit_insn(emit, &(struct mcode_insn){ .op = MCODE_PUT,
						     .rd = (uint8_t)reg,
						     .rs1 = (uint8_t)place->spill });
}

void emit_forget(struct emit *emit, unsigned reg)
{
	emit->places[emit->holds[reg]].reg = NO_REG;
	emit->holds[reg] = IR_NONE;
}

static struct error *take_register(struct emit *emit, unsigned *reg_ret)
{
	unsigned victim = REGS;
	for (unsigned r = 0; r < REGS; r++) {
		if (emit->pinned[r])
			continue;
		if (emit->holds[r] == IR_NONE) {
			*reg_ret = r;
			return NULL;
		}
		if (emit->holds[r] == emit->p.in_r0)
			continue;
		if (victim == REGS || emit->last_use[r] < emit->last_use[victim])
			victim = r;
	}
	CHECK(victim < REGS);
	TRY(emit_save(emit, victim));
	emit_forget(emit, victim);
	*reg_ret = victim;
	return NULL;
}

struct error *emit_scratch(struct emit *emit, unsigned *reg_ret)
{
	return take_register(emit, reg_ret);
}

void emit_done(struct emit *emit, ir_ref ref)
{
	ref = emit_strip(emit, ref);
	struct place *place = &emit->places[ref];
	CHECK(place->uses > 0);
	if (--place->uses > 0)
		return;
	if (place->reg != NO_REG)
		emit->holds[place->reg] = IR_NONE;
	place->reg = NO_REG;
	if (place->spill >= 0)
		emit->free_spills[emit->n_free_spills++] = place->spill;
	place->spill = -1;
}

void emit_give(struct emit *emit, ir_ref ref, unsigned reg)
{
	emit->holds[reg] = ref;
	emit->places[ref].reg = (uint8_t)reg;
	emit->last_use[reg] = ++emit->clock;
}

static uint8_t op_bits(unsigned width)
{
	return width <= 8 ? 8 : width <= 16 ? 16 : width <= 32 ? 32 : 64;
}

static struct error *op3(struct emit *emit, uint8_t op, unsigned bits, bool packed, unsigned rd,
			 unsigned a, unsigned b)
{
	return emit_insn(emit,
			 &(struct mcode_insn){ .op = op,
					       .width_code = (uint8_t)mcode_width_code(bits),
					       .packed = packed,
					       .rd = (uint8_t)rd,
					       .rs1 = (uint8_t)a,
					       .rs2 = (uint8_t)b });
}

static struct error *op_imm(struct emit *emit, uint8_t op, unsigned bits, unsigned rd,
			    unsigned a, uint64_t imm)
{
	return emit_insn(emit,
			 &(struct mcode_insn){ .op = op,
					       .width_code = (uint8_t)mcode_width_code(bits),
					       .rd = (uint8_t)rd,
					       .rs1 = (uint8_t)a,
					       .has_imm = true,
					       .imm = imm });
}

/* Cuts rd to `width` bits. */
static struct error *cut(struct emit *emit, unsigned rd, unsigned width)
{
	if (op_bits(width) == width)
		return op3(emit, MCODE_MOV, width, false, rd, rd, 0);
	return op_imm(emit, MCODE_AND, 64, rd, rd, ir_mask(width));
}

/* Operands in registers, pinned, then the result's register. */
struct operands {
	unsigned reg[3], rd;
	bool has_imm;
	uint64_t imm; /* in place of the second operand */
};

static struct error *get_operands(struct emit *emit, const struct ir_node *node, bool imm_ok,
				  struct operands *ret)
{
	unsigned arity = ir_arity(node->op);
	memset(ret, 0, sizeof(*ret));
	ret->has_imm =
		imm_ok && arity == 2 && ir_is_const(emit->p.ir, node->args[1], &ret->imm);
	unsigned in_registers = ret->has_imm ? 1 : arity;
	for (unsigned i = 0; i < in_registers; i++)
		TRY(emit_value(emit, node->args[i], &ret->reg[i]));
	for (unsigned i = 0; i < in_registers;
	     i++) { /* the later ones may have pushed it out */
		TRY(emit_value(emit, node->args[i], &ret->reg[i]));
		emit->pinned[ret->reg[i]] = true;
	}
	struct error *err = take_register(emit, &ret->rd);
	for (unsigned i = 0; i < in_registers; i++)
		emit->pinned[ret->reg[i]] = false;
	return err;
}

static void end_operands(struct emit *emit, const struct ir_node *node)
{
	for (unsigned i = 0; i < ir_arity(node->op); i++)
		emit_done(emit, node->args[i]);
}

static const uint8_t plain_ops[IR_OP_COUNT] = {
	[IR_ADD] = MCODE_ADD,	    [IR_SUB] = MCODE_SUB,	[IR_MUL] = MCODE_MUL,
	[IR_MULHU] = MCODE_MULHU,   [IR_MULHS] = MCODE_MULHS,	[IR_UDIV] = MCODE_DIV,
	[IR_UREM] = MCODE_REM,	    [IR_AND] = MCODE_AND,	[IR_OR] = MCODE_OR,
	[IR_XOR] = MCODE_XOR,	    [IR_SHL] = MCODE_SHL,	[IR_SHR] = MCODE_SHR,
	[IR_SAR] = MCODE_SAR,	    [IR_EQ] = MCODE_CMPEQ,	[IR_LTU] = MCODE_CMPLTU,
	[IR_LTS] = MCODE_CMPLTS,    [IR_CLZ] = MCODE_CLZ,	[IR_CTZ] = MCODE_CTZ,
	[IR_MINU] = MCODE_MINU,	    [IR_MINS] = MCODE_MINS,	[IR_MAXU] = MCODE_MAXU,
	[IR_MAXS] = MCODE_MAXS,	    [IR_AVGU] = MCODE_AVGU,	[IR_ADDSU] = MCODE_ADDSU,
	[IR_ADDSS] = MCODE_ADDSS,   [IR_SUBSU] = MCODE_SUBSU,	[IR_SUBSS] = MCODE_SUBSS,
	[IR_UNPKL] = MCODE_UNPKL,   [IR_UNPKH] = MCODE_UNPKH,	[IR_PACKT] = MCODE_PACKT,
	[IR_PACKSS] = MCODE_PACKSS, [IR_PACKUS] = MCODE_PACKUS, [IR_MOVMSK] = MCODE_MOVMSK,
};

static struct error *emit_lanes(struct emit *emit, const struct ir_node *node,
				const struct operands *o)
{
	if (node->op == IR_MASKEQ || node->op == IR_MASKGT) {
		bool equal = node->op == IR_MASKEQ;
		TRY(op3(emit, equal ? MCODE_CMPEQ : MCODE_CMPLTS, node->lane, true, o->rd,
			o->reg[equal ? 0 : 1], o->reg[equal ? 1 : 0]));
		return op3(emit, MCODE_NEG, node->lane, true, o->rd, o->rd, 0);
	}
	return op3(emit, plain_ops[node->op], node->lane, true, o->rd, o->reg[0], o->reg[1]);
}

/* Whether an operation of an odd width is right in the next larger one, once cut. */
static bool works_when_cut(unsigned op)
{
	return op == IR_ADD || op == IR_SUB || op == IR_MUL || op == IR_AND || op == IR_OR ||
	       op == IR_XOR || op == IR_SHL || op == IR_SHR || op == IR_EQ || op == IR_LTU ||
	       op == IR_UDIV;
}

static struct error *emit_scalar(struct emit *emit, const struct ir_node *node,
				 const struct operands *o)
{
	uint8_t arg = ir_width(emit->p.ir, node->args[0]);
	unsigned bits = op_bits(arg);
	uint8_t op = plain_ops[node->op];
	uint64_t imm = o->imm;
	if (bits != arg && !works_when_cut(node->op))
		return error_create(ERR_UNSUPPORTED, "%s of %u bits", ir_op_name(node->op),
				    arg);
	if (node->op == IR_MUL && o->has_imm && imm && (imm & (imm - 1)) == 0) {
		op = MCODE_SHL;
		imm = (uint64_t)__builtin_ctzll(imm);
	}
	if (o->has_imm)
		TRY(op_imm(emit, op, bits, o->rd, o->reg[0],
			   (uint64_t)((int64_t)(imm << (64 - bits)) >> (64 - bits))));
	else
		TRY(op3(emit, op, bits, false, o->rd, o->reg[0], o->reg[1]));
	bool grows = node->op == IR_ADD || node->op == IR_SUB || node->op == IR_MUL ||
		     node->op == IR_SHL || node->op == IR_UDIV;
	return bits != arg && grows ? cut(emit, o->rd, arg) : NULL;
}

static struct error *emit_extract(struct emit *emit, const struct ir_node *node,
				  const struct operands *o)
{
	uint8_t from = ir_width(emit->p.ir, node->args[0]);
	unsigned a = o->reg[0];
	if (node->imm) {
		TRY(op_imm(emit, MCODE_SHR, 64, o->rd, a, node->imm));
		a = o->rd;
	}
	if (node->imm + node->width == from)
		return NULL;
	if (op_bits(node->width) == node->width)
		return op3(emit, MCODE_MOV, node->width, false, o->rd, a, 0);
	return op_imm(emit, MCODE_AND, 64, o->rd, a, ir_mask(node->width));
}

static struct error *emit_sext(struct emit *emit, const struct ir_node *node,
			       const struct operands *o)
{
	uint8_t from = ir_width(emit->p.ir, node->args[0]);
	if (from == 1) {
		TRY(op3(emit, MCODE_NEG, 64, false, o->rd, o->reg[0], 0));
	} else if (op_bits(from) == from) {
		TRY(op3(emit, MCODE_SEXT, from, false, o->rd, o->reg[0], 0));
	} else {
		TRY(op_imm(emit, MCODE_SHL, 64, o->rd, o->reg[0], 64u - from));
		TRY(op_imm(emit, MCODE_SAR, 64, o->rd, o->rd, 64u - from));
	}
	return node->width == 64 ? NULL : cut(emit, o->rd, node->width);
}

static struct error *emit_concat(struct emit *emit, const struct ir_node *node,
				 const struct operands *o)
{
	TRY(op_imm(emit, MCODE_SHL, 64, o->rd, o->reg[0], ir_width(emit->p.ir, node->args[1])));
	return op3(emit, MCODE_OR, 64, false, o->rd, o->rd, o->reg[1]);
}

static struct error *emit_node(struct emit *emit, const struct ir_node *node,
			       const struct operands *o)
{
	switch (node->op) {
	case IR_EXTRACT:
		return emit_extract(emit, node, o);
	case IR_SEXT:
		return emit_sext(emit, node, o);
	case IR_CONCAT:
		return emit_concat(emit, node, o);
	case IR_ITE:
		TRY(op3(emit, MCODE_MOV, 64, false, o->rd, o->reg[2], 0));
		return op3(emit, MCODE_CMOV, 64, false, o->rd, o->reg[0], o->reg[1]);
	default:
		return node->lane ? emit_lanes(emit, node, o) : emit_scalar(emit, node, o);
	}
}

static struct error *compute(struct emit *emit, ir_ref ref, unsigned *reg_ret)
{
	const struct ir_node *node = ir_get(emit->p.ir, ref);
	struct operands o;
	bool imm_ok = !node->lane && node->op != IR_CONCAT;
	TRY(get_operands(emit, node, imm_ok, &o));
	emit->pinned[o.rd] = true;
	struct error *err = emit_node(emit, node, &o);
	emit->pinned[o.rd] = false;
	if (err)
		return err;
	end_operands(emit, node);
	emit_give(emit, ref, o.rd);
	*reg_ret = o.rd;
	return NULL;
}

static struct error *reload(struct emit *emit, ir_ref ref, unsigned slot, unsigned *reg_ret)
{
	TRY(take_register(emit, reg_ret));
	TRY(emit_insn(emit, &(struct mcode_insn){ .op = MCODE_GET,
						  .rd = (uint8_t)*reg_ret,
						  .rs1 = (uint8_t)slot }));
	emit_give(emit, ref, *reg_ret);
	return NULL;
}

struct error *emit_value(struct emit *emit, ir_ref ref, unsigned *reg_ret)
{
	ref = emit_strip(emit, ref);
	struct place *place = &emit->places[ref];
	const struct ir_node *node = ir_get(emit->p.ir, ref);
	if (place->reg != NO_REG) {
		emit->last_use[place->reg] = ++emit->clock;
		*reg_ret = place->reg;
		return NULL;
	}
	CHECK(place->uses > 0);
	if (place->spill >= 0)
		return reload(emit, ref, (unsigned)place->spill, reg_ret);
	int slot = emit->p.slot_of ? emit->p.slot_of(emit->p.user, ref) : -1;
	if (slot >= 0)
		return reload(emit, ref, (unsigned)slot, reg_ret);
	if (node->op == IR_CONST) {
		TRY(take_register(emit, reg_ret));
		TRY(op_imm(emit, MCODE_LDI, 64, *reg_ret, 0, node->imm));
		emit_give(emit, ref, *reg_ret);
		return NULL;
	}
	if (ir_arity(node->op) > 0) {
		bool done = false;
		TRY(emit_chain(emit, ref, reg_ret, &done));
		return done ? NULL : compute(emit, ref, reg_ret);
	}
	TRY(take_register(emit, reg_ret));
	emit->pinned[*reg_ret] = true;
	struct error *err = emit->p.leaf(emit->p.user, emit, ref, *reg_ret);
	emit->pinned[*reg_ret] = false;
	if (!err)
		emit_give(emit, ref, *reg_ret);
	return err;
}

struct error *emit_put(struct emit *emit, unsigned slot, ir_ref ref)
{
	unsigned reg;
	TRY(emit_value(emit, ref, &reg));
	TRY(emit_insn(emit, &(struct mcode_insn){ .op = MCODE_PUT,
						  .rd = (uint8_t)reg,
						  .rs1 = (uint8_t)slot }));
	emit_done(emit, ref);
	return NULL;
}
