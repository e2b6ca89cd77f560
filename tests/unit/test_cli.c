#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/help.h"
#include "cli/options.h"
#include "cli/print.h"

static const struct call_param params[] = {
	{ "pid", CALL_INTEGER, .positional = true, .placeholder = "PID" },
	{ "out_file", CALL_PATH, .letter = 'o' },
	{ "all", CALL_BOOL, .letter = 'a' },
	{ "qemu_args", CALL_STRING, .positional = true, .repeated = true },
	{ 0 },
};
static const struct call_column columns[] = {
	{ "pid", "PID", COLUMN_RIGHT },
	{ "rss", "RSS", COLUMN_BYTES },
	{ "comm", "NAME", COLUMN_LEFT },
	{ 0 },
};
static const struct call on_vm = { .name = "probe",
				   .group = "g",
				   .summary = "s",
				   .flags = CALL_TARGET,
				   .params = params,
				   .columns = columns };

static struct error *parse(const struct call *call, const char *line, struct cli_parsed *parsed)
{
	static char copy[256];
	char *argv[32];
	int argc = 0;
	snprintf(copy, sizeof(copy), "%s", line);
	for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
		argv[argc++] = word;
	argv[argc] = NULL;
	return cli_parse(call, argc, argv, parsed);
}

static void the_vm_comes_first(void **state)
{
	struct cli_parsed parsed;
	assert_ok(parse(&on_vm, "probe web 42 --json -a --out-file=x", &parsed));
	assert_string_equal(parsed.options.target.vm, "web");
	assert_int_equal(json_integer_value(json_object_get(parsed.args, "pid")), 42);
	assert_string_equal(json_string_value(json_object_get(parsed.args, "out_file")), "x");
	assert_true(json_is_true(json_object_get(parsed.args, "all")));
	assert_true(parsed.options.json);
	cli_parsed_deinit(&parsed);
}

static void a_dump_replaces_the_vm(void **state)
{
	struct cli_parsed parsed;
	assert_ok(parse(&on_vm, "probe --file d.raw 7", &parsed));
	assert_null(parsed.options.target.vm);
	assert_string_equal(parsed.options.target.file, "d.raw");
	assert_int_equal(json_integer_value(json_object_get(parsed.args, "pid")), 7);
	cli_parsed_deinit(&parsed);
}

static void words_after_dashes_are_collected(void **state)
{
	struct cli_parsed parsed;
	assert_ok(parse(&on_vm, "probe web 1 -- -device x", &parsed));
	const json_t *list = json_object_get(parsed.args, "qemu_args");
	assert_int_equal(json_array_size(list), 2);
	assert_string_equal(json_string_value(json_array_get(list, 0)), "-device");
	cli_parsed_deinit(&parsed);
}

static void wrong_usage_is_said(void **state)
{
	static const char *const lines[] = { "probe", "probe web --nope", "probe web -z",
					     "probe web x", "probe web 1 --out-file" };
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		struct cli_parsed parsed;
		assert_error(parse(&on_vm, lines[i], &parsed), ERR_USAGE);
		cli_parsed_deinit(&parsed);
	}
}

static void tables_align_and_defuse_guest_text(void **state)
{
	json_t *rows = json_pack("[{s:i,s:i,s:s},{s:i,s:n,s:s}]", "pid", 1, "rss", 2048, "comm",
				 "in\x1b[31mit", "pid", 1234, "rss", "comm", "b\xc3\xa4r");
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);
	assert_ok(cli_print(&on_vm, rows, false, to));
	fclose(to);
	assert_string_equal(
		text, " PID   RSS  NAME\n   1  2.0K  in?[31mit\n1234     -  b\xc3\xa4r\n");
	free(text);
	json_decref(rows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_vm_comes_first),
		cmocka_unit_test(a_dump_replaces_the_vm),
		cmocka_unit_test(words_after_dashes_are_collected),
		cmocka_unit_test(wrong_usage_is_said),
		cmocka_unit_test(tables_align_and_defuse_guest_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
