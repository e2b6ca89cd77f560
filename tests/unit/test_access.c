#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "server/access.h"

static struct access access_local;

static int setup(void **state)
{
	assert_ok(access_init(&access_local, "127.0.0.1", 8036));
	return 0;
}

static const char *ask(const char *host, const char *origin, const char *bearer,
		       const char *query, enum access_need need, int *status)
{
	struct http_request request = { .host = (char *)host,
					.origin = (char *)origin,
					.bearer = (char *)bearer,
					.query = (char *)query };
	return access_refusal(&access_local, &request, need, status);
}

static void reading_on_loopback_needs_no_token(void **state)
{
	int status;
	assert_null(ask("127.0.0.1:8036", NULL, NULL, NULL, ACCESS_READ, &status));
	assert_null(ask("localhost:9", "http://localhost:9", NULL, NULL, ACCESS_READ, &status));
}

static void changing_needs_the_full_token(void **state)
{
	int status;
	char query[64];
	assert_non_null(ask("localhost", NULL, NULL, NULL, ACCESS_CHANGE, &status));
	assert_int_equal(status, 401);
	assert_non_null(ask("localhost", NULL, "wrong", NULL, ACCESS_CHANGE, &status));
	assert_int_equal(status, 403);
	assert_non_null(
		ask("localhost", NULL, access_local.read_token, NULL, ACCESS_CHANGE, &status));
	assert_null(
		ask("localhost", NULL, access_local.full_token, NULL, ACCESS_CHANGE, &status));
	snprintf(query, sizeof(query), "a=1&token=%s", access_local.full_token);
	assert_null(ask("localhost", NULL, NULL, query, ACCESS_CHANGE, &status));
}

static void foreign_hosts_and_origins_are_refused(void **state)
{
	int status;
	const char *full = access_local.full_token;
	assert_non_null(ask("evil.example", NULL, full, NULL, ACCESS_PUBLIC, &status));
	assert_non_null(ask(NULL, NULL, full, NULL, ACCESS_PUBLIC, &status));
	assert_non_null(
		ask("localhost", "http://evil.example", full, NULL, ACCESS_READ, &status));
	assert_non_null(
		ask("localhost:1", "http://localhost:2", full, NULL, ACCESS_READ, &status));
	assert_non_null(ask("localhost", "null", full, NULL, ACCESS_READ, &status));
}

static void private_servers_ask_for_a_token_to_read(void **state)
{
	int status;
	access_local.reads_need_token = true;
	assert_non_null(ask("localhost", NULL, NULL, NULL, ACCESS_READ, &status));
	assert_null(
		ask("localhost", NULL, access_local.read_token, NULL, ACCESS_READ, &status));
	access_local.reads_need_token = false;
}

static void query_values_are_decoded(void **state)
{
	char *value = access_query_value("x=1&pattern=a%20b%2Bc+d%zz&y", "pattern");
	assert_string_equal(value, "a b+c d%zz");
	free(value);
	assert_null(access_query_value("pattern2=1", "pattern"));
	assert_null(access_query_value("pattern", "pattern"));
	assert_null(access_query_value(NULL, "pattern"));
}

static void a_bucket_empties_and_fills(void **state)
{
	struct access_bucket bucket = { 0 };
	uint64_t now = 1000000000;
	for (int i = 0; i < 3; i++)
		assert_true(access_bucket_take(&bucket, now, 10, 3));
	assert_false(access_bucket_take(&bucket, now, 10, 3));
	assert_true(access_bucket_take(&bucket, now + 100000000, 10, 3));
	assert_false(access_bucket_take(&bucket, now + 100000000, 10, 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reading_on_loopback_needs_no_token),
		cmocka_unit_test(changing_needs_the_full_token),
		cmocka_unit_test(foreign_hosts_and_origins_are_refused),
		cmocka_unit_test(private_servers_ask_for_a_token_to_read),
		cmocka_unit_test(query_values_are_decoded),
		cmocka_unit_test(a_bucket_empties_and_fills),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
