/* What every unit test includes: cmocka with its prerequisites, and a check for struct error.
 */
#ifndef TEST_H
#define TEST_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"

/* Fails the test with the error's own words. */
#define assert_ok(call)                                                           \
	do {                                                                      \
		struct error *ok_error_ = (call);                                 \
		if (ok_error_) {                                                  \
			print_error("%s: %s\n", #call, error_message(ok_error_)); \
			error_destroy(ok_error_);                                 \
			fail();                                                   \
		}                                                                 \
	} while (0)

/* Fails unless the call gives an error of this kind. */
#define assert_error(call, wanted_kind)                                      \
	do {                                                                 \
		struct error *bad_error_ = (call);                           \
		assert_non_null(bad_error_);                                 \
		assert_string_equal(error_kind_name(error_kind(bad_error_)), \
				    error_kind_name(wanted_kind));           \
		error_destroy(bad_error_);                                   \
	} while (0)
#endif
