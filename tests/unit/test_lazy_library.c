/* Libraries that are loaded by the first call of their functions. */
#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>

#include "base/lazy_library.h"
#include "test.h"

LAZY_LIBRARY(sqlite3);

static void first_call_keeps_all_arguments(void **state)
{
	assert_null(lazy_library_sqlite3.handle);
	/* Six registers, eight floating-point ones, and both kinds on the stack. */
	char *text = sqlite3_mprintf(
		"%d %d %d %d %d %d %.1f %.1f %.1f %.1f %.1f %.1f %.1f %.1f "
		"%.1f %s",
		1, 2, 3, 4, 5, 6, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5, "end");
	assert_non_null(lazy_library_sqlite3.handle);
	assert_string_equal(text, "1 2 3 4 5 6 1.5 2.5 3.5 4.5 5.5 6.5 7.5 8.5 9.5 end");
	sqlite3_free(text);
}

static void *ask_version(void *user)
{
	return (void *)(uintptr_t)sqlite3_libversion_number();
}

static void threads_may_call_first(void **state)
{
	pthread_t threads[8];
	for (int i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask_version, NULL), 0);
	for (int i = 0; i < 8; i++) {
		void *version = NULL;
		pthread_join(threads[i], &version);
		assert_true((uintptr_t)version > 3000000);
	}
}

static void missing_library_is_an_error(void **state)
{
	struct lazy_library none = { .soname = "libglassbox-has-no-such.so.1" };
	assert_error(lazy_library_open(&none), ERR_UNSUPPORTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_call_keeps_all_arguments),
		cmocka_unit_test(threads_may_call_first),
		cmocka_unit_test(missing_library_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
