/* Questions as people write them, from tests/golden/ask.txt: "question | query as understood".
 * A line that begins with '!' must not be understood. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "facts/ask.h"
#include "facts/select.h"

static struct ask_context context;

static int setup(void **state)
{
	context.processes = json_loads(
		"[{\"pid\":1,\"comm\":\"init\"},{\"pid\":42,\"comm\":\"sshd\"},{\"pid\":57,"
		"\"comm\":\"busybox\"},"
		"{\"pid\":60,\"comm\":\"httpd\"},{\"pid\":61,\"comm\":\"sh\"},{\"pid\":62,"
		"\"comm\":\"nginx\"},"
		"{\"pid\":63,\"comm\":\"firefox\"},{\"pid\":64,\"comm\":\"workload\"}]",
		0, NULL);
	context.modules =
		json_loads("[{\"name\":\"virtio_net\"},{\"name\":\"ext4\"}]", 0, NULL);
	context.now_ns = 1767276123000000000u;
	setenv("TZ", "UTC", 1);
	return !context.processes || !context.modules;
}

static char *trim(char *text)
{
	text += strspn(text, " \t");
	text[strcspn(text, "\n")] = '\0';
	for (size_t n = strlen(text); n && text[n - 1] == ' ';)
		text[--n] = '\0';
	return text;
}

static bool check_line(char *line, size_t number)
{
	bool refused = *line == '!';
	char *question = line + refused, *bar = strchr(line, '|');
	if (bar)
		*bar = '\0';
	const char *wanted = bar ? trim(bar + 1) : "";
	json_t *query = NULL;
	struct error *err = ask_parse(&context, trim(question), &query);
	const char *got = err ? error_message(err)
			      : json_string_value(json_object_get(query, "understood"));
	bool good = refused ? err != NULL : !err && !strcmp(got, wanted);
	if (!good)
		print_error("line %zu: %s\n  wanted: %s\n  got:    %s\n", number,
			    trim(question), wanted, got);
	error_destroy(err);
	json_decref(query);
	return good;
}

static void golden_questions(void **state)
{
	const char *path = getenv("ASK_GOLDEN");
	FILE *file = fopen(path ? path : "tests/golden/ask.txt", "r");
	assert_non_null(file);
	char line[512];
	size_t number = 0, wrong = 0, asked = 0;
	while (fgets(line, sizeof(line), file)) {
		number++;
		if (*line == '#' || *line == '\n')
			continue;
		asked++;
		wrong += !check_line(line, number);
	}
	fclose(file);
	assert_true(asked >= 150);
	assert_int_equal(wrong, 0);
}

static void odd_questions_are_survived(void **state)
{
	static const char *const odd[] = { "",
					   "?",
					   "   ",
					   "\"",
					   "\"unterminated",
					   "pid",
					   "pid 99999999999999999999",
					   "0x",
					   "/",
					   "\xff\xfe",
					   "since",
					   "in the last",
					   "port",
					   "\x01\x02" };
	char long_question[4000];
	memset(long_question, 'a', sizeof(long_question) - 1);
	long_question[sizeof(long_question) - 1] = '\0';
	for (size_t i = 0; i <= sizeof(odd) / sizeof(*odd); i++) {
		json_t *query = NULL;
		struct error *err = ask_parse(
			&context, i < sizeof(odd) / sizeof(*odd) ? odd[i] : long_question,
			&query);
		assert_true(!err == !!query);
		error_destroy(err);
		json_decref(query);
	}
}

static void rows_are_filtered_sorted_and_cut(void **state)
{
	json_t *rows = json_loads("[{\"a\":1,\"s\":\"x\"},{\"a\":3,\"s\":\"y\"},{\"a\":2,\"s\":"
				  "\"xy\"},{\"a\":null,\"s\":\"xx\"}]",
				  0, NULL);
	json_t *query = json_loads(
		"{\"where\":[[\"s\",\"has\",\"x\"]],\"sort\":[\"a\",\"desc\"],\"limit\":2}", 0,
		NULL);
	json_t *selected = select_rows(rows, query);
	assert_int_equal(json_array_size(selected), 2);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(selected, 0), "a")),
			 2);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(selected, 1), "a")),
			 1);
	json_decref(selected);
	json_decref(query);
	json_decref(rows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_questions),
		cmocka_unit_test(odd_questions_are_survived),
		cmocka_unit_test(rows_are_filtered_sorted_and_cut),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
