/* Is the prover worth its name? Kernels with one thing broken, as translated and as
 * synthesised, must not be proved if they do anything else than the original code.
 * GLASSBOX_MUTANTS says how many that differ are wanted; a few by default. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants these three first */
#include <cmocka.h>

#include "base/error.h"
#include "learn/oracle.h"
#include "learn/prove.h"
#include "learn/synth.h"
#include "learn/translate.h"
#include "learn_fixture.h"
#include "mcode/validate.h"

static uint64_t seed = 20;

static uint64_t next(void)
{
	uint64_t z = (seed += 0x9e3779b97f4a7c15ull);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

struct subject {
	struct shape_list shapes;
	struct ir *ir;
	struct iteration *iteration;
	struct loop *loop;
	struct mcode_kernel *kernel;
};

static void subject_init(struct subject *s, const struct sample *sample, bool shortened)
{
	memset(s, 0, sizeof(*s));
	assert_null(shape_find(&sample_code, sample_head(sample), &s->shapes));
	assert_null(ir_create(true, &s->ir));
	struct iteration_params params = { .source = &sample_code,
					   .shape = s->shapes.shapes[0],
					   .stays = true };
	assert_null(iteration_create(s->ir, &params, &s->iteration));
	assert_null(error_alloc(1, sizeof(*s->loop), &s->loop));
	assert_null(loop_analyse(s->iteration, s->loop));
	assert_null(translate_loop(s->loop, sample->name, &s->kernel));
	struct synth_result result;
	if (shortened)
		assert_null(synth_kernel(s->kernel, NULL, &result));
}

static void subject_deinit(struct subject *s)
{
	mcode_kernel_destroy(s->kernel);
	free(s->loop);
	iteration_destroy(s->iteration);
	ir_destroy(s->ir);
	shape_list_deinit(&s->shapes);
}

static uint8_t other_op(uint8_t op)
{
	static const uint8_t ops[] = { MCODE_ADD,    MCODE_SUB,	   MCODE_MUL,	MCODE_AND,
				       MCODE_OR,     MCODE_XOR,	   MCODE_SHL,	MCODE_SHR,
				       MCODE_SAR,    MCODE_CMPEQ,  MCODE_CMPNE, MCODE_CMPLTU,
				       MCODE_CMPLEU, MCODE_CMPLTS, MCODE_MINU,	MCODE_MAXS,
				       MCODE_DIV,    MCODE_REM };
	for (unsigned i = 0; i < sizeof(ops); i++)
		if (ops[i] == op)
			return ops[next() % sizeof(ops)];
	return op;
}

/* The pixels of one instruction; the validator throws out what is none any more. */
static void break_insn(uint32_t *pixels, const struct mcode_insn *insn)
{
	uint32_t pixel = pixels[0];
	switch (next() % 6) {
	case 0:
		pixel = (pixel & ~0xffu) | other_op(insn->op);
		break;
	case 1:
		pixel ^= 1u << (8 + next() % 5);
		break; /* rd */
	case 2:
		pixel ^= 1u << (16 + next() % 4);
		break; /* rs1, stream or slot */
	case 3:
		pixel ^= 1u << (13 + next() % 2);
		break; /* width */
	default:
		if (insn->n_pixels > 1)
			pixels[1] += next() % 2 ? 1u : 1u << next() % 8;
		else
			pixel ^= 1u << (24 + next() % 4); /* rs2 */
	}
	pixels[0] = pixel;
}

/* One instruction of a random section. */
static bool break_code(struct mcode_kernel *kernel)
{
	static const enum mcode_section sections[] = { MCODE_BODY,  MCODE_BODY,	  MCODE_BODY,
						       MCODE_SETUP, MCODE_FINISH, MCODE_GUARD };
	struct mcode_code *code = &kernel->code[sections[next() % 6]];
	uint32_t n = mcode_code_instructions(code), at = 0;
	uint32_t victim = n > 1 ? (uint32_t)(next() % (n - 1)) : 0;
	for (uint32_t i = 0; i <= victim; i++) {
		struct mcode_insn insn;
		if (!mcode_decode(code->pixels, code->count, at, &insn, NULL))
			return false;
		if (i == victim)
			break_insn(code->pixels + at, &insn);
		at += insn.n_pixels;
	}
	return true;
}

static bool break_tables(struct mcode_kernel *kernel)
{
	if (kernel->n_reductions && next() % 2) {
		static const uint8_t ops[] = { MCODE_ADD, MCODE_XOR, MCODE_OR, MCODE_MAXU,
					       MCODE_MOV };
		struct mcode_reduction *one =
			&kernel->reductions[next() % kernel->n_reductions];
		struct mcode_reduction *two =
			&kernel->reductions[next() % kernel->n_reductions];
		if (next() % 3)
			one->op = ops[next() % 5];
		else
			one->value_slot = next() % 2 ? two->value_slot : two->acc_slot;
		return true;
	}
	if (kernel->serial && next() % 4 == 0) {
		if (next() % 2)
			kernel->serial = false;
		else
			kernel->search_slot = MCODE_NO_SLOT;
		return true;
	}
	if (!kernel->n_streams)
		return false;
	struct mcode_stream *stream = &kernel->streams[next() % kernel->n_streams];
	if (next() % 2)
		stream->stride += next() % 2 ? 1 : -1;
	else
		stream->base_slot = kernel->streams[next() % kernel->n_streams].base_slot;
	return true;
}

/* A changed, valid copy. */
static struct mcode_kernel *mutant_of(const struct mcode_kernel *kernel)
{
	for (unsigned try = 0; try < 200; try++) {
		struct mcode_kernel *copy = NULL;
		assert_null(mcode_kernel_copy(kernel, &copy));
		bool done = next() % 8 ? break_code(copy) : break_tables(copy);
		struct error *err = done ? mcode_validate(copy) : NULL;
		if (done && !err && !mcode_kernel_equal(copy, kernel))
			return copy;
		error_destroy(err);
		mcode_kernel_destroy(copy);
	}
	fail_msg("no mutant could be made");
	return NULL;
}

struct score {
	unsigned differ; /* from the original code, seen in tests */
	unsigned refuted, timeout, wrong; /* of those */
	unsigned quiet, quiet_proved; /* no test shows a difference */
};

static bool differs(const struct subject *s, const struct mcode_kernel *mutant)
{
	struct oracle_result result = { 0 };
	struct oracle_params params = { .source = &sample_code,
					.shape = s->shapes.shapes[0],
					.loop = s->loop,
					.kernel = mutant,
					.cases = 100,
					.seed = next() };
	struct error *err = oracle_run(&params, &result);
	error_destroy(err);
	return !err && result.mismatches;
}

static void judge(const struct subject *s, const struct mcode_kernel *mutant,
		  struct score *score)
{
	struct proof *proof = NULL;
	struct prove_params params = { .source = &sample_code,
				       .shape = s->shapes.shapes[0],
				       .loop = s->loop,
				       .kernel = mutant,
				       .timeout_ms = 150 };
	bool different = differs(s, mutant);
	struct error *err = prove_kernel(&params, &proof);
	bool proved = !err && proof->verdict == PROOF_PROVED;
	bool timeout = !err && proof->verdict == PROOF_TIMEOUT;
	error_destroy(err);
	proof_destroy(proof);
	score->differ += different;
	score->quiet += !different;
	score->quiet_proved += !different && proved;
	score->wrong += different && proved;
	score->timeout += different && timeout;
	score->refuted += different && !proved && !timeout;
}

static void break_one_subject(const char *name, bool shortened, unsigned wanted,
			      struct score *score)
{
	struct subject subject;
	unsigned before = score->differ;
	subject_init(&subject, sample_named(name), shortened);
	for (unsigned m = 0; score->differ - before < wanted && m < 4 * wanted + 8; m++) {
		struct mcode_kernel *mutant = mutant_of(subject.kernel);
		judge(&subject, mutant, score);
		mcode_kernel_destroy(mutant);
	}
	subject_deinit(&subject);
}

static void mutants_are_not_proved(void **state)
{
	static const char *const names[] = {
		"xor",	 "sum8", "grey",   "count",	 "condsum", "upper",	 "reverse",
		"saxpy", "lut",	 "strlen", "max",	 "copy",    "leaver",	 "aligned",
		"adler", "crc",	 "filter", "copy_until", "cell",    "copy_zero", "histogram"
	};
	enum { SUBJECTS = sizeof(names) / sizeof(*names) };
	const char *wish = getenv("GLASSBOX_MUTANTS");
	unsigned wanted = wish ? (unsigned)strtoul(wish, NULL, 10) : SUBJECTS;
	struct score score = { 0 };
	(void)state;
	for (unsigned i = 0; i < 2 * SUBJECTS && score.differ < wanted; i++)
		break_one_subject(names[i / 2], i % 2,
				  (wanted + 2 * SUBJECTS - 1) / (2 * SUBJECTS), &score);
	print_message("# %u differ: %u refuted, %u without a proof in time, %u proved; of %u "
		      "others %u proved\n",
		      score.differ, score.refuted, score.timeout, score.wrong, score.quiet,
		      score.quiet_proved);
	assert_int_equal(score.wrong, 0);
	assert_true(score.differ > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(mutants_are_not_proved) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
