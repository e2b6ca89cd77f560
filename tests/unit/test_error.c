#include "test.h"

#include <errno.h>
#include <string.h>

static void message_grows_from_the_inside_out(void **state)
{
	struct error *err = error_system(ENOENT, "cannot open %s", "/x");
	err = error_wrap(err, "VM %s", "a");
	err = error_hint(err, "try %s", "ls");
	assert_string_equal(error_message(err),
			    "VM a: cannot open /x: No such file or directory");
	assert_string_equal(error_hint_text(err), "try ls");
	error_destroy(err);
}

static void catch_takes_only_its_kind(void **state)
{
	struct error *err = error_create(ERR_FAULT, "no page");
	assert_false(error_catch(&err, ERR_LIMIT));
	assert_non_null(err);
	assert_true(error_catch(&err, ERR_FAULT));
	assert_null(err);
	assert_null(error_wrap(NULL, "nothing"));
}

static void allocation_overflow_is_an_error(void **state)
{
	void *memory = NULL;
	assert_error(error_alloc(SIZE_MAX / 2, 8, &memory), ERR_MEMORY);
	assert_null(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(message_grows_from_the_inside_out),
		cmocka_unit_test(catch_takes_only_its_kind),
		cmocka_unit_test(allocation_overflow_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
