#include "test.h"

#include <string.h>

#include "box/call.h"

static const struct call_param params[] = {
	{ "pid", CALL_INTEGER, .positional = true, .required = true, .placeholder = "PID" },
	{ "mem", CALL_SIZE },
	{ "mode", CALL_STRING, .choices = "kind,byte" },
	{ "all", CALL_BOOL },
	{ "words", CALL_STRING, .repeated = true },
	{ 0 },
};
static const struct call call = {
	.name = "probe", .group = "g", .summary = "s", .params = params
};

static void parses_to(const char *param, const char *text, json_int_t wanted)
{
	for (const struct call_param *p = params; p->name; p++) {
		if (strcmp(p->name, param))
			continue;
		json_t *value = NULL;
		assert_ok(call_parse_value(p, text, &value));
		assert_int_equal(json_integer_value(value), wanted);
		json_decref(value);
	}
}

static void numbers_and_sizes_parse(void **state)
{
	parses_to("pid", "0x10", 16);
	parses_to("mem", "128M", 128 << 20);
	parses_to("mem", "2GiB", (json_int_t)2 << 30);
	parses_to("mem", "4096", 4096);
	parses_to("pid", "18446744073709551615", -1);
}

static void malformed_values_are_usage_errors(void **state)
{
	static const char *const pids[] = { "", "-1", "1x", "x", "18446744073709551616" };
	static const char *const sizes[] = { "12Q", "99999999999T", "1MM", "-5M" };
	json_t *value = NULL;
	for (size_t i = 0; i < sizeof(pids) / sizeof(*pids); i++)
		assert_error(call_parse_value(&params[0], pids[i], &value), ERR_USAGE);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		assert_error(call_parse_value(&params[1], sizes[i], &value), ERR_USAGE);
	assert_error(call_parse_value(&params[2], "kin", &value), ERR_USAGE);
	assert_error(call_parse_value(&params[2], "kind,byte", &value), ERR_USAGE);
	assert_null(value);
}

static void check(const char *json, bool good)
{
	json_t *args = json_loads(json, 0, NULL);
	assert_non_null(args);
	if (good)
		assert_ok(call_check(&call, args));
	else
		assert_error(call_check(&call, args), ERR_USAGE);
	json_decref(args);
}

static void arguments_are_checked_against_the_table(void **state)
{
	check("{\"pid\": 1}", true);
	check("{\"pid\": 1, \"mode\": \"byte\", \"all\": true, \"words\": [\"a\"]}", true);
	check("{}", false);
	check("{\"pid\": \"1\"}", false);
	check("{\"pid\": 1, \"mode\": \"other\"}", false);
	check("{\"pid\": 1, \"words\": \"a\"}", false);
	check("{\"pid\": 1, \"words\": [1]}", false);
	check("{\"pid\": 1, \"extra\": 1}", false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_and_sizes_parse),
		cmocka_unit_test(malformed_values_are_usage_errors),
		cmocka_unit_test(arguments_are_checked_against_the_table),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
