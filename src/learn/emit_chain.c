/* Chains of selections, which is what an inner loop that data ends early is once it is
 * unrolled:
 *
 *     c1 ? v1 : c2 ? v2 : ... : v            several of the same conditions, each its own
 * values
 *
 * become code with ways out, so that nobody pays for passes that are not made:
 *
 *     R = v1; if c1 goto end; R = v2; if c2 goto end; ... R = v; end:
 *
 * 1. What only the chain needs is computed between the jumps; what others need as well, before
 *    the first one.
 * 2. At the end no register is known to hold anything but the results: what is needed later is
 * in a slot before the first jump. */
#include <string.h>

#include "base/error.h"
#include "base/vec.h"
#include "learn/emit_internal.h"

enum {
	LINKS_LEAST = 4,
	NODES_LEAST = 64, /* between the jumps: below, both ways cost less than a jump */
	RESULTS_MAX = 4,
};

struct link {
	ir_ref condition;
	bool inverted; /* out if it does not hold */
	ir_ref values[RESULTS_MAX];
};

struct chain {
	unsigned n_results;
	ir_ref results[RESULTS_MAX]; /* the selections themselves */
	ir_ref last[RESULTS_MAX]; /* their values when nobody goes out */
	VEC(struct link) links;
	uint32_t *inside; /* by node: uses by what only the chain needs */
	bool *own; /* by node: it has no other uses */
	VEC(uint32_t) jumps; /* pixels of their targets */
};

static void chain_deinit(struct chain *chain)
{
	VEC_FREE(&chain->links);
	VEC_FREE(&chain->jumps);
	free(chain->inside);
	free(chain->own);
}

static bool is_computed(const struct emit *emit, ir_ref ref)
{
	return emit->places[ref].reg != NO_REG || emit->places[ref].spill >= 0 ||
	       ir_is_const(emit->p.ir, ref, NULL) || emit_comes_from_slot(emit, ref);
}

/* A selection that only its user, the chain, needs. */
static bool goes_on(const struct emit *emit, ir_ref ref)
{
	return ir_get(emit->p.ir, ref)->op == IR_ITE && emit->places[ref].uses == 1 &&
	       !is_computed(emit, ref);
}

static struct error *find_links(const struct emit *emit, ir_ref ref, struct chain *chain)
{
	chain->results[0] = ref;
	chain->n_results = 1;
	for (;;) {
		const struct ir_node *node = ir_get(emit->p.ir, ref);
		ir_ref yes = emit_strip(emit, node->args[1]);
		ir_ref no = emit_strip(emit, node->args[2]);
		bool inverted = !goes_on(emit, no) && goes_on(emit, yes);
		struct link link = { node->args[0], inverted, { inverted ? no : yes } };
		if (!VEC_PUSH(&chain->links, link))
			return error_create(ERR_MEMORY, "out of memory");
		ref = inverted ? yes : no;
		chain->last[0] = ref;
		if (!goes_on(emit, ref))
			return NULL;
	}
}

/* Takes another selection by the same conditions in, if it is one all the way down. */
static void add_result(const struct emit *emit, struct chain *chain, ir_ref ref)
{
	unsigned number = chain->n_results;
	if (number == RESULTS_MAX || is_computed(emit, ref) || !emit->places[ref].uses)
		return;
	chain->results[number] = ref;
	for (size_t i = 0; i < chain->links.count; i++) {
		struct link *link = &chain->links.items[i];
		const struct ir_node *node = ir_get(emit->p.ir, ref);
		if (node->op != IR_ITE || node->args[0] != link->condition ||
		    (i > 0 && !goes_on(emit, ref)))
			return;
		link->values[number] = emit_strip(emit, node->args[link->inverted ? 2 : 1]);
		ref = emit_strip(emit, node->args[link->inverted ? 1 : 2]);
	}
	chain->last[number] = ref;
	chain->n_results++;
}

/* Results that need no other result: those of one loop that ended. */
static struct error *add_results(const struct emit *emit, struct chain *chain)
{
	const struct ir *ir = emit->p.ir;
	ir_ref first = chain->results[0];
	AUTO(own_free) uint8_t *below = NULL;
	TRY(error_alloc(ir_count(ir) + 1, 1, &below));
	for (ir_ref i = (ir_ref)ir_count(ir); i > 0; i--) {
		const struct ir_node *node = ir_get(ir, i);
		AUTO(own_free) uint8_t *mine = NULL;
		if (i == first || node->op != IR_ITE || !emit->places[i].uses ||
		    node->args[0] != chain->links.items[0].condition)
			continue;
		memset(below, 0, ir_count(ir) + 1);
		for (unsigned r = 0; r < chain->n_results; r++)
			ir_mark(ir, chain->results[r], below);
		TRY(error_alloc(ir_count(ir) + 1, 1, &mine));
		ir_mark(ir, i, mine);
		bool alone = !below[i];
		for (unsigned r = 0; r < chain->n_results; r++)
			alone &= !mine[chain->results[r]];
		if (alone)
			add_result(emit, chain, i);
	}
	return NULL;
}

static bool is_result(const struct chain *chain, ir_ref ref)
{
	for (unsigned r = 0; r < chain->n_results; r++)
		if (chain->results[r] == ref)
			return true;
	return false;
}

/* Counts uses from the results downwards; users have larger numbers than what they use. */
static struct error *find_inside(const struct emit *emit, struct chain *chain,
				 unsigned *n_nodes_ret)
{
	const struct ir *ir = emit->p.ir;
	*n_nodes_ret = 0;
	TRY(error_alloc(ir_count(ir) + 1, sizeof(*chain->inside), &chain->inside));
	TRY(error_alloc(ir_count(ir) + 1, sizeof(*chain->own), &chain->own));
	for (ir_ref i = (ir_ref)ir_count(ir); i > 0; i--) {
		const struct ir_node *node = ir_get(ir, i);
		chain->own[i] = chain->inside[i] && chain->inside[i] == emit->places[i].uses;
		if (!is_result(chain, i) && (!chain->own[i] || is_computed(emit, i)))
			continue;
		*n_nodes_ret += ir_arity(node->op) > 0;
		for (unsigned a = 0; a < ir_arity(node->op); a++)
			chain->inside[emit_strip(emit, node->args[a])]++;
	}
	return NULL;
}

/* Rule 1. */
static struct error *compute_shared(struct emit *emit, const struct chain *chain)
{
	unsigned reg;
	for (ir_ref i = 1; i <= ir_count(emit->p.ir); i++)
		if (chain->inside[i] > 0 && !chain->own[i] && !is_computed(emit, i))
			TRY(emit_value(emit, i, &reg));
	return NULL;
}

/* Rule 2. */
static struct error *save_shared(struct emit *emit, const struct chain *chain)
{
	for (unsigned r = 0; r < REGS; r++) {
		ir_ref held = emit->holds[r];
		if (held != IR_NONE && held != emit->p.in_r0 && !chain->own[held])
			TRY(emit_save(emit, r));
	}
	return NULL;
}

static struct error *move(struct emit *emit, ir_ref value, unsigned to)
{
	unsigned reg;
	TRY(emit_value(emit, value, &reg));
	TRY(emit_insn(emit, &(struct mcode_insn){
				    .op = MCODE_MOV, .rd = (uint8_t)to, .rs1 = (uint8_t)reg }));
	emit_done(emit, value);
	return NULL;
}

/* The register to test; *ref and *inverted change where that of the opposite will do. */
static struct error *get_condition(struct emit *emit, ir_ref *ref, bool *inverted,
				   unsigned *reg_ret)
{
	const struct ir_node *node = ir_get(emit->p.ir, *ref);
	if (node->op == IR_XOR && ir_is_const(emit->p.ir, node->args[1], NULL) &&
	    emit->places[*ref].uses == 1 && !is_computed(emit, *ref)) {
		emit->places[*ref].uses = 0;
		emit_done(emit, node->args[1]);
		*ref = node->args[0];
		*inverted = !*inverted;
	}
	return emit_value(emit, *ref, reg_ret);
}

static struct error *emit_link(struct emit *emit, struct chain *chain, size_t number,
			       const unsigned *regs)
{
	const struct link *link = &chain->links.items[number];
	ir_ref condition = link->condition;
	bool inverted = link->inverted;
	unsigned test;
	struct error *err = NULL;
	/* one use for each result; the last of them is that of the jump */
	for (unsigned r = 1; r < chain->n_results; r++)
		emit_done(emit, condition);
	TRY(get_condition(emit, &condition, &inverted, &test));
	emit->pinned[test] = true;
	for (unsigned r = 0; r < chain->n_results && !err; r++)
		err = move(emit, link->values[r], regs[r]);
	if (!err && number == 0)
		err = save_shared(emit, chain);
	emit->pinned[test] = false;
	if (err)
		return err;
	TRY(emit_insn(emit, &(struct mcode_insn){ .op = inverted ? MCODE_JZ : MCODE_JNZ,
						  .rs1 = (uint8_t)test,
						  .has_imm = true }));
	emit_done(emit, condition);
	const struct mcode_code *code = &emit->p.kernel->code[emit->p.section];
	if (!VEC_PUSH(&chain->jumps, code->count - 1))
		return error_create(ERR_MEMORY, "out of memory");
	return NULL;
}

static struct error *emit_links(struct emit *emit, struct chain *chain, const unsigned *regs)
{
	const struct mcode_code *code = &emit->p.kernel->code[emit->p.section];
	for (size_t i = 0; i < chain->links.count; i++)
		TRY(emit_link(emit, chain, i, regs));
	for (unsigned r = 0; r < chain->n_results; r++)
		TRY(move(emit, chain->last[r], regs[r]));
	for (size_t i = 0; i < chain->jumps.count; i++)
		code->pixels[chain->jumps.items[i]] = code->count;
	return NULL;
}

/* The selections between the results and their last values are never computed as such. */
static void use_up_selections(struct emit *emit, const struct chain *chain)
{
	for (unsigned r = 0; r < chain->n_results; r++) {
		ir_ref at = chain->results[r];
		for (size_t i = 0; i + 1 < chain->links.count; i++) {
			unsigned on = chain->links.items[i].inverted ? 1 : 2;
			at = emit_strip(emit, ir_get(emit->p.ir, at)->args[on]);
			emit->places[at].uses = 0;
		}
	}
}

static struct error *emit_all(struct emit *emit, struct chain *chain)
{
	unsigned regs[RESULTS_MAX], n_regs = 0;
	struct error *err = compute_shared(emit, chain);
	for (; !err && n_regs < chain->n_results; n_regs++) {
		err = emit_scratch(emit, &regs[n_regs]);
		if (err)
			break;
		emit->pinned[regs[n_regs]] = true;
	}
	use_up_selections(emit, chain);
	if (!err)
		err = emit_links(emit, chain, regs);
	for (unsigned r = 0; r < n_regs; r++)
		emit->pinned[regs[r]] = false;
	for (unsigned r = 0; r < REGS && !err; r++)
		if (emit->holds[r] != IR_NONE && emit->holds[r] != emit->p.in_r0)
			emit_forget(emit, r);
	for (unsigned r = 0; r < n_regs && !err; r++)
		emit_give(emit, chain->results[r], regs[r]);
	return err;
}

static struct error *try_chain(struct emit *emit, ir_ref ref, struct chain *chain,
			       bool *done_ret)
{
	unsigned n_nodes;
	TRY(find_links(emit, ref, chain));
	if (chain->links.count < LINKS_LEAST)
		return NULL;
	TRY(add_results(emit, chain));
	TRY(find_inside(emit, chain, &n_nodes));
	*done_ret = n_nodes >= NODES_LEAST;
	return *done_ret ? emit_all(emit, chain) : NULL;
}

struct error *emit_chain(struct emit *emit, ir_ref ref, unsigned *reg_ret, bool *done_ret)
{
	struct chain chain = { 0 };
	*done_ret = false;
	if (!emit->p.may_jump || ir_get(emit->p.ir, ref)->op != IR_ITE)
		return NULL;
	struct error *err = try_chain(emit, ref, &chain, done_ret);
	if (!err && *done_ret)
		*reg_ret = emit->places[ref].reg;
	chain_deinit(&chain);
	return err;
}
