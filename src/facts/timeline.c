/* How much happened when: counts per bucket of time, for a timeline to draw. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "facts/facts.h"
#include "facts/internal.h"
#include "facts/table.h"

struct error *facts_recorded(const struct facts_source *source, uint64_t *first_ns_ret,
			     uint64_t *last_ns_ret)
{
	AUTO(own_db) struct db *db = NULL;
	AUTO(own_json) json_t *values = NULL;
	AUTO(own_json) json_t *rows = NULL;
	TRY(facts_open_source(source, &db, &values));
	TRY(db_run(db, "SELECT first_ns, last_ns FROM looks WHERE vm = ?1 AND host = ?2",
		   values, &rows));
	const json_t *row = json_array_get(rows, 0);
	*first_ns_ret = (uint64_t)json_integer_value(json_object_get(row, "first_ns"));
	*last_ns_ret = (uint64_t)json_integer_value(json_object_get(row, "last_ns"));
	return NULL;
}

/* Adds the number of intervals that began (or ended) in each bucket to counts, an object by
 * bucket number. What was there at the first look did not begin then. */
static struct error *count_rows(const json_t *rows, const char *what, json_t *counts)
{
	size_t i;
	json_t *row;
	json_array_foreach(rows, i, row)
	{
		char key[24];
		snprintf(key, sizeof(key), "%lld",
			 (long long)json_integer_value(json_object_get(row, "bucket")));
		json_t *bucket = json_object_get(counts, key);
		if (!bucket) {
			bucket = json_pack("{s:i, s:i}", "began", 0, "ended", 0);
			json_object_set_new(counts, key, bucket);
		}
		json_t *count = json_object_get(bucket, what);
		json_integer_set(count, json_integer_value(count) +
						json_integer_value(json_object_get(row, "n")));
	}
	return NULL;
}

static struct error *count_table(struct db *db, const struct fact_table *table,
				 const json_t *values, json_t *counts)
{
	AUTO(own_json) json_t *began = NULL, *ended = NULL;
	TRY(facts_select_on(db,
			    "SELECT (first_ns - ?3) / ?5 AS bucket, COUNT(*) AS n FROM @ WHERE "
			    "vm = ?1 AND host = ?2 AND first_ns >= ?3 AND first_ns < ?4 AND "
			    "first_ns > ?6 GROUP BY 1",
			    table, values, &began));
	TRY(count_rows(began, "began", counts));
	if (!table->call)
		return NULL;
	TRY(facts_select_on(db,
			    "SELECT (last_ns - ?3) / ?5 AS bucket, COUNT(*) AS n FROM @ WHERE "
			    "vm = ?1 AND host = ?2 AND last_ns >= ?3 AND last_ns < ?4 AND "
			    "last_ns > ?6 GROUP BY 1",
			    table, values, &ended));
	return count_rows(ended, "ended", counts);
}

static json_t *buckets_of(const json_t *counts, const struct facts_span *span, uint64_t step_ns)
{
	json_t *buckets = json_array();
	for (unsigned i = 0; i < span->steps; i++) {
		char key[24];
		snprintf(key, sizeof(key), "%u", i);
		json_t *bucket = json_object_get(counts, key);
		if (!bucket)
			continue;
		json_object_set_new(bucket, "time_ns",
				    json_integer((json_int_t)(span->from_ns + i * step_ns)));
		json_array_append(buckets, bucket);
	}
	return buckets;
}

static struct error *read_events(struct db *db, const json_t *values, json_t **ret)
{
	return db_run(
		db,
		"SELECT time_ns, event, detail FROM events WHERE vm = ?1 AND host = ?2 AND "
		"time_ns >= ?3 AND time_ns <= ?4 ORDER BY time_ns LIMIT 1000",
		values, ret);
}

struct error *facts_timeline(const struct facts_source *source, const struct facts_span *span,
			     json_t **ret)
{
	AUTO(own_db) struct db *db = NULL;
	AUTO(own_json) json_t *counts = json_object();
	AUTO(own_json) json_t *values = NULL, *events = NULL;
	uint64_t first_ns = 0, last_ns = 0;
	CHECK(span->steps);
	uint64_t step_ns = (span->to_ns - span->from_ns) / span->steps + 1;
	TRY(facts_recorded(source, &first_ns, &last_ns));
	TRY(facts_open_source(source, &db, &values));
	facts_add_time(values, span->from_ns);
	facts_add_time(values, span->to_ns);
	TRY(read_events(db, values, &events));
	facts_add_time(values, step_ns);
	facts_add_time(values, first_ns);
	for (const struct fact_table *table = fact_tables; table->name; table++)
		if (!table->is_bulk)
			TRY(count_table(db, table, values, counts));
	*ret = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:o, s:O}", "vm", source->vm,
			 "first_ns", (json_int_t)first_ns, "last_ns", (json_int_t)last_ns,
			 "from_ns", (json_int_t)span->from_ns, "to_ns", (json_int_t)span->to_ns,
			 "step_ns", (json_int_t)step_ns, "buckets",
			 buckets_of(counts, span, step_ns), "events", events);
	return *ret ? NULL : error_create(ERR_MEMORY, "no memory for a timeline");
}
