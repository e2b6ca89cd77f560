/* Loops through lifter, analysis, translation, proof and the comparison with
 * the original bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants these three first */
#include <cmocka.h>

#include "base/error.h"
#include "learn/learned.h"
#include "learn_fixture.h"
#include "mcode/interp.h"

static struct error *learn(const struct sample *sample, struct learned **ret)
{
	uint64_t head = sample_head(sample);
	if (!head)
		return error_create(ERR_NOT_FOUND, "no loop in %s", sample->name);
	return learned_create(&(struct learned_params){ .source = &sample_code,
							.head = head,
							.symbol = sample->name,
							.cases = 24 },
			      ret);
}

static void scalar_loops(void **state)
{
	(void)state;
	for (const struct sample *s = learn_code[LEARN_SCALAR].samples; s->name; s++) {
		struct learned *learned = NULL;
		struct error *err = learn(s, &learned);
		if (!s->pattern) {
			if (!err)
				fail_msg("%s was learned", s->name);
			assert_int_not_equal(error_kind(err), ERR_BAD_DATA);
			error_destroy(err);
			continue;
		}
		if (err)
			fail_msg("%s: %s", s->name, error_message(err));
		if (strcmp(learned->pattern, s->pattern) != 0)
			fail_msg("%s: %s", s->name, learned->pattern);
		assert_int_equal(learned->proof->verdict, PROOF_PROVED);
		assert_int_equal(learned->tests.mismatches, 0);
		assert_true(learned->tests.cases >= 24);
		learned_destroy(learned);
	}
}

/* Other builds: whatever is learned is right; most are. */
static void check_build(const struct sample *samples, unsigned least)
{
	unsigned count = 0;
	for (const struct sample *s = samples; s->name; s++) {
		struct learned *learned = NULL;
		if ((s - samples) % 3)
			continue; /* for time: all of them are in the scalar build */
		struct error *err = learn(s, &learned);
		if (err) {
			if (error_kind(err) == ERR_BAD_DATA)
				fail_msg("%s: %s", s->name, error_message(err));
			print_message("# %s: %s\n", s->name, error_message(err));
			error_destroy(err);
			continue;
		}
		if (!s->pattern)
			fail_msg("%s was learned", s->name);
		assert_int_equal(learned->tests.mismatches, 0);
		count++;
		learned_destroy(learned);
	}
	print_message("# %u learned\n", count);
	assert_true(count >= least);
}

static void vector_loops(void **state)
{
	(void)state;
	check_build(learn_code[LEARN_VECTOR].samples, 3);
}

static void small_loops(void **state)
{
	(void)state;
	check_build(learn_code[LEARN_SMALL].samples, 3);
}

static bool guard(const struct learned *learned, const uint64_t *guest, uint64_t *reason)
{
	struct mcode_interp *interp = NULL;
	assert_null(mcode_interp_create(learned->kernel, &interp));
	bool go = mcode_interp_guard(interp, guest, reason);
	mcode_interp_destroy(interp);
	return go;
}

/* Gives every input register the value that makes stream bases apart, then together. */
static void overlapping_buffers_are_refused(void **state)
{
	struct learned *learned = NULL;
	uint64_t guest[MCODE_GUEST_REGS] = { 0 }, reason = 0;
	(void)state;
	assert_null(learn(sample_named("overlap"), &learned));
	/* gcc keeps d in rdi, s in rsi, n in rdx, and counts in another register */
	guest[MCODE_RDI] = 0x100000;
	guest[MCODE_RSI] = 0x200000;
	guest[MCODE_RDX] = 1000;
	assert_true(guard(learned, guest, &reason));
	guest[MCODE_RSI] = 0x100004;
	assert_false(guard(learned, guest, &reason));
	assert_int_equal(reason, 2);
	guest[MCODE_RSI] = 0x100000 - 4;
	assert_false(guard(learned, guest, &reason));
	learned_destroy(learned);
}

/* d[i - lag] may be what the same iteration stores, or one a few before it. */
static void lags_are_refused(void **state)
{
	struct learned *learned = NULL;
	uint64_t guest[MCODE_GUEST_REGS] = { 0 }, reason = 0;
	(void)state;
	assert_null(learn(sample_named("lag"), &learned));
	const struct mcode_kernel *k = learned->kernel;
	assert_true(k->serial && k->n_streams == 2);
	/* gcc keeps d in rdi, d - lag in r8, n in rdx */
	for (int lag = -2; lag <= 300; lag++) {
		guest[MCODE_RDI] = 0x100000;
		guest[MCODE_R8] = 0x100000 - 4 * (uint64_t)lag;
		guest[MCODE_RDX] = 300;
		assert_true(guard(learned, guest, &reason) == (lag >= 299));
		if (lag < 299)
			assert_int_equal(reason, 2);
	}
	learned_destroy(learned);
}

static void addresses_that_wrap_are_refused(void **state)
{
	struct learned *learned = NULL;
	uint64_t guest[MCODE_GUEST_REGS] = { 0 }, reason = 0;
	(void)state;
	assert_null(learn(sample_named("overlap"), &learned));
	guest[MCODE_RDI] = ~0ull - 100;
	guest[MCODE_RSI] = 0x200000;
	guest[MCODE_RDX] = 1000;
	assert_false(guard(learned, guest, &reason));
	assert_int_equal(reason, 3);
	learned_destroy(learned);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scalar_loops),
		cmocka_unit_test(vector_loops),
		cmocka_unit_test(small_loops),
		cmocka_unit_test(overlapping_buffers_are_refused),
		cmocka_unit_test(lags_are_refused),
		cmocka_unit_test(addresses_that_wrap_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
