/* Reading the past. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "facts/db.h"
#include "facts/facts.h"
#include "facts/table.h"

OWN_DECLARE(own_json, json_t *, json_decref)
OWN_DECLARE(own_db, struct db *, db_destroy)

struct error *facts_query(const char *where, const char *sql, json_t **ret)
{
	AUTO(own_db) struct db *db = NULL;
	TRY(db_open(where, DB_READ_ONLY, &db));
	return db_run(db, sql, NULL, ret);
}

struct error *facts_at(const char *where, const char *vm, const struct fact_table *table,
		       uint64_t at_ns, json_t **ret)
{
	AUTO(own_db) struct db *db = NULL;
	AUTO(own_free) char *sql = NULL;
	AUTO(own_json) json_t *values = json_pack("[s,I]", vm, (json_int_t)at_ns);
	TRY(db_open(where, DB_READ_ONLY, &db));
	if (asprintf(&sql,
		     "SELECT * FROM %s WHERE vm = ?1 AND first_ns <= ?2 AND (last_ns IS NULL "
		     "OR last_ns >= ?2) "
		     "ORDER BY row_id",
		     table->name) < 0) {
		sql = NULL;
		return error_create(ERR_MEMORY, "no memory for SQL");
	}
	return db_run(db, sql, values, ret);
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

/* Rows that were there at the first look began before anybody watched: that is not a change. */
static struct error *diff_table(struct db *db, const struct fact_table *table,
				const json_t *values, json_t *changes)
{
	AUTO(own_free) char *began_sql = NULL, *ended_sql = NULL;
	AUTO(own_json) json_t *began = NULL, *ended = NULL;
	if (asprintf(&began_sql,
		     "SELECT * FROM %s WHERE vm = ?1 AND first_ns > ?2 AND first_ns > "
		     "COALESCE((SELECT MIN(l.first_ns) "
		     "FROM looks l WHERE l.vm = ?1), 0) ORDER BY first_ns",
		     table->name) < 0)
		began_sql = NULL;
	if (asprintf(&ended_sql,
		     "SELECT * FROM %s WHERE vm = ?1 AND last_ns > ?2 ORDER BY last_ns",
		     table->name) < 0)
		ended_sql = NULL;
	if (!began_sql || !ended_sql)
		return error_create(ERR_MEMORY, "no memory for SQL");
	TRY(db_run(db, began_sql, values, &began));
	TRY(db_run(db, ended_sql, values, &ended));
	append_changes(changes, table->name, "began", "first_ns", began);
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

struct error *facts_diff(const char *where, const char *vm, uint64_t since_ns, json_t **ret)
{
	AUTO(own_db) struct db *db = NULL;
	AUTO(own_json) json_t *values = json_pack("[s,I]", vm, (json_int_t)since_ns);
	AUTO(own_json) json_t *changes = json_array();
	TRY(db_open(where, DB_READ_ONLY, &db));
	for (const struct fact_table *table = fact_tables; table->name; table++)
		TRY(diff_table(db, table, values, changes));
	TRY(sort_changes(&changes));
	*ret = TAKE(changes);
	return NULL;
}
