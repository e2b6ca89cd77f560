#include "learn/bv_ir.h"

#include "base/error.h"

/* As a bit vector, also when it is a Bool. */
static Z3_ast as_bits(struct bv_ir *e, ir_ref ref)
{
	Z3_ast term = bv_ir_encode(e, ref);
	return ir_width(e->ir, ref) == 1 ? bv_from_bool(e->z, term, 1) : term;
}

static Z3_ast encode_bool(struct bv_ir *e, const struct ir_node *node)
{
	Z3_context z = e->z;
	Z3_ast a = bv_ir_encode(e, node->args[0]), b = bv_ir_encode(e, node->args[1]);
	Z3_ast both[2] = { a, b };
	switch (node->op) {
	case IR_AND:
	case IR_MUL:
		return Z3_mk_and(z, 2, both);
	case IR_OR:
		return Z3_mk_or(z, 2, both);
	case IR_XOR:
	case IR_ADD:
	case IR_SUB:
		return Z3_mk_xor(z, a, b);
	case IR_EQ:
		return Z3_mk_iff(z, a, b);
	default:
		CHECK(!"an operation of one bit");
		return NULL;
	}
}

static Z3_ast encode_binary(struct bv_ir *e, const struct ir_node *node)
{
	if (ir_width(e->ir, node->args[0]) == 1 && node->op != IR_CONCAT)
		return encode_bool(e, node);
	Z3_ast a = as_bits(e, node->args[0]), b = as_bits(e, node->args[1]);
	if (node->op == IR_CONCAT)
		return Z3_mk_concat(e->z, a, b);
	if (node->lane)
		return bv_lanes(e->z, node->op, node->lane, a, b);
	return bv_op(e->z, node->op, a, b);
}

static Z3_ast encode_extract(struct bv_ir *e, const struct ir_node *node)
{
	Z3_ast a = as_bits(e, node->args[0]);
	Z3_ast cut = bv_extract(e->z, a, (unsigned)node->imm, node->width);
	return node->width == 1 ? Z3_mk_eq(e->z, cut, bv_const(e->z, 1, 1)) : cut;
}

static Z3_ast encode_extend(struct bv_ir *e, const struct ir_node *node)
{
	Z3_ast a = bv_ir_encode(e, node->args[0]);
	bool boolean = ir_width(e->ir, node->args[0]) == 1;
	if (node->op == IR_ZEXT)
		return boolean ? bv_from_bool(e->z, a, node->width)
			       : bv_resize(e->z, a, node->width);
	if (boolean)
		return Z3_mk_ite(e->z, a, bv_const(e->z, node->width, ~0ull),
				 bv_const(e->z, node->width, 0));
	return bv_sign_extend(e->z, a, node->width);
}

static Z3_ast encode_node(struct bv_ir *e, const struct ir_node *node)
{
	if (node->op == IR_CONST) {
		if (node->width == 1)
			return node->imm ? Z3_mk_true(e->z) : Z3_mk_false(e->z);
		return bv_const(e->z, node->width, node->imm);
	}
	if (ir_arity(node->op) == 0) {
		Z3_ast leaf = e->leaf(e->user, node);
		return node->width == 1 ? Z3_mk_eq(e->z, leaf, bv_const(e->z, 1, 1)) : leaf;
	}
	switch (node->op) {
	case IR_EXTRACT:
		return encode_extract(e, node);
	case IR_ZEXT:
	case IR_SEXT:
		return encode_extend(e, node);
	case IR_ITE:
		return Z3_mk_ite(e->z, bv_ir_encode(e, node->args[0]),
				 bv_ir_encode(e, node->args[1]),
				 bv_ir_encode(e, node->args[2]));
	case IR_CLZ:
	case IR_CTZ:
		return bv_op(e->z, node->op, as_bits(e, node->args[0]), NULL);
	case IR_MOVMSK:
		return bv_lanes(e->z, node->op, node->lane, as_bits(e, node->args[0]), NULL);
	default:
		return encode_binary(e, node);
	}
}

Z3_ast bv_ir_encode(struct bv_ir *e, ir_ref ref)
{
	if (!e->memo[ref]) {
		struct ir_node node = *ir_get(e->ir, ref);
		e->memo[ref] = encode_node(e, &node);
	}
	return e->memo[ref];
}
