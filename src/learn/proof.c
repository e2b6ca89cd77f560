#include "learn/proof.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "learn/bv.h"

enum { TIMEOUT_MS = 2000, STEPS_PER_MS = 2000, FEW_HARD = 16 };

struct error *proof_create(struct proof **ret)
{
	struct proof *proof = NULL;
	TRY(error_alloc(1, sizeof(*proof), &proof));
	*ret = proof;
	return NULL;
}

void proof_destroy(struct proof *proof)
{
	if (!proof)
		return;
	for (size_t i = 0; i < proof->steps.count; i++)
		free(proof->steps.items[i].smtlib);
	VEC_FREE(&proof->steps);
	free(proof);
}

const char *proof_verdict_name(enum proof_verdict verdict)
{
	static const char *const names[] = { "proved", "refuted", "timeout" };
	return names[verdict];
}

static void on_error(Z3_context z, Z3_error_code code)
{
	(void)z;
	(void)code; /* asked for where it matters; a failed check is no proof */
}

Z3_context proof_context_create(void)
{
	Z3_config config = Z3_mk_config();
	Z3_context z = Z3_mk_context(config);
	Z3_del_config(config);
	if (z)
		Z3_set_error_handler(z, on_error);
	return z;
}

static double now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* Bounds count Z3's own steps, so that a busy machine proves what an idle one does; the clock
 * is only a net below. */
void proof_limit(Z3_context z, Z3_solver solver, unsigned ms)
{
	Z3_params params = Z3_mk_params(z);
	Z3_params_inc_ref(z, params);
	Z3_params_set_uint(z, params, Z3_mk_string_symbol(z, "rlimit"), ms * STEPS_PER_MS);
	Z3_params_set_uint(z, params, Z3_mk_string_symbol(z, "timeout"), ms * 20);
	Z3_solver_set_params(z, solver, params);
	Z3_params_dec_ref(z, params);
}

static Z3_lbool solve(Z3_context z, Z3_solver solver, unsigned ms, Z3_ast formula)
{
	Z3_solver_inc_ref(z, solver);
	proof_limit(z, solver, ms);
	Z3_solver_assert(z, solver, formula);
	Z3_lbool result = Z3_solver_check(z, solver);
	if (Z3_get_error_code(z) != Z3_OK)
		result = Z3_L_UNDEF;
	Z3_solver_dec_ref(z, solver);
	return result;
}

/* The negation, with all premises: unsatisfiable if the step is right. */
static Z3_ast negation(Z3_context z, const struct proof_try *what)
{
	Z3_ast parts[3];
	unsigned n = 0;
	parts[n++] = Z3_mk_not(z, what->goal);
	if (what->premise)
		parts[n++] = what->premise;
	Z3_ast all = Z3_mk_and(z, n, parts);
	if (!what->given)
		return all;
	Z3_ast_vector given = Z3_solver_get_assertions(z, what->given);
	Z3_ast_vector_inc_ref(z, given);
	for (unsigned i = 0; i < Z3_ast_vector_size(z, given); i++) {
		Z3_ast both[2] = { all, Z3_ast_vector_get(z, given, i) };
		all = Z3_mk_and(z, 2, both);
	}
	Z3_ast_vector_dec_ref(z, given);
	return all;
}

/* Operations that are large circuits, of which most proofs need no more than that equal
 * operands give equal results. */
static bool is_hard(Z3_context z, Z3_ast a)
{
	Z3_app app = Z3_to_app(z, a);
	switch (Z3_get_decl_kind(z, Z3_get_app_decl(z, app))) {
	case Z3_OP_BMUL:
		for (unsigned i = 0; i < Z3_get_app_num_args(z, app); i++)
			if (Z3_get_ast_kind(z, Z3_get_app_arg(z, app, i)) == Z3_NUMERAL_AST)
				return false;
		return true;
	case Z3_OP_BUDIV:
	case Z3_OP_BUREM:
	case Z3_OP_BUDIV_I:
	case Z3_OP_BUREM_I:
		return true;
	default:
		return false;
	}
}

/* A comparison: what conditions are made from. */
static bool is_atom(Z3_context z, Z3_ast a)
{
	Z3_app app = Z3_to_app(z, a);
	return Z3_get_sort_kind(z, Z3_get_sort(z, a)) == Z3_BOOL_SORT &&
	       Z3_get_app_num_args(z, app) > 0 &&
	       Z3_get_sort_kind(z, Z3_get_sort(z, Z3_get_app_arg(z, app, 0))) != Z3_BOOL_SORT;
}

struct hidden {
	bool (*hides)(Z3_context z, Z3_ast a);
	VEC(Z3_ast) from, to;
	VEC(Z3_ast) work;
	VEC(bool) seen; /* by id */
	bool failed;
};

static bool is_new(Z3_context z, struct hidden *h, Z3_ast a)
{
	unsigned id = Z3_get_ast_id(z, a);
	while (h->seen.count <= id && !h->failed)
		h->failed = !VEC_PUSH(&h->seen, false);
	if (h->failed || h->seen.items[id])
		return false;
	return h->seen.items[id] = true;
}

static void hide_below(Z3_context z, struct hidden *h, Z3_ast a)
{
	char name[32];
	if (Z3_get_ast_kind(z, a) != Z3_APP_AST || !is_new(z, h, a))
		return;
	if (!h->hides(z, a)) {
		h->failed |= !VEC_PUSH(&h->work, a);
		return;
	}
	snprintf(name, sizeof(name), "hidden%zu", h->from.count);
	Z3_ast var = Z3_mk_const(z, Z3_mk_string_symbol(z, name), Z3_get_sort(z, a));
	h->failed |= !VEC_PUSH(&h->from, a) || !VEC_PUSH(&h->to, var);
}

/* The formula with variables for terms of a kind: if there is no solution for any values of
 * these, there is none. NULL: there are no such terms. */
static Z3_ast hide(Z3_context z, Z3_ast formula, bool (*hides)(Z3_context z, Z3_ast a),
		   size_t *n_ret)
{
	struct hidden h = { .hides = hides };
	hide_below(z, &h, formula);
	while (h.work.count && !h.failed) {
		Z3_app app = Z3_to_app(z, h.work.items[--h.work.count]);
		for (unsigned i = 0; i < Z3_get_app_num_args(z, app); i++)
			hide_below(z, &h, Z3_get_app_arg(z, app, i));
	}
	Z3_ast result = NULL;
	if (h.from.count && !h.failed)
		result = Z3_substitute(z, formula, (unsigned)h.from.count, h.from.items,
				       h.to.items);
	*n_ret = h.from.count;
	VEC_FREE(&h.from);
	VEC_FREE(&h.to);
	VEC_FREE(&h.work);
	VEC_FREE(&h.seen);
	return result;
}

/* Conditions alone may decide, or products of sums, or what is left without the large circuits.
 */
static bool is_easy(Z3_context z, Z3_ast formula, unsigned ms)
{
	size_t n_hard, n_atoms;
	Z3_ast easier = hide(z, formula, is_hard, &n_hard);
	if (!easier)
		return false;
	if (n_hard <= FEW_HARD && Z3_get_bool_value(z, bv_as_sum(z, formula)) == Z3_L_FALSE)
		return true;
	Z3_ast easiest = hide(z, formula, is_atom, &n_atoms);
	return (easiest && solve(z, Z3_mk_simple_solver(z), ms, easiest) == Z3_L_FALSE) ||
	       solve(z, Z3_mk_simple_solver(z), ms, easier) == Z3_L_FALSE;
}

static enum proof_verdict decide(Z3_context z, Z3_ast formula, bool bits, unsigned ms,
				 bool *simplified_ret)
{
	Z3_ast simple = Z3_simplify(z, formula);
	*simplified_ret = true;
	if (Z3_get_bool_value(z, simple) == Z3_L_FALSE)
		return PROOF_PROVED;
	if (Z3_get_bool_value(z, simple) == Z3_L_TRUE)
		return PROOF_REFUTED;
	*simplified_ret = false;
	Z3_lbool result = Z3_L_UNDEF;
	if (bits && is_easy(z, simple, ms < 250 ? ms : 250))
		return PROOF_PROVED;
	if (bits) {
		result = solve(z, Z3_mk_simple_solver(z), ms < 250 ? ms : 250, simple);
		if (result == Z3_L_UNDEF)
			result = solve(
				z, Z3_mk_solver_for_logic(z, Z3_mk_string_symbol(z, "QF_BV")),
				ms, simple);
	} else {
		result = solve(z, Z3_mk_simple_solver(z), ms, simple);
	}
	return result == Z3_L_FALSE  ? PROOF_PROVED
	       : result == Z3_L_TRUE ? PROOF_REFUTED
				     : PROOF_TIMEOUT;
}

bool proof_check(struct proof *proof, Z3_context z, const struct proof_try *what)
{
	if (proof->verdict != PROOF_PROVED)
		return false; /* nothing can mend it */
	struct proof_step step = { 0 };
	double start = now_ms();
	unsigned ms = what->timeout_ms	  ? what->timeout_ms
		      : proof->timeout_ms ? proof->timeout_ms
					  : TIMEOUT_MS;
	Z3_ast formula = negation(z, what);
	if (Z3_get_error_code(z) != Z3_OK)
		step.verdict = PROOF_TIMEOUT;
	else
		step.verdict = decide(z, formula, !what->given, ms, &step.simplified);
	step.ms = now_ms() - start;
	proof->ms += step.ms;
	if (step.verdict != PROOF_PROVED && what->quiet)
		return false;
	snprintf(step.name, sizeof(step.name), "%s", what->name);
	if (proof->keep_text) {
		Z3_string text = Z3_benchmark_to_smtlib_string(z, step.name, "ALL", "unsat", "",
							       0, NULL, formula);
		step.smtlib = text ? strdup(text) : NULL;
	}
	if (step.verdict != PROOF_PROVED && proof->verdict == PROOF_PROVED) {
		proof->verdict = step.verdict;
		snprintf(proof->failed, sizeof(proof->failed), "%s", step.name);
	}
	if (!VEC_PUSH(&proof->steps, step)) {
		free(step.smtlib);
		proof->verdict = PROOF_TIMEOUT; /* what is not recorded is not proved */
		return false;
	}
	return step.verdict == PROOF_PROVED;
}

static void own_context(Z3_context *z)
{
	proof_context_destroy(z);
}

enum proof_verdict proof_recheck(const char *smtlib, unsigned timeout_ms, double *ms_ret)
{
	double start = now_ms();
	AUTO(own_context) Z3_context z = proof_context_create();
	if (!z)
		return PROOF_TIMEOUT;
	Z3_ast_vector parsed = Z3_parse_smtlib2_string(z, smtlib, 0, NULL, NULL, 0, NULL, NULL);
	enum proof_verdict verdict = PROOF_TIMEOUT;
	if (Z3_get_error_code(z) == Z3_OK && parsed && Z3_ast_vector_size(z, parsed) > 0) {
		Z3_ast all = Z3_mk_true(z);
		bool simplified;
		for (unsigned i = 0; i < Z3_ast_vector_size(z, parsed); i++) {
			Z3_ast both[2] = { all, Z3_ast_vector_get(z, parsed, i) };
			all = Z3_mk_and(z, 2, both);
		}
		bool bits = strstr(smtlib, "Int") == NULL;
		verdict = decide(z, all, bits, timeout_ms, &simplified);
	}
	if (ms_ret)
		*ms_ret = now_ms() - start;
	return verdict;
}
