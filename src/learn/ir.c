#include "learn/ir.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/error.h"
#include "learn/ir_simplify.h"

enum { SIMPLER_SLOTS = 1 << 14 };

/* A node that was asked for, and what it was made to be: rules that go down into shared
 * arguments would otherwise go down every path. */
struct simpler {
	struct ir_node from;
	ir_ref to; /* IR_NONE: free */
};

struct ir {
	bool simplify, failed;
	struct ir_node *nodes;
	size_t count, capacity;
	ir_ref *slots; /* open addressing, IR_NONE is free */
	size_t slot_count;
	struct simpler
		*simpler; /* by hash, the last one stays; NULL if nothing is simplified */
};

static const char *const op_names[IR_OP_COUNT] = {
#define IR_OP_NAME(name, args, commutes) #name,
	IR_OPS(IR_OP_NAME)
#undef IR_OP_NAME
};
static const uint8_t op_arity[IR_OP_COUNT] = {
#define IR_OP_ARITY(name, args, commutes) args,
	IR_OPS(IR_OP_ARITY)
#undef IR_OP_ARITY
};

unsigned ir_arity(enum ir_op op)
{
	return op_arity[op];
}

const char *ir_op_name(enum ir_op op)
{
	return op_names[op];
}

struct error *ir_create(bool simplify, struct ir **ret)
{
	struct ir *ir = NULL;
	TRY(error_alloc(1, sizeof(*ir), &ir));
	ir->simplify = simplify;
	ir->capacity = 1024;
	ir->slot_count = 4096;
	struct error *err = error_alloc(ir->capacity, sizeof(*ir->nodes), &ir->nodes);
	if (!err)
		err = error_alloc(ir->slot_count, sizeof(*ir->slots), &ir->slots);
	if (!err && simplify)
		err = error_alloc(SIMPLER_SLOTS, sizeof(*ir->simpler), &ir->simpler);
	if (err) {
		ir_destroy(ir);
		return err;
	}
	ir->count = 1; /* node 0 is IR_NONE: a 1-bit zero nobody should use */
	ir->nodes[0] = (struct ir_node){ .op = IR_CONST, .width = 1 };
	*ret = ir;
	return NULL;
}

void ir_destroy(struct ir *ir)
{
	if (!ir)
		return;
	free(ir->nodes);
	free(ir->slots);
	free(ir->simpler);
	free(ir);
}

bool ir_simplifies(const struct ir *ir)
{
	return ir->simplify;
}

bool ir_failed(const struct ir *ir)
{
	return ir->failed;
}

size_t ir_count(const struct ir *ir)
{
	return ir->count - 1;
}

const struct ir_node *ir_get(const struct ir *ir, ir_ref ref)
{
	return &ir->nodes[ref];
}

uint8_t ir_width(const struct ir *ir, ir_ref ref)
{
	return ir->nodes[ref].width;
}

static uint64_t node_hash(const struct ir_node *node)
{
	uint64_t words[4] = { ((uint64_t)node->op << 16) | (node->width << 8) | node->lane,
			      ((uint64_t)node->args[0] << 32) | node->args[1], node->args[2],
			      node->imm };
	return XXH3_64bits(words, sizeof(words));
}

static bool node_equal(const struct ir_node *a, const struct ir_node *b)
{
	return a->op == b->op && a->width == b->width && a->lane == b->lane &&
	       a->imm == b->imm && a->args[0] == b->args[0] && a->args[1] == b->args[1] &&
	       a->args[2] == b->args[2];
}

static bool slots_grow(struct ir *ir)
{
	size_t wanted = ir->slot_count * 2;
	ir_ref *slots = calloc(wanted, sizeof(*slots));
	if (!slots)
		return false;
	for (size_t i = 1; i < ir->count; i++) {
		size_t at = node_hash(&ir->nodes[i]) & (wanted - 1);
		while (slots[at])
			at = (at + 1) & (wanted - 1);
		slots[at] = (ir_ref)i;
	}
	free(ir->slots);
	ir->slots = slots;
	ir->slot_count = wanted;
	return true;
}

static bool nodes_grow(struct ir *ir)
{
	if (ir->count < ir->capacity)
		return true;
	if (ir->capacity >= IR_NODES_MAX)
		return false;
	struct ir_node *grown = reallocarray(ir->nodes, ir->capacity * 2, sizeof(*ir->nodes));
	if (!grown)
		return false;
	ir->nodes = grown;
	ir->capacity *= 2;
	return true;
}

static ir_ref intern(struct ir *ir, const struct ir_node *node)
{
	size_t at = node_hash(node) & (ir->slot_count - 1);
	while (ir->slots[at]) {
		if (node_equal(&ir->nodes[ir->slots[at]], node))
			return ir->slots[at];
		at = (at + 1) & (ir->slot_count - 1);
	}
	if (ir->failed || !nodes_grow(ir) ||
	    (ir->count * 2 > ir->slot_count && !slots_grow(ir))) {
		ir->failed = true;
		return (ir_ref)(ir->count - 1);
	}
	at = node_hash(node) & (ir->slot_count - 1);
	while (ir->slots[at])
		at = (at + 1) & (ir->slot_count - 1);
	ir->slots[at] = (ir_ref)ir->count;
	ir->nodes[ir->count] = *node;
	return (ir_ref)ir->count++;
}

ir_ref ir_raw(struct ir *ir, const struct ir_node *node)
{
	return intern(ir, node);
}

/* Every constructor ends here. */
static ir_ref build(struct ir *ir, const struct ir_node *node)
{
	if (!ir->simplify || ir->failed)
		return intern(ir, node);
	struct simpler *known = &ir->simpler[node_hash(node) & (SIMPLER_SLOTS - 1)];
	if (known->to != IR_NONE && node_equal(&known->from, node))
		return known->to;
	ir_ref simpler = ir_simplify(ir, node);
	simpler = simpler != IR_NONE ? simpler : intern(ir, node);
	*known = (struct simpler){ *node, simpler };
	return simpler;
}

ir_ref ir_const(struct ir *ir, uint8_t width, uint64_t value)
{
	return intern(ir, &(struct ir_node){ .op = IR_CONST,
					     .width = width,
					     .imm = value & ir_mask(width) });
}

ir_ref ir_leaf(struct ir *ir, enum ir_op op, uint8_t width, uint64_t imm)
{
	return intern(ir, &(struct ir_node){ .op = (uint8_t)op, .width = width, .imm = imm });
}

ir_ref ir_unary(struct ir *ir, enum ir_op op, uint8_t width, ir_ref a)
{
	return build(ir, &(struct ir_node){ .op = (uint8_t)op, .width = width, .args = { a } });
}

ir_ref ir_binary(struct ir *ir, enum ir_op op, ir_ref a, ir_ref b)
{
	uint8_t width = ir_width(ir, a);
	CHECK(width == ir_width(ir, b) || ir->failed);
	if (op == IR_EQ || op == IR_LTU || op == IR_LTS)
		width = 1;
	return build(ir,
		     &(struct ir_node){ .op = (uint8_t)op, .width = width, .args = { a, b } });
}

ir_ref ir_lanes(struct ir *ir, enum ir_op op, uint8_t lane, ir_ref a, ir_ref b)
{
	CHECK((ir_width(ir, a) == 64 && (!b || ir_width(ir, b) == 64)) || ir->failed);
	return build(ir,
		     &(struct ir_node){
			     .op = (uint8_t)op, .width = 64, .lane = lane, .args = { a, b } });
}

ir_ref ir_ite(struct ir *ir, ir_ref condition, ir_ref then, ir_ref otherwise)
{
	CHECK((ir_width(ir, condition) == 1 && ir_width(ir, then) == ir_width(ir, otherwise)) ||
	      ir->failed);
	return build(ir, &(struct ir_node){ .op = IR_ITE,
					    .width = ir_width(ir, then),
					    .args = { condition, then, otherwise } });
}

ir_ref ir_extract(struct ir *ir, ir_ref a, unsigned low, uint8_t width)
{
	if (low == 0 && width == ir_width(ir, a))
		return a;
	CHECK(low + width <= ir_width(ir, a) || ir->failed);
	return build(ir, &(struct ir_node){
				 .op = IR_EXTRACT, .width = width, .args = { a }, .imm = low });
}

ir_ref ir_not(struct ir *ir, ir_ref a)
{
	uint8_t width = ir_width(ir, a);
	return ir_binary(ir, IR_XOR, a, ir_const(ir, width, ir_mask(width)));
}

ir_ref ir_zext(struct ir *ir, uint8_t width, ir_ref a)
{
	return width == ir_width(ir, a) ? a : ir_unary(ir, IR_ZEXT, width, a);
}

ir_ref ir_sext(struct ir *ir, uint8_t width, ir_ref a)
{
	return width == ir_width(ir, a) ? a : ir_unary(ir, IR_SEXT, width, a);
}

ir_ref ir_concat(struct ir *ir, ir_ref high, ir_ref low)
{
	unsigned width = ir_width(ir, high) + ir_width(ir, low);
	CHECK(width <= 64 || ir->failed);
	return build(ir, &(struct ir_node){ .op = IR_CONCAT,
					    .width = (uint8_t)width,
					    .args = { high, low } });
}

bool ir_is_const(const struct ir *ir, ir_ref ref, uint64_t *value_ret)
{
	const struct ir_node *node = &ir->nodes[ref];
	if (ref == IR_NONE || node->op != IR_CONST)
		return false;
	if (value_ret)
		*value_ret = node->imm;
	return true;
}

/* Arguments always have smaller numbers than their users, so one pass upwards suffices. */
void ir_mark(const struct ir *ir, ir_ref ref, uint8_t *marks)
{
	if (ref == IR_NONE)
		return;
	marks[ref] = 1;
	for (ir_ref at = ref; at > 0; at--) {
		if (!marks[at])
			continue;
		const struct ir_node *node = &ir->nodes[at];
		for (unsigned i = 0; i < op_arity[node->op]; i++)
			marks[node->args[i]] = 1;
	}
}

ir_ref ir_rewrite(const struct ir *from, struct ir *to, ir_ref ref,
		  ir_ref (*leaf)(void *user, const struct ir_node *node), void *user,
		  ir_ref *memo)
{
	if (memo[ref])
		return memo[ref];
	struct ir_node node = from->nodes[ref]; /* a copy: `to` may be `from` and grow */
	ir_ref args[3] = { 0 };
	for (unsigned i = 0; i < op_arity[node.op]; i++)
		args[i] = ir_rewrite(from, to, node.args[i], leaf, user, memo);
	ir_ref result;
	if (node.op == IR_CONST)
		result = ir_const(to, node.width, node.imm);
	else if (op_arity[node.op] == 0)
		result = leaf(user, &node);
	else {
		memcpy(node.args, args, sizeof(args));
		result = build(to, &node);
	}
	memo[ref] = result;
	return result;
}

static void print_node(const struct ir *ir, ir_ref ref, FILE *to, unsigned depth)
{
	const struct ir_node *node = &ir->nodes[ref];
	if (node->op == IR_CONST) {
		fprintf(to, "0x%llx", (unsigned long long)node->imm);
		return;
	}
	if (op_arity[node->op] == 0) {
		fprintf(to, "%s%llu", op_names[node->op], (unsigned long long)node->imm);
		return;
	}
	if (depth > 12) {
		fputs("...", to);
		return;
	}
	fprintf(to, "(%s%u", op_names[node->op], node->lane ? node->lane : node->width);
	if (node->op == IR_EXTRACT)
		fprintf(to, "@%llu", (unsigned long long)node->imm);
	for (unsigned i = 0; i < op_arity[node->op]; i++) {
		fputc(' ', to);
		print_node(ir, node->args[i], to, depth + 1);
	}
	fputc(')', to);
}

void ir_print(const struct ir *ir, ir_ref ref, FILE *to)
{
	print_node(ir, ref, to, 0);
}
