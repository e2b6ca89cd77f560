#include "test.h"

#include <string.h>

#include "base/phys_mem.h"
#include "guest/search.h"
#include "guest/search_pattern.h"

static uint8_t low[3 * 4096], high[2 * 4096];
static const struct phys_segment segments[] = {
	{ .gpa = 0x1000, .size_bytes = sizeof(low), .host = low },
	{ .gpa = 0x1000 + sizeof(low), .size_bytes = sizeof(high), .host = high },
};
static struct phys_mem mem = { .segments = segments, .n_segments = 2 };

static struct {
	uint64_t address[64], physical[64];
	size_t length[64], n;
} found;

static struct error *remember(void *user, const struct search_match *match)
{
	assert_true(found.n < 64);
	found.address[found.n] = match->address;
	found.physical[found.n] = match->physical;
	found.length[found.n++] = match->length_bytes;
	return NULL;
}

static struct search_result search(const struct search_space *space, const char *text,
				   enum search_syntax syntax, bool ignore_case)
{
	struct search_pattern *pattern = NULL;
	struct search_result result = { 0 };
	found.n = 0;
	assert_ok(search_pattern_create(
		&(struct search_pattern_params){ text, syntax, ignore_case }, &pattern));
	assert_ok(search_memory(
		&(struct search_params){
			.space = space, .pattern = pattern, .limit = 60, .found = remember },
		&result));
	search_pattern_destroy(pattern);
	return result;
}

static void clear(void)
{
	memset(low, 0, sizeof(low));
	memset(high, 0, sizeof(high));
}

static const struct search_space physical = { .mem = &mem };

static void literals_are_found_at_every_offset(void **state)
{
	for (size_t at = 0; at + 7 <= 400; at++) {
		clear();
		memcpy(low + at, "needle!", 7);
		search(&physical, "needle!", SEARCH_TEXT, false);
		assert_int_equal(found.n, 1);
		assert_int_equal(found.address[0], 0x1000 + at);
	}
}

static void a_match_crosses_segments_exactly_once(void **state)
{
	for (size_t before = 0; before <= 7; before++) {
		clear();
		memcpy(low + sizeof(low) - before, "needle!", before);
		memcpy(high, &"needle!"[before], 7 - before);
		search(&physical, "needle!", SEARCH_TEXT, false);
		assert_int_equal(found.n, 1);
		assert_int_equal(found.address[0], 0x1000 + sizeof(low) - before);
		search(&physical, "n.e[a-e]le!", SEARCH_REGEX, false);
		assert_int_equal(found.n, 1);
		assert_int_equal(found.length[0], 7);
	}
}

static void hex_case_and_utf16(void **state)
{
	clear();
	memcpy(low + 100,
	       "\x7f"
	       "ELF\x02\x01",
	       6);
	memcpy(low + 200, "GlassBOX", 8);
	memcpy(high + 64, "G\0l\0", 4);
	search(&physical, "7f454c46 ?? 01", SEARCH_HEX, false);
	assert_int_equal(found.n, 1);
	assert_int_equal(found.address[0], 0x1000 + 100);
	search(&physical, "glassbox", SEARCH_TEXT, true);
	assert_int_equal(found.n, 1);
	search(&physical, "glassbox", SEARCH_TEXT, false);
	assert_int_equal(found.n, 0);
	search(&physical, "Gl", SEARCH_UTF16, false);
	assert_int_equal(found.n, 1);
	assert_int_equal(found.address[0], 0x1000 + sizeof(low) + 64);
}

static void matches_do_not_overlap_and_the_limit_holds(void **state)
{
	clear();
	memset(low + 4000, 'a', 10);
	struct search_result result = search(&physical, "aaa", SEARCH_TEXT, false);
	assert_int_equal(found.n, 3);
	assert_false(result.limited);
	memset(low, 'a', sizeof(low));
	result = search(&physical, "a", SEARCH_TEXT, false);
	assert_int_equal(result.matches, 60);
	assert_true(result.limited);
}

/* Pages of an address space in reverse order of RAM, with one byte per run at its end. */
static bool reversed(void *user, uint64_t address, struct search_run *ret)
{
	const uint64_t base = 0x7f0000000000;
	if (address < base)
		address = base;
	uint64_t page = (address - base) / 4096, offset = address % 4096;
	if (page >= 3)
		return false;
	*ret = (struct search_run){ .address = address,
				    .physical = 0x1000 + (2 - page) * 4096 + offset,
				    .length_bytes = page == 2 ? 1 : 4096 - offset };
	return true;
}

static void runs_that_lie_apart_are_joined(void **state)
{
	struct search_space space = { .mem = &mem, .next = reversed };
	clear();
	memcpy(low + 2 * 4096 + 4093, "nee", 3);
	memcpy(low + 4096, "dle!", 4);
	search(&space, "needle!", SEARCH_TEXT, false);
	assert_int_equal(found.n, 1);
	assert_int_equal(found.address[0], 0x7f0000000ffd);
	assert_int_equal(found.physical[0], 0x1000 + 2 * 4096 + 4093);
	clear();
	memcpy(low + 4096 + 4090, "needle", 6);
	low[0] = low[1] = low[2] = '!';
	search(&space, "needle!!!", SEARCH_TEXT, false);
	assert_int_equal(found.n, 1);
	search(&space, "needle!+", SEARCH_REGEX, false);
	assert_int_equal(found.n, 1);
	assert_int_equal(found.length[0], 9);
}

static void bad_patterns_say_what_is_wrong(void **state)
{
	struct search_pattern *pattern = NULL;
	assert_error(search_pattern_create(&(struct search_pattern_params){ "" }, &pattern),
		     ERR_USAGE);
	assert_error(search_pattern_create(
			     &(struct search_pattern_params){ "a(", SEARCH_REGEX }, &pattern),
		     ERR_USAGE);
	assert_error(search_pattern_create(&(struct search_pattern_params){ "7f4", SEARCH_HEX },
					   &pattern),
		     ERR_USAGE);
	assert_error(search_pattern_create(
			     &(struct search_pattern_params){ "?? ??", SEARCH_HEX }, &pattern),
		     ERR_USAGE);
}

static void an_endless_regex_is_an_error_not_a_hang(void **state)
{
	struct search_pattern *pattern = NULL;
	struct search_result result;
	clear();
	memset(low, 'a', sizeof(low));
	high[5] = 'z';
	assert_ok(search_pattern_create(
		&(struct search_pattern_params){ "(a+)+[xy]z", SEARCH_REGEX }, &pattern));
	found.n = 0;
	assert_error(search_memory(&(struct search_params){ .space = &physical,
							    .pattern = pattern,
							    .found = remember },
				   &result),
		     ERR_LIMIT);
	search_pattern_destroy(pattern);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(literals_are_found_at_every_offset),
		cmocka_unit_test(a_match_crosses_segments_exactly_once),
		cmocka_unit_test(hex_case_and_utf16),
		cmocka_unit_test(matches_do_not_overlap_and_the_limit_holds),
		cmocka_unit_test(runs_that_lie_apart_are_joined),
		cmocka_unit_test(bad_patterns_say_what_is_wrong),
		cmocka_unit_test(an_endless_regex_is_an_error_not_a_hang),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
