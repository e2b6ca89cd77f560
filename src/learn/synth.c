/* The loop of this file: from the last value to the first, take windows that end in it, the
 * most saving first; ask the templates, or search from examples; prove; on a counterexample add
 * it to the examples and search again (CEGIS); replace; go on. */
#include "learn/synth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "learn/bv_mcode.h"
#include "learn/proof.h"
#include "learn/synth_window.h"

enum {
	WINDOWS_PER_VALUE = 3,
	EXAMPLES_FIRST = 14,
	ROUNDS = 5, /* of CEGIS */
	PROOF_MS = 100, /* of solver steps */
	REMEMBERED = 64,
	BUDGET_MS = 1500, /* of search, for one body */
};

struct remembered {
	char key[WINDOW_KEY], program[WINDOW_PROGRAM];
};

struct synth {
	struct ssa *ssa;
	const struct synth_store *store;
	struct synth_result *result;
	Z3_context z;
	unsigned *uses;
	uint64_t random;
	double search_ms;
	unsigned n_remembered;
	struct remembered remembered[REMEMBERED]; /* of this body */
};

static double now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static uint64_t bits_mask(unsigned bits)
{
	return bits >= 64 ? ~0ull : (1ull << bits) - 1;
}

static uint64_t example_value(struct synth *s, unsigned number)
{
	static const uint64_t odd[] = { 0, ~0ull, 1, 0x8000000080008080ull,
					0x7fffffff7fff7f7full };
	return number < 5 ? odd[number] : next_random(&s->random);
}

static void add_example(const struct synth *s, const struct window *window,
			const uint64_t *leaves, struct synth_spec *spec)
{
	unsigned at = spec->n_examples < SYNTH_EXAMPLES ? spec->n_examples++ : 0;
	for (unsigned l = 0; l < SYNTH_LEAVES; l++)
		spec->in[l][at] = leaves[l];
	spec->out[at] = window_eval(s->ssa, window, leaves);
}

static void make_spec(struct synth *s, const struct window *window, struct synth_spec *spec)
{
	memset(spec, 0, sizeof(*spec));
	spec->n_leaves = window->n_leaves;
	spec->weight = window->weight;
	for (unsigned i = 0; i < EXAMPLES_FIRST; i++) {
		uint64_t leaves[SYNTH_LEAVES] = { 0 };
		for (unsigned l = 0; l < window->n_leaves; l++)
			leaves[l] = example_value(s, l && i < 5 ? (i * 2 + 1) % 5 : i) &
				    bits_mask(window->leaf_bits[l]);
		add_example(s, window, leaves, spec);
	}
	for (unsigned i = 0; i < window->n_constants && i < 5; i++)
		spec->constants[spec->n_constants++] = window->constants[i];
	spec->constants[spec->n_constants++] = 0;
	spec->constants[spec->n_constants++] = ~0ull;
}

/* Terms of a window and of a program over the same leaves; constants may be variables. */
struct terms {
	Z3_ast leaves[SYNTH_LEAVES], vars[SYNTH_LEAVES];
	Z3_ast constants[SYNTH_CONSTANTS]; /* NULL: as they are */
};

static void make_leaves(Z3_context z, const struct window *window, struct terms *t)
{
	for (unsigned l = 0; l < window->n_leaves; l++) {
		t->vars[l] = bv_var(z, window->leaf_bits[l], "leaf", l);
		t->leaves[l] = bv_resize(z, t->vars[l], 64);
	}
}

static Z3_ast constant_term(Z3_context z, const struct window *window, const struct terms *t,
			    uint64_t value)
{
	int number = window_constant(window, value);
	return number >= 0 && t->constants[number] ? t->constants[number]
						   : bv_const(z, 64, value);
}

static Z3_ast insn_term(Z3_context z, const struct window *window, const struct terms *t,
			const struct mcode_insn *insn, Z3_ast a, Z3_ast b, Z3_ast d)
{
	struct mcode_insn plain = *insn;
	if (insn->op == MCODE_LDI)
		return constant_term(z, window, t, insn->imm);
	if (insn->has_imm)
		b = constant_term(z, window, t, insn->imm);
	plain.has_imm = false;
	return bv_mcode_value(z, &plain, a, b, d);
}

static Z3_ast operand_term(Z3_context z, const struct window *window, const struct terms *t,
			   const Z3_ast *nodes, int value)
{
	for (unsigned i = 0; i < window->n_leaves; i++)
		if (window->leaves[i] == value)
			return t->leaves[i];
	for (unsigned i = 0; i < window->n_nodes; i++)
		if (window->nodes[i] == value)
			return nodes[i];
	return bv_const(z, 64, 0);
}

static Z3_ast window_term(const struct synth *s, const struct window *window,
			  const struct terms *t)
{
	Z3_ast nodes[WINDOW_NODES] = { NULL };
	for (unsigned i = 0; i < window->n_nodes; i++) {
		const struct ssa_value *v = &s->ssa->values.items[window->nodes[i]];
		nodes[i] = insn_term(s->z, window, t, &v->insn,
				     operand_term(s->z, window, t, nodes, v->a),
				     operand_term(s->z, window, t, nodes, v->b),
				     operand_term(s->z, window, t, nodes, v->d));
		if (!nodes[i])
			return NULL;
	}
	return nodes[window->n_nodes - 1];
}

static Z3_ast program_term(const struct synth *s, const struct window *window,
			   const struct synth_program *program, const struct terms *t)
{
	Z3_ast values[SYNTH_LEAVES + SYNTH_PROGRAM] = { t->leaves[0], t->leaves[1] };
	for (unsigned i = 0; i < program->count; i++) {
		const struct mcode_insn *insn = &program->insns[i];
		values[SYNTH_TEMP + i] = insn_term(s->z, window, t, insn, values[insn->rs1],
						   values[insn->rs2], bv_const(s->z, 64, 0));
		if (!values[SYNTH_TEMP + i])
			return NULL;
	}
	return values[SYNTH_TEMP + program->count - 1];
}

/* Where the two differ; NULL: a term has no meaning for the prover. */
static Z3_ast difference(const struct synth *s, const struct window *window,
			 const struct synth_program *program, const struct terms *t)
{
	Z3_ast a = window_term(s, window, t), b = program_term(s, window, program, t);
	return a && b ? Z3_mk_not(s->z, Z3_mk_eq(s->z, a, b)) : NULL;
}

static void read_model(Z3_context z, Z3_solver solver, const struct window *window,
		       const struct terms *t, uint64_t *leaves)
{
	Z3_model model = Z3_solver_get_model(z, solver);
	if (!model)
		return;
	Z3_model_inc_ref(z, model);
	for (unsigned l = 0; l < window->n_leaves; l++) {
		Z3_ast value = NULL;
		if (Z3_model_eval(z, model, t->vars[l], true, &value) && value)
			bv_is_value(z, value, &leaves[l]);
	}
	Z3_model_dec_ref(z, model);
}

/* Are they equal for all inputs? If not, *leaves gets inputs that tell them apart. */
static enum proof_verdict prove_same(const struct synth *s, const struct window *window,
				     const struct synth_program *program, uint64_t *leaves)
{
	Z3_context z = s->z;
	struct terms t = { 0 };
	make_leaves(z, window, &t);
	Z3_ast differ = difference(s, window, program, &t);
	if (!differ)
		return PROOF_TIMEOUT;
	Z3_ast simple = Z3_simplify(z, differ);
	if (Z3_get_bool_value(z, simple) == Z3_L_FALSE)
		return PROOF_PROVED;
	Z3_solver solver = Z3_mk_solver_for_logic(z, Z3_mk_string_symbol(z, "QF_BV"));
	Z3_solver_inc_ref(z, solver);
	proof_limit(z, solver, PROOF_MS);
	Z3_solver_assert(z, solver, simple);
	Z3_lbool result = Z3_solver_check(z, solver);
	if (result == Z3_L_TRUE)
		read_model(z, solver, window, &t, leaves);
	Z3_solver_dec_ref(z, solver);
	return result == Z3_L_FALSE  ? PROOF_PROVED
	       : result == Z3_L_TRUE ? PROOF_REFUTED
				     : PROOF_TIMEOUT;
}

/* One proof for all constants: the template may then leave them open. */
static bool prove_open(const struct synth *s, const struct window *window,
		       const struct synth_program *program)
{
	struct terms t = { 0 };
	make_leaves(s->z, window, &t);
	for (unsigned i = 0; i < window->n_constants; i++)
		t.constants[i] = bv_var(s->z, 64, "constant", i);
	Z3_ast differ = difference(s, window, program, &t);
	struct proof proof = { .timeout_ms = PROOF_MS };
	struct proof_try what = { .name = "template", .quiet = true };
	if (!differ)
		return false;
	what.goal = Z3_mk_not(s->z, differ);
	bool proved = proof_check(&proof, s->z, &what);
	VEC_FREE(&proof.steps);
	return proved;
}

/* Search and proof in turns. count 0: nothing shorter is known. */
static void cegis(struct synth *s, const struct window *window, struct synth_program *program,
		  struct synth_window *times)
{
	struct synth_spec spec;
	make_spec(s, window, &spec);
	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t leaves[SYNTH_LEAVES] = { 0 };
		double start = now_ms();
		bool found = synth_search(&spec, program);
		double middle = now_ms();
		times->search_ms += middle - start;
		if (!found)
			return;
		enum proof_verdict verdict = prove_same(s, window, program, leaves);
		times->proof_ms += now_ms() - middle;
		if (verdict == PROOF_PROVED)
			return;
		program->count = 0;
		if (verdict == PROOF_TIMEOUT)
			return;
		add_example(s, window, leaves, &spec);
	}
}

static bool recall(struct synth *s, const char *key, char *program)
{
	for (unsigned i = 0; i < s->n_remembered; i++) {
		if (strcmp(s->remembered[i].key, key) != 0)
			continue;
		snprintf(program, WINDOW_PROGRAM, "%s", s->remembered[i].program);
		return true;
	}
	return s->store && s->store->find &&
	       s->store->find(s->store->user, key, program, WINDOW_PROGRAM);
}

static void remember(struct synth *s, const char *key, const char *program)
{
	if (s->n_remembered < REMEMBERED) {
		struct remembered *to = &s->remembered[s->n_remembered++];
		snprintf(to->key, sizeof(to->key), "%s", key);
		snprintf(to->program, sizeof(to->program), "%s", program);
	}
	if (s->store && s->store->add)
		s->store->add(s->store->user, key, program);
}

/* A template is a suggestion: it must fit the examples of this window; the kernel's proof says
 * the rest. */
static bool ask_templates(struct synth *s, const struct window *window,
			  struct synth_program *program)
{
	char key[WINDOW_KEY], text[WINDOW_PROGRAM];
	for (unsigned open = 0; open < 2; open++) {
		if (!window_key(s->ssa, window, !open, key) || !recall(s, key, text))
			continue;
		if (!window_program_read(window, text, program))
			return false;
		struct synth_spec spec;
		make_spec(s, window, &spec);
		for (unsigned i = 0; program->count && i < spec.n_examples; i++) {
			uint64_t leaves[SYNTH_LEAVES] = { spec.in[0][i], spec.in[1][i] };
			if (synth_run(program, leaves) != spec.out[i])
				return false;
		}
		s->result->templates++;
		return true;
	}
	return false;
}

static void learn_template(struct synth *s, const struct window *window,
			   const struct synth_program *program)
{
	char key[WINDOW_KEY], text[WINDOW_PROGRAM];
	bool open = program->count && window->n_constants &&
		    window_program_write(window, program, true, text) &&
		    prove_open(s, window, program);
	if (!open && !window_program_write(window, program, false, text))
		return;
	if (window_key(s->ssa, window, open, key))
		remember(s, key, program->count ? text : "");
}

static bool find_shorter(struct synth *s, const struct window *window,
			 struct synth_program *program)
{
	if (ask_templates(s, window, program))
		return program->count > 0;
	if (s->search_ms > BUDGET_MS || s->result->n_windows == SYNTH_WINDOWS_MAX)
		return false;
	struct synth_window *times = &s->result->windows[s->result->n_windows++];
	*times = (struct synth_window){ .before = window->insns };
	cegis(s, window, program, times);
	times->after = program->count ? program->count : times->before;
	s->search_ms += times->search_ms + times->proof_ms;
	learn_template(s, window, program);
	return program->count > 0;
}

/* Makes room before `at`: later values move up by one. */
static struct error *insert_before(struct ssa *ssa, int at, const struct ssa_value *value)
{
	if (!VEC_PUSH(&ssa->values, *value))
		return error_create(ERR_MEMORY, "out of memory");
	struct ssa_value *items = ssa->values.items;
	for (int i = (int)ssa->values.count - 1; i > at; i--)
		items[i] = items[i - 1];
	items[at] = *value;
	for (int i = at + 1; i < (int)ssa->values.count; i++) {
		items[i].a += items[i].a >= at;
		items[i].b += items[i].b >= at;
		items[i].d += items[i].d >= at;
	}
	return NULL;
}

static struct ssa_value value_of(const struct window *window, const struct mcode_insn *insn,
				 int temp)
{
	struct ssa_value v = { .insn = *insn, .a = SSA_NONE, .b = SSA_NONE, .d = SSA_NONE };
	bool binary = mcode_op_info(insn->op)->form == MCODE_FORM_RRR && !insn->has_imm;
	v.a = insn->rs1 == SYNTH_TEMP ? temp : window->leaves[insn->rs1];
	if (binary)
		v.b = insn->rs2 == SYNTH_TEMP ? temp : window->leaves[insn->rs2];
	v.bits = ssa_result_bits(insn);
	return v;
}

static struct error *replace(struct synth *s, const struct window *window,
			     const struct synth_program *program, int root)
{
	struct ssa_value *old = &s->ssa->values.items[root];
	struct ssa_value last = value_of(window, &program->insns[program->count - 1], root);
	last.bits = old->bits < last.bits ? old->bits : last.bits;
	if (program->count == 1) {
		*old = last;
		return NULL;
	}
	struct ssa_value first = value_of(window, &program->insns[0], SSA_NONE);
	TRY(insert_before(s->ssa, root, &first));
	s->ssa->values.items[root + 1] = last;
	free(s->uses);
	s->uses = NULL;
	return error_alloc(s->ssa->values.count + 1, sizeof(*s->uses), &s->uses);
}

static struct error *shorten_value(struct synth *s, int root)
{
	struct window windows[WINDOWS_PER_VALUE];
	const struct ssa_value *v = &s->ssa->values.items[root];
	memset(windows, 0, sizeof(windows));
	if (v->dead || !ssa_is_pure(v))
		return NULL;
	unsigned count = window_list(s->ssa, s->uses, root, windows, WINDOWS_PER_VALUE);
	for (unsigned i = 0; i < count; i++) {
		struct synth_program program = { 0 };
		if (!find_shorter(s, &windows[i], &program))
			continue;
		TRY(replace(s, &windows[i], &program, root));
		ssa_count_uses(s->ssa, s->uses);
		return NULL;
	}
	return NULL;
}

static struct error *shorten(struct synth *s)
{
	TRY(error_alloc(s->ssa->values.count + 1, sizeof(*s->uses), &s->uses));
	ssa_count_uses(s->ssa, s->uses);
	for (int root = (int)s->ssa->values.count - 1; root >= 0; root--)
		TRY(shorten_value(s, root));
	return NULL;
}

static struct error *rewrite(struct synth *s, struct mcode_kernel *kernel)
{
	struct mcode_code fresh = { 0 };
	struct error *err = shorten(s);
	if (!err)
		err = ssa_emit(s->ssa, &fresh);
	struct synth_result *r = s->result;
	if (err || mcode_code_instructions(&fresh) >= r->before) {
		mcode_code_free(&fresh);
		return err;
	}
	mcode_code_free(&kernel->code[MCODE_BODY]);
	kernel->code[MCODE_BODY] = fresh;
	r->after = mcode_code_instructions(&fresh);
	r->cost_after = mcode_code_cost(&fresh);
	return NULL;
}

struct error *synth_kernel(struct mcode_kernel *kernel, const struct synth_store *store,
			   struct synth_result *ret)
{
	AUTO(own_free) struct synth *s = NULL;
	AUTO(own_ssa) struct ssa *ssa = NULL;
	double start = now_ms();
	const struct mcode_code *body = &kernel->code[MCODE_BODY];
	memset(ret, 0, sizeof(*ret));
	ret->before = ret->after = mcode_code_instructions(body);
	ret->cost_before = ret->cost_after = mcode_code_cost(body);
	struct error *err = ssa_create(body, &ssa);
	if (error_catch(&err, ERR_UNSUPPORTED)) /* jumps: left as it is */
		return NULL;
	if (err)
		return err;
	TRY(error_alloc(1, sizeof(*s), &s));
	s->ssa = ssa;
	s->store = store;
	s->result = ret;
	s->random = 7;
	s->z = proof_context_create();
	if (!s->z)
		return error_create(ERR_PEER, "Z3 gives no context");
	err = rewrite(s, kernel);
	Z3_del_context(s->z);
	free(s->uses);
	ret->ms = now_ms() - start;
	error_catch(&err, ERR_LIMIT); /* too many values at once: left as it is */
	return err;
}
