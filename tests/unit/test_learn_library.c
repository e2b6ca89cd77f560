/* The kernel library: what is stored comes back, what was touched is refused, several learners
 * at once do no harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
/* cmocka wants these three first */
#include <cmocka.h>

#include "base/error.h"
#include "learn/learned.h"
#include "learn/learner.h"
#include "learn/library.h"
#include "learn_fixture.h"

static char directory[] = "/tmp/glassbox-library-XXXXXX";

static const char *learn(struct library *library, const char *name, json_t **row)
{
	assert_null(
		learner_learn(&(struct learner_params){ .library = library,
							.source = &sample_code,
							.head = sample_head(sample_named(name)),
							.symbol = name,
							.cases = 16 },
			      row));
	return json_string_value(json_object_get(*row, "outcome"));
}

static void learned_then_known(void **state)
{
	struct library *library = NULL;
	json_t *row = NULL, *again = NULL, *doc = NULL, *verified = NULL;
	(void)state;
	assert_null(library_open(directory, &library));
	assert_string_equal(learn(library, "xor", &row), "learned");
	assert_string_equal(learn(library, "xor", &again), "known");
	const char *id = json_string_value(json_object_get(row, "id"));
	assert_string_equal(json_string_value(json_object_get(again, "id")), id);
	assert_null(library_load(library, id, &doc));
	assert_null(library_verify(library, id, &verified));
	assert_string_equal(json_string_value(json_object_get(verified, "status")), "proved");
	/* at least nine tenths of the time are saved */
	assert_true(json_number_value(json_object_get(again, "ms")) <
		    0.1 * json_number_value(json_object_get(row, "ms")));
	json_decref(row);
	json_decref(again);
	json_decref(doc);
	json_decref(verified);
	library_close(library);
}

static void refusals_are_remembered(void **state)
{
	struct library *library = NULL;
	json_t *row = NULL, *rows = NULL;
	(void)state;
	assert_null(library_open(directory, &library));
	assert_string_equal(learn(library, "chase", &row), "refused");
	json_decref(row);
	assert_string_equal(learn(library, "chase", &row), "refused");
	assert_null(json_object_get(row, "cpu_ms")); /* not tried again */
	json_decref(row);
	assert_null(library_list_refused(library, &rows));
	assert_int_equal(json_array_size(rows), 1);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(rows, 0), "seen")),
			 2);
	json_decref(rows);
	library_close(library);
}

/* Any byte of a document changed makes it a document that is refused, or the same document. */
static void touched_documents_are_refused(void **state)
{
	struct library *library = NULL;
	json_t *rows = NULL, *doc = NULL;
	(void)state;
	assert_null(library_open(directory, &library));
	assert_null(library_list(library, &rows));
	assert_true(json_array_size(rows) > 0);
	const char *id = json_string_value(json_object_get(json_array_get(rows, 0), "id"));
	assert_null(library_load(library, id, &doc));
	char *text = json_dumps(doc, JSON_INDENT(1) | JSON_REAL_PRECISION(15));
	size_t length = strlen(text), accepted = 0;
	json_t *same = NULL;
	assert_null(library_check(text, length, id, &same));
	json_decref(same);
	for (size_t at = 0; at < length; at += length / 200 + 1) {
		char kept = text[at];
		json_t *changed = NULL;
		text[at] = kept == '7' ? '8' : '7';
		struct error *err = library_check(text, length, id, &changed);
		accepted += !err && kept != ' ' && kept != '\n';
		error_destroy(err);
		json_decref(changed);
		text[at] = kept;
	}
	assert_int_equal(accepted, 0);
	/* another kernel's document under this name */
	struct error *err =
		library_check(text, length, "00000000000000000000000000000000", &same);
	assert_non_null(err);
	error_destroy(err);
	free(text);
	json_decref(doc);
	json_decref(rows);
	library_close(library);
}

static void several_learners(void **state)
{
	static const char *const names[] = { "sum8", "count", "sum8", "count" };
	pid_t children[4];
	struct library *library = NULL;
	json_t *rows = NULL;
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		children[i] = fork();
		if (children[i] == 0) {
			json_t *row = NULL;
			struct error *err = library_open(directory, &library);
			if (!err)
				learn(library, names[i], &row);
			_exit(err != NULL);
		}
	}
	for (unsigned i = 0; i < 4; i++) {
		int status = 1;
		waitpid(children[i], &status, 0);
		assert_int_equal(status, 0);
	}
	assert_null(library_open(directory, &library));
	assert_null(library_list(library, &rows));
	assert_int_equal(json_array_size(rows), 3);
	for (size_t i = 0; i < 3; i++) {
		json_t *doc = NULL;
		assert_null(library_load(
			library,
			json_string_value(json_object_get(json_array_get(rows, i), "id")),
			&doc));
		json_decref(doc);
	}
	json_decref(rows);
	library_close(library);
}

static int make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
	char command[128];
	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(learned_then_known),
		cmocka_unit_test(refusals_are_remembered),
		cmocka_unit_test(touched_documents_are_refused),
		cmocka_unit_test(several_learners),
	};
	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
