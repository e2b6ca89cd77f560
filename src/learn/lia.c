#include "learn/lia.h"

#include <stdio.h>

#include "base/error.h"

Z3_ast lia_int(Z3_context z, uint64_t value)
{
	return Z3_mk_unsigned_int64(z, value, Z3_mk_int_sort(z));
}

Z3_ast lia_int_signed(Z3_context z, int64_t value)
{
	return Z3_mk_int64(z, value, Z3_mk_int_sort(z));
}

/* 2^width, also for 64. */
static Z3_ast power(Z3_context z, unsigned width)
{
	if (width < 64)
		return lia_int(z, 1ull << width);
	return Z3_mk_numeral(z, "18446744073709551616", Z3_mk_int_sort(z));
}

static Z3_ast sum(Z3_context z, Z3_ast a, Z3_ast b)
{
	Z3_ast both[2] = { a, b };
	return Z3_mk_add(z, 2, both);
}

static Z3_ast difference(Z3_context z, Z3_ast a, Z3_ast b)
{
	Z3_ast both[2] = { a, b };
	return Z3_mk_sub(z, 2, both);
}

static Z3_ast product(Z3_context z, Z3_ast a, Z3_ast b)
{
	Z3_ast both[2] = { a, b };
	return Z3_mk_mul(z, 2, both);
}

Z3_ast lia_unknown(struct lia *lia, unsigned width)
{
	Z3_context z = lia->z;
	char name[32];
	snprintf(name, sizeof(name), "u%u", lia->n_unknowns++);
	Z3_ast a = Z3_mk_const(z, Z3_mk_string_symbol(z, name), Z3_mk_int_sort(z));
	Z3_solver_assert(z, lia->solver, Z3_mk_ge(z, a, lia_int(z, 0)));
	Z3_solver_assert(z, lia->solver, Z3_mk_lt(z, a, power(z, width)));
	return a;
}

static bool is_bool(Z3_context z, Z3_ast a)
{
	return Z3_get_sort_kind(z, Z3_get_sort(z, a)) == Z3_BOOL_SORT;
}

Z3_ast lia_as_int(struct lia *lia, Z3_ast a)
{
	Z3_context z = lia->z;
	return is_bool(z, a) ? Z3_mk_ite(z, a, lia_int(z, 1), lia_int(z, 0)) : a;
}

Z3_ast lia_as_bool(struct lia *lia, Z3_ast a)
{
	Z3_context z = lia->z;
	return is_bool(z, a) ? a : Z3_mk_not(z, Z3_mk_eq(z, a, lia_int(z, 0)));
}

static bool value_of(Z3_context z, Z3_ast a, uint64_t *ret)
{
	return Z3_get_ast_kind(z, a) == Z3_NUMERAL_AST && Z3_get_numeral_uint64(z, a, ret);
}

/* value mod 2^width, known to be in [0, 2 * 2^width). */
static Z3_ast wrap_once(Z3_context z, Z3_ast value, unsigned width)
{
	Z3_ast limit = power(z, width);
	return Z3_mk_ite(z, Z3_mk_ge(z, value, limit), difference(z, value, limit), value);
}

static Z3_ast subtract(Z3_context z, Z3_ast a, Z3_ast b, unsigned width)
{
	Z3_ast d = difference(z, a, b);
	return Z3_mk_ite(z, Z3_mk_lt(z, a, b), sum(z, d, power(z, width)), d);
}

static Z3_ast add(Z3_context z, Z3_ast a, Z3_ast b, unsigned width)
{
	uint64_t value;
	if (value_of(z, b, &value) && value > ir_mask(width) / 2)
		return subtract(z, a, lia_int(z, ir_mask(width) - value + 1), width);
	return wrap_once(z, sum(z, a, b), width);
}

static Z3_ast to_signed(Z3_context z, Z3_ast a, unsigned width)
{
	return Z3_mk_ite(z, Z3_mk_ge(z, a, power(z, width - 1)),
			 difference(z, a, power(z, width)), a);
}

static Z3_ast cut(Z3_context z, Z3_ast a, unsigned width)
{
	return Z3_mk_mod(z, a, power(z, width));
}

static Z3_ast bit_and(struct lia *lia, Z3_ast a, Z3_ast b, unsigned width)
{
	uint64_t mask;
	if (value_of(lia->z, b, &mask) && (mask & (mask + 1)) == 0)
		return mask == 0 ? b : cut(lia->z, a, (unsigned)__builtin_popcountll(mask));
	return lia_unknown(lia, width);
}

static Z3_ast bit_xor(struct lia *lia, Z3_ast a, Z3_ast b, unsigned width)
{
	uint64_t mask;
	if (value_of(lia->z, b, &mask) && mask == 1ull << (width - 1))
		return add(lia->z, a, power(lia->z, width - 1), width);
	if (value_of(lia->z, b, &mask) && mask == ir_mask(width))
		return difference(lia->z, b, a);
	return lia_unknown(lia, width);
}

/* Operations on integers in [0, 2^width); comparisons give a Bool. */
static Z3_ast binary(struct lia *lia, enum ir_op op, Z3_ast a, Z3_ast b, unsigned width)
{
	Z3_context z = lia->z;
	uint64_t value;
	bool constant = value_of(z, b, &value);
	switch (op) {
	case IR_ADD:
		return add(z, a, b, width);
	case IR_SUB:
		return subtract(z, a, b, width);
	case IR_MUL:
		return constant ? cut(z, product(z, a, b), width) : lia_unknown(lia, width);
	case IR_UDIV:
		return constant && value ? Z3_mk_div(z, a, b) : lia_unknown(lia, width);
	case IR_UREM:
		return constant && value ? Z3_mk_mod(z, a, b) : lia_unknown(lia, width);
	case IR_AND:
		return bit_and(lia, a, b, width);
	case IR_XOR:
		return bit_xor(lia, a, b, width);
	case IR_SHL:
		return constant && value < width
			       ? cut(z, product(z, a, power(z, (unsigned)value)), width)
			       : lia_unknown(lia, width);
	case IR_SHR:
		return constant && value < width ? Z3_mk_div(z, a, power(z, (unsigned)value))
						 : lia_unknown(lia, width);
	case IR_EQ:
		return Z3_mk_eq(z, a, b);
	case IR_LTU:
		return Z3_mk_lt(z, a, b);
	case IR_LTS:
		return Z3_mk_lt(z, to_signed(z, a, width), to_signed(z, b, width));
	default:
		return lia_unknown(lia, width);
	}
}

static Z3_ast unknown_bool(struct lia *lia)
{
	char name[32];
	snprintf(name, sizeof(name), "b%u", lia->n_unknowns++);
	return Z3_mk_const(lia->z, Z3_mk_string_symbol(lia->z, name), Z3_mk_bool_sort(lia->z));
}

static Z3_ast ir_bool(struct lia *lia, const struct ir_node *node)
{
	Z3_context z = lia->z;
	Z3_ast both[2] = { lia_ir(lia, node->args[0]), lia_ir(lia, node->args[1]) };
	switch (node->op) {
	case IR_AND:
		return Z3_mk_and(z, 2, both);
	case IR_OR:
		return Z3_mk_or(z, 2, both);
	case IR_XOR:
		return Z3_mk_xor(z, both[0], both[1]);
	case IR_EQ:
		return Z3_mk_iff(z, both[0], both[1]);
	default:
		return unknown_bool(lia);
	}
}

static Z3_ast ir_extract_int(struct lia *lia, const struct ir_node *node)
{
	Z3_context z = lia->z;
	Z3_ast a = lia_as_int(lia, lia_ir(lia, node->args[0]));
	unsigned from = ir_width(lia->ir, node->args[0]), low = (unsigned)node->imm;
	Z3_ast shifted = low ? Z3_mk_div(z, a, power(z, low)) : a;
	if (low + node->width < from)
		shifted = cut(z, shifted, node->width);
	return node->width == 1 ? Z3_mk_eq(z, shifted, lia_int(z, 1)) : shifted;
}

static Z3_ast ir_sext_int(struct lia *lia, const struct ir_node *node)
{
	Z3_context z = lia->z;
	unsigned from = ir_width(lia->ir, node->args[0]);
	if (from == 1)
		return lia_unknown(lia, node->width);
	Z3_ast a = lia_ir(lia, node->args[0]);
	Z3_ast up = sum(z, a, difference(z, power(z, node->width), power(z, from)));
	return Z3_mk_ite(z, Z3_mk_ge(z, a, power(z, from - 1)), up, a);
}

static Z3_ast ir_leaf_int(struct lia *lia, const struct ir_node *node)
{
	if (node->op == IR_CONST && node->width == 1)
		return node->imm ? Z3_mk_true(lia->z) : Z3_mk_false(lia->z);
	if (node->op == IR_CONST)
		return lia_int(lia->z, node->imm);
	Z3_ast leaf = lia->leaf(lia->user, node);
	if (leaf)
		return leaf;
	return node->width == 1 ? unknown_bool(lia) : lia_unknown(lia, node->width);
}

static Z3_ast ir_node_int(struct lia *lia, const struct ir_node *node)
{
	if (ir_arity(node->op) == 0)
		return ir_leaf_int(lia, node);
	if (node->lane)
		return lia_unknown(lia, node->width);
	unsigned width = ir_width(lia->ir, node->args[0]);
	switch (node->op) {
	case IR_EXTRACT:
		return ir_extract_int(lia, node);
	case IR_ZEXT:
		return lia_as_int(lia, lia_ir(lia, node->args[0]));
	case IR_SEXT:
		return ir_sext_int(lia, node);
	case IR_CONCAT: {
		Z3_ast high = lia_as_int(lia, lia_ir(lia, node->args[0]));
		Z3_ast low = lia_as_int(lia, lia_ir(lia, node->args[1]));
		Z3_ast up = power(lia->z, ir_width(lia->ir, node->args[1]));
		return sum(lia->z, product(lia->z, high, up), low);
	}
	case IR_ITE:
		return Z3_mk_ite(lia->z, lia_ir(lia, node->args[0]), lia_ir(lia, node->args[1]),
				 lia_ir(lia, node->args[2]));
	default:
		break;
	}
	if (ir_arity(node->op) != 2)
		return lia_unknown(lia, node->width);
	if (width == 1)
		return ir_bool(lia, node);
	return binary(lia, node->op, lia_ir(lia, node->args[0]), lia_ir(lia, node->args[1]),
		      width);
}

Z3_ast lia_ir(struct lia *lia, ir_ref ref)
{
	if (!lia->memo[ref]) {
		struct ir_node node = *ir_get(lia->ir, ref);
		lia->memo[ref] = ir_node_int(lia, &node);
	}
	return lia->memo[ref];
}

void lia_mcode_init(struct lia_mcode *m, struct lia *lia, const struct mcode_kernel *kernel)
{
	m->lia = lia;
	m->kernel = kernel;
	for (unsigned i = 0; i < MCODE_SLOTS; i++)
		m->slots[i] = lia_int(lia->z, 0);
}

static bool compare(uint8_t opcode, enum ir_op *op_ret, bool *swap_ret, bool *not_ret)
{
	*swap_ret = *not_ret = false;
	switch (opcode) {
	case MCODE_CMPNE:
		*not_ret = true;
		__attribute__((fallthrough));
	case MCODE_CMPEQ:
		*op_ret = IR_EQ;
		return true;
	case MCODE_CMPLTU:
		*op_ret = IR_LTU;
		return true;
	case MCODE_CMPLTS:
		*op_ret = IR_LTS;
		return true;
	case MCODE_CMPLEU:
	case MCODE_CMPLES:
		*op_ret = opcode == MCODE_CMPLEU ? IR_LTU : IR_LTS;
		*swap_ret = *not_ret = true;
		return true;
	default:
		return false;
	}
}

/* A truth value, also when it is the number 0 or 1; otherwise NULL. */
static Z3_ast truth_of(Z3_context z, Z3_ast a)
{
	uint64_t value;
	if (is_bool(z, a))
		return a;
	if (!value_of(z, a, &value) || value > 1)
		return NULL;
	return value ? Z3_mk_true(z) : Z3_mk_false(z);
}

/* AND, OR and XOR of truth values. */
static Z3_ast bool_op(struct lia *lia, const struct mcode_insn *insn, Z3_ast a, Z3_ast b)
{
	Z3_context z = lia->z;
	if (insn->op != MCODE_AND && insn->op != MCODE_OR && insn->op != MCODE_XOR)
		return NULL;
	a = truth_of(z, a);
	b = truth_of(z, b);
	if (!a || !b)
		return NULL;
	Z3_ast both[2] = { a, b };
	switch (insn->op) {
	case MCODE_AND:
		return Z3_mk_and(z, 2, both);
	case MCODE_OR:
		return Z3_mk_or(z, 2, both);
	case MCODE_XOR:
		return Z3_mk_xor(z, a, b);
	default:
		return NULL;
	}
}

static Z3_ast cut_operand(struct lia *lia, Z3_ast a, unsigned bits)
{
	uint64_t value;
	if (is_bool(lia->z, a))
		return lia_as_int(lia, a);
	if (value_of(lia->z, a, &value))
		return lia_int(lia->z, value & ir_mask(bits));
	return bits == 64 ? a : cut(lia->z, a, bits);
}

static Z3_ast arithmetic(struct lia_mcode *m, const struct mcode_insn *insn)
{
	struct lia *lia = m->lia;
	Z3_context z = lia->z;
	unsigned bits = mcode_width_bits(insn->width_code);
	Z3_ast a = m->regs[insn->rs1], d = m->regs[insn->rd];
	Z3_ast b = insn->has_imm ? lia_int(z, insn->imm & ir_mask(bits)) : m->regs[insn->rs2];
	enum ir_op op;
	bool swap, negate;
	if (insn->packed)
		return lia_unknown(lia, 64);
	if (insn->op == MCODE_CMOV && bits == 64) {
		bool booleans = is_bool(z, b) && is_bool(z, d);
		return Z3_mk_ite(z, lia_as_bool(lia, a), booleans ? b : lia_as_int(lia, b),
				 booleans ? d : lia_as_int(lia, d));
	}
	Z3_ast logic = bool_op(lia, insn, a, b);
	if (logic)
		return logic;
	if (insn->op == MCODE_AND && insn->has_imm && insn->imm == 1 && !is_bool(z, a))
		return Z3_mk_eq(z, cut(z, a, 1), lia_int(z, 1));
	if (insn->op == MCODE_MOV)
		return is_bool(z, a) ? a : cut_operand(lia, a, bits);
	a = cut_operand(lia, a, bits);
	b = cut_operand(lia, b, bits);
	if (compare(insn->op, &op, &swap, &negate)) {
		Z3_ast result = binary(lia, op, swap ? b : a, swap ? a : b, bits);
		return negate ? Z3_mk_not(z, result) : result;
	}
	if (insn->op == MCODE_NEG)
		return subtract(z, lia_int(z, 0), a, bits);
	if (insn->op == MCODE_SEXT && bits < 64) {
		Z3_ast up = sum(z, a, difference(z, power(z, 64), power(z, bits)));
		return Z3_mk_ite(z, Z3_mk_ge(z, a, power(z, bits - 1)), up, a);
	}
	if (!bv_mcode_op(insn->op, &op))
		return lia_unknown(lia, 64);
	return binary(lia, op, a, b, bits);
}

static struct error *step(struct lia_mcode *m, const struct mcode_insn *insn, bool *halt_ret)
{
	switch (insn->op) {
	case MCODE_NOP:
		return NULL;
	case MCODE_HALT:
		*halt_ret = true;
		return NULL;
	case MCODE_LDI:
		m->regs[insn->rd] = lia_int(m->lia->z, insn->imm);
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
		return error_create(ERR_BAD_DATA, "memory outside the body");
	case MCODE_JMP:
	case MCODE_JZ:
	case MCODE_JNZ:
		return error_create(ERR_UNSUPPORTED, "the prover takes no jumps");
	default:
		m->regs[insn->rd] = arithmetic(m, insn);
		return NULL;
	}
}

struct error *lia_mcode_run(struct lia_mcode *m, enum mcode_section section)
{
	const struct mcode_code *code = &m->kernel->code[section];
	bool halt = false;
	for (unsigned i = 0; i < MCODE_REGISTERS; i++)
		m->regs[i] = lia_int(m->lia->z, 0);
	for (uint32_t at = 0; at < code->count && !halt;) {
		struct mcode_insn insn;
		const char *why;
		if (!mcode_decode(code->pixels, code->count, at, &insn, &why))
			return error_create(ERR_BAD_DATA, "%s at pixel %u: %s",
					    mcode_section_name(section), at, why);
		at += insn.n_pixels;
		TRY(step(m, &insn, &halt));
	}
	return NULL;
}
