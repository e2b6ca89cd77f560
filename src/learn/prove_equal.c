/* Equality of terms under a premise: what the premise settles goes first, then what is equal
 * inside (prove_sweep.c). */
#include "base/error.h"
#include "base/vec.h"
#include "learn/prove_internal.h"

enum { CONJUNCTS_MAX = 128 };

/* What a premise says by itself: these conditions hold, or do not. */
struct known {
	unsigned count;
	Z3_ast from[CONJUNCTS_MAX], to[CONJUNCTS_MAX];
};

struct terms {
	VEC(Z3_ast) list;
	bool failed;
};

/* The arguments of a tree of such operations. */
static void flatten(Z3_context z, Z3_decl_kind kind, Z3_ast a, struct terms *to)
{
	Z3_app app = Z3_to_app(z, a);
	if (Z3_get_decl_kind(z, Z3_get_app_decl(z, app)) != kind) {
		to->failed |= !VEC_PUSH(&to->list, a);
		return;
	}
	for (unsigned i = 0; i < Z3_get_app_num_args(z, app); i++)
		flatten(z, kind, Z3_get_app_arg(z, app, i), to);
}

static void keep_common(Z3_context z, struct terms *a, const struct terms *b)
{
	size_t kept = 0;
	for (size_t i = 0; i < a->list.count; i++) {
		bool common = false;
		for (size_t j = 0; j < b->list.count && !common; j++)
			common = Z3_is_eq_ast(z, a->list.items[i], b->list.items[j]);
		if (common)
			a->list.items[kept++] = a->list.items[i];
	}
	a->list.count = kept;
}

/* What all ways to a place have in common: the conjuncts that every disjunct has. */
static void find_common(Z3_context z, Z3_ast disjunction, struct terms *ret)
{
	struct terms ways = { 0 };
	flatten(z, Z3_OP_OR, disjunction, &ways);
	for (size_t i = 0; i < ways.list.count && !ways.failed; i++) {
		struct terms more = { 0 }, *to = i ? &more : ret;
		flatten(z, Z3_OP_AND, ways.list.items[i], to);
		ret->failed |= to->failed;
		if (i)
			keep_common(z, ret, &more);
		VEC_FREE(&more.list);
	}
	ret->failed |= ways.failed;
	VEC_FREE(&ways.list);
}

static void add_known(Z3_context z, struct known *known, Z3_ast condition, bool holds)
{
	Z3_app app = Z3_to_app(z, condition);
	Z3_decl_kind kind = Z3_get_decl_kind(z, Z3_get_app_decl(z, app));
	if (kind == Z3_OP_NOT) {
		add_known(z, known, Z3_get_app_arg(z, app, 0), !holds);
		return;
	}
	for (unsigned i = 0; kind == Z3_OP_AND && holds && i < Z3_get_app_num_args(z, app); i++)
		add_known(z, known, Z3_get_app_arg(z, app, i), true);
	if (kind == Z3_OP_OR && holds) {
		struct terms common = { 0 };
		find_common(z, condition, &common);
		for (size_t i = 0; i < common.list.count && !common.failed; i++)
			add_known(z, known, common.list.items[i], true);
		VEC_FREE(&common.list);
	}
	if (kind == Z3_OP_TRUE || kind == Z3_OP_FALSE || known->count == CONJUNCTS_MAX)
		return;
	known->from[known->count] = condition;
	known->to[known->count++] = holds ? Z3_mk_true(z) : Z3_mk_false(z);
}

static bool is_plain(struct prover *p, Z3_ast a, Z3_ast b)
{
	return Z3_is_eq_ast(p->z, Z3_simplify(p->z, a), Z3_simplify(p->z, b));
}

/* The term where the premise holds, with the conditions that it settles gone: a store that
 * happens unless an alignment check fails simply happens. */
static Z3_ast under(struct prover *p, Z3_ast premise, Z3_ast a)
{
	struct known known = { 0 };
	if (premise)
		add_known(p->z, &known, premise, true);
	return Z3_substitute(p->z, a, known.count, known.from, known.to);
}

void prover_expect_equal(struct prover *p, Z3_ast premise, Z3_ast a, Z3_ast b)
{
	a = under(p, premise, a);
	b = under(p, premise, b);
	if (!is_plain(p, a, b))
		sweep_add(p->sweep, a, b);
}

bool prover_check_equal(struct prover *p, const char *name, Z3_ast premise, Z3_ast a, Z3_ast b)
{
	Z3_ast x = under(p, premise, a), y = under(p, premise, b);
	if (!is_plain(p, x, y)) {
		sweep_add(p->sweep, x, y);
		x = sweep_rewrite(p->sweep, x);
		y = sweep_rewrite(p->sweep, y);
	}
	struct proof_try small = {
		.name = name, .premise = premise, .goal = Z3_mk_eq(p->z, x, y), .quiet = true
	};
	if (proof_check(p->proof, p->z, &small))
		return true;
	return prover_check(p, name, premise, Z3_mk_eq(p->z, a, b));
}
