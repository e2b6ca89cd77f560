#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "facts/facts.h"
#include "facts/table.h"

static char path[64];
static const struct facts_source of_a = { .where = path, .host = "h", .vm = "a" };
static const uint64_t second = 1000000000u;

static int setup(void **state)
{
	snprintf(path, sizeof(path), "/tmp/glassbox-facts-%d.sqlite", getpid());
	setenv("TZ", "UTC", 1);
	return 0;
}

static int teardown(void **state)
{
	char name[80];
	unlink(path);
	snprintf(name, sizeof(name), "%s-wal", path);
	unlink(name);
	snprintf(name, sizeof(name), "%s-shm", path);
	unlink(name);
	return 0;
}

static struct facts *open_fresh(void)
{
	struct facts *facts = NULL;
	teardown(NULL);
	assert_ok(facts_open(&(struct facts_params){ .where = path, .vm = "a", .host = "h" },
			     &facts));
	return facts;
}

static void look(struct facts *facts, const char *table, const char *rows_text, uint64_t at,
		 size_t began, size_t ended)
{
	json_t *rows = json_loads(rows_text, 0, NULL);
	struct facts_change change = { 0 };
	assert_non_null(rows);
	assert_ok(facts_observe(facts, fact_table_find(table), rows, at, &change));
	assert_ok(facts_look_done(facts, at));
	assert_int_equal(change.began, began);
	assert_int_equal(change.ended, ended);
	json_decref(rows);
}

static json_int_t number(const char *sql)
{
	json_t *rows = NULL;
	assert_ok(facts_query(path, sql, &rows));
	assert_int_equal(json_array_size(rows), 1);
	json_int_t value = json_integer_value(
		json_object_iter_value(json_object_iter(json_array_get(rows, 0))));
	json_decref(rows);
	return value;
}

static void an_idle_guest_writes_nothing(void **state)
{
	struct facts *facts = open_fresh();
	look(facts, "processes",
	     "[{\"pid\":1,\"start_ns\":5,\"comm\":\"init\",\"rss_pages\":9}]", second, 1, 0);
	look(facts, "processes",
	     "[{\"pid\":1,\"start_ns\":5,\"comm\":\"init\",\"rss_pages\":8}]", 2 * second, 0,
	     0);
	look(facts, "processes",
	     "[{\"pid\":1,\"start_ns\":5,\"comm\":\"init\",\"rss_pages\":7}]", 3 * second, 0,
	     0);
	assert_int_equal(number("SELECT COUNT(*) AS n FROM processes"), 1);
	assert_int_equal(number("SELECT rss_pages FROM processes"), 9);
	facts_destroy(facts);
}

static void intervals_end_at_the_last_look_that_saw_them(void **state)
{
	struct facts *facts = open_fresh();
	look(facts, "processes",
	     "[{\"pid\":1,\"start_ns\":5,\"comm\":\"init\"},{\"pid\":7,\"start_ns\":6,\"comm\":"
	     "\"sh\",\"rss_pages\":3}]",
	     second, 2, 0);
	look(facts, "processes",
	     "[{\"pid\":1,\"start_ns\":5,\"comm\":\"init\"},{\"pid\":7,\"start_ns\":6,\"comm\":"
	     "\"sh\",\"rss_pages\":4}]",
	     2 * second, 0, 0);
	look(facts, "processes", "[{\"pid\":1,\"start_ns\":5,\"comm\":\"init\"}]", 3 * second,
	     0, 1);
	look(facts, "processes", "[{\"pid\":1,\"start_ns\":5,\"comm\":\"systemd\"}]",
	     4 * second, 1, 1);
	assert_int_equal(number("SELECT last_ns FROM processes WHERE pid = 7"), 2 * second);
	assert_int_equal(number("SELECT last_rss_pages FROM processes WHERE pid = 7"), 4);
	assert_int_equal(number("SELECT COUNT(*) AS n FROM processes WHERE last_ns IS NULL"),
			 1);
	facts_destroy(facts);
}

static void a_recycled_pid_is_another_process(void **state)
{
	struct facts *facts = open_fresh();
	look(facts, "processes", "[{\"pid\":7,\"start_ns\":6,\"comm\":\"sh\"}]", second, 1, 0);
	look(facts, "processes", "[{\"pid\":7,\"start_ns\":9,\"comm\":\"sh\"}]", 2 * second, 1,
	     1);
	facts_destroy(facts);
}

static void the_next_recorder_takes_up_what_the_last_left_open(void **state)
{
	static const char both[] = "[{\"pid\":1,\"start_ns\":5,\"comm\":\"init\",\"kthread\":"
				   "true,\"uid\":null},{\"pid\":7,\"start_ns\":6,\"comm\":"
				   "\"sh\"}]";
	struct facts *facts = open_fresh();
	look(facts, "processes", both, second, 2, 0);
	look(facts, "processes", both, 5 * second, 0, 0);
	facts_destroy(facts);
	assert_ok(facts_open(&(struct facts_params){ .where = path, .vm = "a", .host = "h" },
			     &facts));
	look(facts, "processes",
	     "[{\"pid\":1,\"start_ns\":5,\"comm\":\"init\",\"kthread\":true,\"uid\":null}]",
	     9 * second, 0, 1);
	assert_int_equal(number("SELECT last_ns FROM processes WHERE pid = 7"), 5 * second);
	assert_int_equal(number("SELECT first_ns FROM processes WHERE pid = 1 AND last_ns IS "
				"NULL"),
			 second);
	assert_ok(facts_end(facts));
	assert_int_equal(number("SELECT last_ns FROM processes WHERE pid = 1"), 9 * second);
	facts_destroy(facts);
}

static void symbols_are_written_once_per_boot(void **state)
{
	struct facts *facts = open_fresh();
	json_t *rows = json_array();
	for (int i = 0; i < 45; i++)
		json_array_append_new(rows,
				      json_pack("{s:o, s:o, s:s}", "name",
						json_sprintf("f%d", i), "address",
						json_sprintf("0x%x", 4096 * i), "type", "T"));
	for (uint64_t at = 1; at <= 2; at++) {
		assert_ok(facts_symbols(facts, rows, at * second));
		assert_int_equal(number("SELECT COUNT(*) FROM symbols"), 45);
	}
	json_object_set_new(json_array_get(rows, 44), "address", json_string("0x5"));
	assert_ok(facts_symbols(facts, rows, 3 * second));
	assert_int_equal(number("SELECT COUNT(*) FROM symbols WHERE last_ns IS NULL"), 45);
	assert_int_equal(number("SELECT COUNT(*) FROM symbols"), 90);
	assert_int_equal(number("SELECT COUNT(*) FROM memory_regions"), 0);
	json_decref(rows);
	facts_destroy(facts);
}

/* A guest that starts processes without end must not fill the disk. */
static void a_database_stays_within_its_size(void **state)
{
	struct facts *facts = NULL;
	char text[160];
	teardown(NULL);
	assert_ok(facts_open(
		&(struct facts_params){
			.where = path, .vm = "a", .host = "h", .max_bytes = 1 << 20 },
		&facts));
	for (uint64_t at = 1; at <= 200; at++) {
		json_t *rows = json_array();
		for (int i = 0; i < 200; i++) {
			snprintf(text, sizeof(text), "process %lu %d", (unsigned long)at, i);
			json_array_append_new(rows,
					      json_pack("{s:I, s:I, s:s}", "pid",
							(json_int_t)(at * 200 + i), "start_ns",
							(json_int_t)at, "comm", text));
		}
		assert_ok(facts_observe(facts, fact_table_find("processes"), rows, at * second,
					NULL));
		assert_ok(facts_look_done(facts, at * second));
		json_decref(rows);
	}
	json_int_t count = number("SELECT COUNT(*) FROM processes");
	assert_true(count > 200 && count < 36000);
	struct stat info;
	assert_false(stat(path, &info));
	assert_true(info.st_size < 8 << 20);
	facts_destroy(facts);
}

static void a_timeline_counts_what_happened_when(void **state)
{
	struct facts *facts = open_fresh();
	json_t *timeline = NULL;
	look(facts, "mounts", "[{\"id\":1,\"mountpoint\":\"/\"}]", 10 * second, 1, 0);
	look(facts, "mounts",
	     "[{\"id\":1,\"mountpoint\":\"/\"},{\"id\":2,\"mountpoint\":\"/proc\"}]",
	     15 * second, 1, 0);
	look(facts, "mounts", "[{\"id\":1,\"mountpoint\":\"/\"}]", 19 * second, 0, 1);
	assert_ok(facts_event(facts, "paused", "by hand", 18 * second));
	struct facts_span span = { 10 * second, 20 * second, 10 };
	assert_ok(facts_timeline(&of_a, &span, &timeline));
	const json_t *buckets = json_object_get(timeline, "buckets");
	assert_int_equal(json_array_size(buckets), 2);
	assert_int_equal(
		json_integer_value(json_object_get(json_array_get(buckets, 0), "began")), 1);
	assert_int_equal(
		json_integer_value(json_object_get(json_array_get(buckets, 0), "ended")), 1);
	assert_int_equal(json_integer_value(json_object_get(timeline, "first_ns")),
			 10 * second);
	assert_int_equal(json_array_size(json_object_get(timeline, "events")), 1);
	json_decref(timeline);
	facts_destroy(facts);
}

static void the_past_can_be_asked(void **state)
{
	struct facts *facts = open_fresh();
	json_t *rows = NULL;
	look(facts, "processes", "[{\"pid\":1,\"start_ns\":5,\"comm\":\"init\"}]", second, 1,
	     0);
	look(facts, "processes",
	     "[{\"pid\":1,\"start_ns\":5,\"comm\":\"init\"},{\"pid\":9,\"start_ns\":7,\"comm\":"
	     "\"cat\"}]",
	     5 * second, 1, 0);
	look(facts, "processes", "[{\"pid\":1,\"start_ns\":5,\"comm\":\"init\"}]", 9 * second,
	     0, 1);
	assert_ok(facts_at(&of_a, fact_table_find("processes"), 5 * second, &rows));
	assert_int_equal(json_array_size(rows), 2);
	json_decref(rows);
	assert_ok(facts_at(&of_a, fact_table_find("processes"), 9 * second, &rows));
	assert_int_equal(json_array_size(rows), 1);
	json_decref(rows);
	assert_ok(facts_diff(&of_a, 2 * second, &rows));
	assert_int_equal(json_array_size(rows), 2);
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(rows, 0), "change")), "began");
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(rows, 1), "change")), "ended");
	json_decref(rows);
	facts_destroy(facts);
}

static void a_question_cannot_change_anything(void **state)
{
	static const char *const attacks[] = {
		"DELETE FROM processes",
		"DROP TABLE processes",
		"ATTACH '/tmp/x' AS x",
		"PRAGMA journal_mode=DELETE",
		"SELECT 1; DELETE FROM processes",
		"SELECT load_extension('x')",
		"",
		"UPDATE processes SET pid = 1",
		"VACUUM INTO '/tmp/x'",
	};
	struct facts *facts = open_fresh();
	json_t *rows = NULL;
	for (size_t i = 0; i < sizeof(attacks) / sizeof(*attacks); i++)
		assert_error(facts_query(path, attacks[i], &rows), ERR_USAGE);
	assert_null(rows);
	facts_destroy(facts);
}

static void an_endless_query_is_stopped(void **state)
{
	struct facts *facts = open_fresh();
	json_t *rows = NULL;
	assert_error(facts_query(path,
				 "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM "
				 "n) SELECT x FROM n",
				 &rows),
		     ERR_LIMIT);
	facts_destroy(facts);
}

static void a_broken_file_is_a_clean_error(void **state)
{
	struct facts *facts = NULL;
	FILE *file = fopen(path, "w");
	fputs("this is not a database, and it is long enough to be read as one, or so one "
	      "hopes",
	      file);
	fclose(file);
	assert_error(facts_open(&(struct facts_params){ .where = path, .vm = "a" }, &facts),
		     ERR_BAD_DATA);
	teardown(NULL);
}

static void moments_are_understood(void **state)
{
	uint64_t now = 1767276123 * second, then = 0; /* 2026-01-01 14:02:03 UTC */
	static const struct {
		const char *text;
		int64_t seconds_ago;
	} good[] = { { "5m", 300 },
		     { "90 seconds ago", 90 },
		     { "an hour", 3600 },
		     { "last minute", 60 },
		     { "2 days ago", 172800 },
		     { "14:02", 3 },
		     { "14:02:01", 2 },
		     { "15:00", 86400 - 3477 },
		     { "2026-01-01 14:02:00", 3 },
		     { "2026-01-01T14:02:00Z", 3 },
		     { "@1767276100", 23 },
		     { "@1767276100.000", 23 } };
	static const char *const bad[] = { "",	    "soon", "5 parsecs",
					   "25:00", "@x",   "99999999999999999999 days",
					   "-5m" };
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		assert_ok(facts_parse_time(good[i].text, now, &then));
		assert_int_equal(now - then, good[i].seconds_ago * (int64_t)second);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_error(facts_parse_time(bad[i], now, &then), ERR_USAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_idle_guest_writes_nothing),
		cmocka_unit_test(intervals_end_at_the_last_look_that_saw_them),
		cmocka_unit_test(a_recycled_pid_is_another_process),
		cmocka_unit_test(the_next_recorder_takes_up_what_the_last_left_open),
		cmocka_unit_test(symbols_are_written_once_per_boot),
		cmocka_unit_test(a_database_stays_within_its_size),
		cmocka_unit_test(a_timeline_counts_what_happened_when),
		cmocka_unit_test(the_past_can_be_asked),
		cmocka_unit_test(a_question_cannot_change_anything),
		cmocka_unit_test(an_endless_query_is_stopped),
		cmocka_unit_test(a_broken_file_is_a_clean_error),
		cmocka_unit_test(moments_are_understood),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
