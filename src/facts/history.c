/* Reading the past. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "facts/facts.h"
#include "facts/internal.h"
#include "facts/table.h"

struct error *facts_query(const char *where, const char *sql, json_t **ret)
{
	AUTO(own_db) struct db *db = NULL;
	TRY(db_open(where, DB_READ_ONLY, &db));
	return db_run(db, sql, NULL, ret);
}

struct error *facts_open_source(const struct facts_source *source, struct db **db_ret,
				json_t **values_ret)
{
	char name[256];
	facts_host_name(name, sizeof(name));
	AUTO(own_json)
	json_t *values = json_pack("[s,s]", source->vm, source->host ? source->host : name);
	if (!values)
		return error_create(ERR_MEMORY, "no memory for SQL");
	TRY(db_open(source->where, DB_READ_ONLY, db_ret));
	*values_ret = TAKE(values);
	return NULL;
}

struct error *facts_select_on(struct db *db, const char *pattern,
			      const struct fact_table *table, const json_t *values,
			      json_t **ret)
{
	struct facts view = { .db = db };
	return facts_run_on(&view, pattern, table->name, values, ret);
}

void facts_add_time(json_t *values, uint64_t time_ns)
{
	json_array_append_new(values, json_integer((json_int_t)time_ns));
}

struct error *facts_at(const struct facts_source *source, const struct fact_table *table,
		       uint64_t at_ns, json_t **ret)
{
	AUTO(own_db) struct db *db = NULL;
	AUTO(own_json) json_t *values = NULL;
	TRY(facts_open_source(source, &db, &values));
	facts_add_time(values, at_ns);
	return facts_select_on(
		db,
		"SELECT * FROM @ WHERE vm = ?1 AND host = ?2 AND first_ns <= ?3 AND "
		"(last_ns IS NULL OR last_ns >= ?3) ORDER BY row_id",
		table, values, ret);
}

static void append_changes(json_t *changes, const char *table, const char *change,
			   const char *time_column, const json_t *rows)
{
	size_t i;
	json_t *row;
	json_array_foreach(rows, i, row)
	{
		json_t *time = json_object_get(row, time_column);
		json_array_append_new(changes,
				      json_pack("{s:s, s:s, s:O, s:O}", "change", change,
						"table", table, "time_ns", time, "row", row));
	}
}

/* Rows that were there at the first look began before anybody watched: that is not a change.
 * An event has no duration: it begins only. */
static struct error *diff_table(struct db *db, const struct fact_table *table,
				const json_t *values, json_t *changes)
{
	AUTO(own_json) json_t *began = NULL, *ended = NULL;
	TRY(facts_select_on(
		db,
		"SELECT * FROM @ WHERE vm = ?1 AND host = ?2 AND first_ns > ?3 AND "
		"first_ns > COALESCE((SELECT l.first_ns FROM looks l WHERE l.vm = ?1 AND "
		"l.host = ?2), 0) ORDER BY first_ns",
		table, values, &began));
	append_changes(changes, table->name, "began", "first_ns", began);
	if (!table->call)
		return NULL;
	TRY(facts_select_on(
		db,
		"SELECT * FROM @ WHERE vm = ?1 AND host = ?2 AND last_ns > ?3 ORDER BY "
		"last_ns",
		table, values, &ended));
	append_changes(changes, table->name, "ended", "last_ns", ended);
	return NULL;
}

static int by_time(const void *a, const void *b)
{
	json_int_t left = json_integer_value(json_object_get(*(json_t *const *)a, "time_ns"));
	json_int_t right = json_integer_value(json_object_get(*(json_t *const *)b, "time_ns"));
	return left < right ? -1 : left > right;
}

static struct error *sort_changes(json_t **changes)
{
	size_t count = json_array_size(*changes);
	AUTO(own_free) json_t **items = NULL;
	TRY(error_alloc(count, sizeof(*items), &items));
	for (size_t i = 0; i < count; i++)
		items[i] = json_array_get(*changes, i);
	qsort(items, count, sizeof(*items), by_time);
	json_t *sorted = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append(sorted, items[i]);
	json_decref(*changes);
	*changes = sorted;
	return NULL;
}

struct error *facts_diff(const struct facts_source *source, uint64_t since_ns, json_t **ret)
{
	AUTO(own_db) struct db *db = NULL;
	AUTO(own_json) json_t *values = NULL;
	AUTO(own_json) json_t *changes = json_array();
	TRY(facts_open_source(source, &db, &values));
	facts_add_time(values, since_ns);
	for (const struct fact_table *table = fact_tables; table->name; table++)
		if (!table->is_bulk)
			TRY(diff_table(db, table, values, changes));
	TRY(sort_changes(&changes));
	*ret = TAKE(changes);
	return NULL;
}
