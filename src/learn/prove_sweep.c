/* Equality of large terms, bottom up. Terms of the two sides that agree on random inputs are
 * candidates for being equal. The first of them becomes a variable of its own; the next one is
 * proved equal to it over such variables (a lemma: it holds for all their values, so for those
 * that they stand for too) and then stands as the same variable. What is left to prove at the
 * top is small. A lemma that cannot be proved leaves its term as it is, which can only make a
 * proof fail. */
#include "learn/prove_sweep.h"

#include <stdio.h>

#include "base/error.h"
#include "base/vec.h"
#include "learn/bv.h"

enum {
	VECTORS = 4,
	BOTH_SIDES = 3,
	CUT_BITS_LEAST = 8,
	LEMMA_MS = 60,
	OPENED_MAX = 6,
	FAILED_MAX = 20
};

#define CUT (1u << 31)

struct term {
	Z3_ast ast;
	Z3_ast value[VECTORS]; /* numerals, or what is left of them */
	Z3_ast own; /* over what stands for the terms below it; NULL: to do */
	Z3_ast now; /* what stands for it */
	uint32_t class,
		next; /* terms of the same values; the next that others may equal, or 0 */
	uint8_t sides; /* bit i: found in side i */
	bool fresh;
};

struct class
{
	uint32_t first; /* term that others may equal, or 0 */
	uint32_t some; /* any term */
	uint8_t sides;
};

struct sweep {
	Z3_context z;
	struct proof *proof;
	VEC(struct term) terms; /* arguments before users; 0 is nobody */
	VEC(struct class) classes; /* 0 is none */
	uint32_t
		*by_id; /* number of the term, or CUT and number of the cut, by id of the AST */
	size_t n_ids;
	uint32_t *slots; /* classes by values, open addressing */
	size_t n_slots;
	VEC(Z3_ast) cuts; /* variables ... */
	VEC(Z3_ast) meanings; /* ... and what each of them stands for */
	unsigned n_failed;
	uint64_t seed;
	bool failed; /* out of memory */
};

struct error *sweep_create(Z3_context z, struct proof *proof, struct sweep **ret)
{
	AUTO(own_sweep) struct sweep *sweep = NULL;
	TRY(error_alloc(1, sizeof(*sweep), &sweep));
	sweep->z = z;
	sweep->proof = proof;
	sweep->seed = 1;
	sweep->n_slots = 1 << 18;
	TRY(error_alloc(sweep->n_slots, sizeof(uint32_t), &sweep->slots));
	if (!VEC_PUSH(&sweep->terms, (struct term){ 0 }) ||
	    !VEC_PUSH(&sweep->classes, (struct class){ 0 }))
		return error_create(ERR_MEMORY, "out of memory");
	*ret = TAKE(sweep);
	return NULL;
}

void sweep_destroy(struct sweep *sweep)
{
	if (!sweep)
		return;
	VEC_FREE(&sweep->terms);
	free(sweep->by_id);
	VEC_FREE(&sweep->classes);
	VEC_FREE(&sweep->cuts);
	VEC_FREE(&sweep->meanings);
	free(sweep->slots);
	free(sweep);
}

static uint32_t find_term(const struct sweep *sweep, Z3_ast ast)
{
	unsigned id = Z3_get_ast_id(sweep->z, ast);
	return id < sweep->n_ids && !(sweep->by_id[id] & CUT) ? sweep->by_id[id] : 0;
}

/* The number of a cut, from 1; 0: it is none. */
static uint32_t find_cut(const struct sweep *sweep, Z3_ast ast)
{
	unsigned id = Z3_get_ast_id(sweep->z, ast);
	return id < sweep->n_ids && (sweep->by_id[id] & CUT) ? sweep->by_id[id] & ~CUT : 0;
}

static bool remember(struct sweep *sweep, Z3_ast ast, uint32_t number)
{
	unsigned id = Z3_get_ast_id(sweep->z, ast);
	if (id >= sweep->n_ids) {
		size_t wanted = (size_t)id * 2 + 1024;
		uint32_t *grown = reallocarray(sweep->by_id, wanted, sizeof(*grown));
		if (!grown)
			return false;
		for (size_t i = sweep->n_ids; i < wanted; i++)
			grown[i] = 0;
		sweep->by_id = grown;
		sweep->n_ids = wanted;
	}
	sweep->by_id[id] = number;
	return true;
}

static bool is_bits(const struct sweep *sweep, Z3_ast ast)
{
	return Z3_get_sort_kind(sweep->z, Z3_get_sort(sweep->z, ast)) == Z3_BV_SORT;
}

static unsigned arity(const struct sweep *sweep, Z3_ast ast)
{
	return Z3_is_app(sweep->z, ast)
		       ? Z3_get_app_num_args(sweep->z, Z3_to_app(sweep->z, ast))
		       : 0;
}

static Z3_ast argument(const struct sweep *sweep, Z3_ast ast, unsigned i)
{
	return Z3_get_app_arg(sweep->z, Z3_to_app(sweep->z, ast), i);
}

static uint64_t next_random(struct sweep *sweep)
{
	sweep->seed = sweep->seed * 6364136223846793005ull + 1442695040888963407ull;
	return sweep->seed ^ sweep->seed >> 29;
}

/* Of all bits, or of any length: quotients of large numbers are small. */
static Z3_ast random_value(struct sweep *sweep, Z3_ast ast, unsigned vector)
{
	unsigned width = bv_width(sweep->z, ast);
	uint64_t value = next_random(sweep) & ir_mask(width);
	return bv_const(sweep->z, width,
			vector % 2 ? value >> next_random(sweep) % (width < 64 ? width : 64)
				   : value);
}

/* The term with other arguments, simplified. which: < VECTORS: values; else what is known. */
static Z3_ast rebuild(struct sweep *sweep, Z3_ast ast, unsigned which)
{
	Z3_context z = sweep->z;
	unsigned n = arity(sweep, ast);
	Z3_ast few[8], *args = n <= 8 ? few : calloc(n, sizeof(Z3_ast));
	for (unsigned i = 0; args && i < n; i++) {
		const struct term *t =
			&sweep->terms.items[find_term(sweep, argument(sweep, ast, i))];
		args[i] = which < VECTORS ? t->value[which] : t->now;
	}
	Z3_ast result = ast;
	if (args)
		result = Z3_simplify(
			z, Z3_mk_app(z, Z3_get_app_decl(z, Z3_to_app(z, ast)), n, args));
	sweep->failed |= !args;
	if (args != few)
		free(args);
	return result;
}

/* The class of terms with these values, made if there is none. 0: no room for more. */
static uint32_t class_of(struct sweep *sweep, const struct term *t)
{
	uint64_t hash = 0;
	for (unsigned v = 0; v < VECTORS; v++)
		hash = (hash + Z3_get_ast_id(sweep->z, t->value[v])) * 0x9e3779b97f4a7c15ull;
	size_t at = (hash >> 32) & (sweep->n_slots - 1);
	for (; sweep->slots[at]; at = (at + 1) & (sweep->n_slots - 1)) {
		const struct class *class = &sweep->classes.items[sweep->slots[at]];
		const struct term *other = &sweep->terms.items[class->some];
		bool same = true;
		for (unsigned v = 0; v < VECTORS; v++)
			same &= Z3_is_eq_ast(sweep->z, t->value[v], other->value[v]);
		if (same)
			return sweep->slots[at];
	}
	struct class fresh = { .some = (uint32_t)sweep->terms.count };
	if (sweep->classes.count * 2 > sweep->n_slots || !VEC_PUSH(&sweep->classes, fresh))
		return 0;
	sweep->slots[at] = (uint32_t)sweep->classes.count - 1;
	return sweep->slots[at];
}

/* Worth being found equal to others. Selections agree by chance with what they select, and what
 * is the same for all inputs tried with too many others. */
static bool is_telling(const struct sweep *sweep, const struct term *t)
{
	Z3_context z = sweep->z;
	bool varies = false;
	if (!is_bits(sweep, t->ast) || bv_width(z, t->ast) < CUT_BITS_LEAST)
		return false;
	if (arity(sweep, t->ast) > 0 &&
	    Z3_get_decl_kind(z, Z3_get_app_decl(z, Z3_to_app(z, t->ast))) == Z3_OP_ITE)
		return false;
	for (unsigned v = 1; v < VECTORS; v++)
		varies |= !Z3_is_eq_ast(z, t->value[v], t->value[0]);
	return varies;
}

static bool add_term(struct sweep *sweep, Z3_ast ast)
{
	struct term t = { .ast = ast };
	bool bits = is_bits(sweep, ast);
	for (unsigned v = 0; v < VECTORS; v++) {
		if (arity(sweep, ast) > 0)
			t.value[v] = rebuild(sweep, ast, v);
		else if (Z3_get_ast_kind(sweep->z, ast) == Z3_APP_AST && bits)
			t.value[v] = random_value(sweep, ast, v);
		else
			t.value[v] = ast;
	}
	if (is_telling(sweep, &t))
		t.class = class_of(sweep, &t);
	return VEC_PUSH(&sweep->terms, t) &&
	       remember(sweep, ast, (uint32_t)sweep->terms.count - 1);
}

/* Lists the term and all below it, and what it is worth on random inputs. */
static void collect(struct sweep *sweep, Z3_ast root)
{
	VEC(Z3_ast) work = { 0 };
	if (!VEC_PUSH(&work, root))
		sweep->failed = true;
	while (work.count && !sweep->failed) {
		Z3_ast at = work.items[work.count - 1];
		bool ready = true;
		for (unsigned i = 0; i < arity(sweep, at); i++) {
			Z3_ast below = argument(sweep, at, i);
			if (find_term(sweep, below))
				continue;
			ready = false;
			sweep->failed |= !VEC_PUSH(&work, below);
		}
		if (!ready)
			continue;
		work.count--;
		if (!find_term(sweep, at))
			sweep->failed |= !add_term(sweep, at);
	}
	VEC_FREE(&work);
}

/* Users come after arguments in the list, so one pass downwards marks all of a side. */
static void mark_side(struct sweep *sweep, Z3_ast root, uint8_t side)
{
	uint32_t top = find_term(sweep, root);
	sweep->terms.items[top].fresh = true;
	for (uint32_t i = top; i > 0; i--) {
		struct term *t = &sweep->terms.items[i];
		if (!t->fresh)
			continue;
		t->fresh = false;
		t->sides |= side;
		sweep->classes.items[t->class].sides |= side;
		for (unsigned a = 0; a < arity(sweep, t->ast); a++) {
			uint32_t below = find_term(sweep, argument(sweep, t->ast, a));
			sweep->terms.items[below].fresh |=
				!(sweep->terms.items[below].sides & side);
		}
	}
}

void sweep_add(struct sweep *sweep, Z3_ast a, Z3_ast b)
{
	collect(sweep, a);
	collect(sweep, b);
	if (sweep->failed)
		return;
	mark_side(sweep, a, 1);
	mark_side(sweep, b, 2);
}

/* Numbers of the cuts in a term, one bit of side each. */
static void mark_cuts(struct sweep *sweep, Z3_ast root, uint8_t side, uint8_t *marks)
{
	VEC(Z3_ast) seen = { 0 };
	sweep->failed |= !VEC_PUSH(&seen, root);
	for (size_t i = 0; i < seen.count && !sweep->failed; i++) {
		Z3_ast at = seen.items[i];
		uint32_t cut = find_cut(sweep, at);
		if (cut)
			marks[cut - 1] |= side;
		for (unsigned a = 0; a < arity(sweep, at); a++) {
			bool known = false;
			for (size_t j = 0; j < seen.count && !known; j++)
				known = Z3_is_eq_ast(sweep->z, seen.items[j],
						     argument(sweep, at, a));
			sweep->failed |= !known && !VEC_PUSH(&seen, argument(sweep, at, a));
		}
	}
	VEC_FREE(&seen);
}

/* Variables hide what they stand for: opens the last one that only one of the two terms has. */
static bool open_cut(struct sweep *sweep, Z3_ast *a, Z3_ast *b)
{
	AUTO(own_free) uint8_t *marks = calloc(sweep->cuts.count + 1, 1);
	sweep->failed |= !marks;
	if (sweep->failed)
		return false;
	mark_cuts(sweep, *a, 1, marks);
	mark_cuts(sweep, *b, 2, marks);
	for (size_t i = sweep->cuts.count; i-- > 0;) {
		if (marks[i] != 1 && marks[i] != 2)
			continue;
		Z3_ast *side = marks[i] == 1 ? a : b;
		*side = Z3_simplify(sweep->z,
				    Z3_substitute(sweep->z, *side, 1, &sweep->cuts.items[i],
						  &sweep->meanings.items[i]));
		return true;
	}
	return false;
}

static bool prove_lemma(struct sweep *sweep, Z3_ast a, Z3_ast b)
{
	char name[64];
	snprintf(name, sizeof(name), "lemma %zu", sweep->proof->steps.count);
	for (unsigned opened = 0; sweep->n_failed < FAILED_MAX; opened++) {
		struct proof_try what = { .name = name,
					  .goal = Z3_mk_eq(sweep->z, a, b),
					  .quiet = true,
					  .timeout_ms = LEMMA_MS };
		if (Z3_is_eq_ast(sweep->z, a, b) || proof_check(sweep->proof, sweep->z, &what))
			return true;
		if (opened == OPENED_MAX || !open_cut(sweep, &a, &b))
			break;
	}
	sweep->n_failed++;
	return false;
}

static Z3_ast make_cut(struct sweep *sweep, Z3_ast meaning)
{
	Z3_ast cut = bv_var(sweep->z, bv_width(sweep->z, meaning), "cut", sweep->cuts.count);
	sweep->failed |= !VEC_PUSH(&sweep->cuts, cut) || !VEC_PUSH(&sweep->meanings, meaning) ||
			 !remember(sweep, cut, CUT | (uint32_t)sweep->cuts.count);
	return cut;
}

/* Bits of others put side by side: a variable in their place would hide whose they are. */
static bool is_wiring(const struct sweep *sweep, Z3_ast ast)
{
	switch (Z3_get_decl_kind(sweep->z,
				 Z3_get_app_decl(sweep->z, Z3_to_app(sweep->z, ast)))) {
	case Z3_OP_CONCAT:
	case Z3_OP_EXTRACT:
	case Z3_OP_ZERO_EXT:
	case Z3_OP_SIGN_EXT:
		return true;
	default:
		return false;
	}
}

/* Says what stands for the term. Only what both sides have becomes a variable: others could not
 * use what it hides. */
static void settle(struct sweep *sweep, struct term *t)
{
	t->own = t->now = arity(sweep, t->ast) > 0 ? rebuild(sweep, t->ast, VECTORS) : t->ast;
	struct class *class = &sweep->classes.items[t->class];
	if (!t->class || class->sides != BOTH_SIDES)
		return;
	for (uint32_t i = class->first; i; i = sweep->terms.items[i].next) {
		const struct term *other = &sweep->terms.items[i];
		if (!Z3_is_eq_ast(sweep->z, t->own, other->now) &&
		    !prove_lemma(sweep, t->own, other->own))
			continue;
		t->now = other->now;
		return;
	}
	t->next = class->first;
	class->first = find_term(sweep, t->ast);
	if (arity(sweep, t->own) > 0 && !is_wiring(sweep, t->own))
		t->now = make_cut(sweep, t->own);
}

Z3_ast sweep_rewrite(struct sweep *sweep, Z3_ast a)
{
	uint32_t top = find_term(sweep, a);
	if (sweep->failed || !top)
		return a;
	for (uint32_t i = 1; i <= top && !sweep->failed; i++)
		if (!sweep->terms.items[i].own)
			settle(sweep, &sweep->terms.items[i]);
	return sweep->failed ? a : sweep->terms.items[top].now;
}
