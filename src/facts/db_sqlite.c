#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "facts/db.h"

struct sqlite_db {
	struct db base;
	sqlite3 *handle;
};

OWN_DECLARE(own_json, json_t *, json_decref)

static void finalize(sqlite3_stmt **statement)
{
	sqlite3_finalize(*statement);
}

static struct error *sqlite_error(struct sqlite_db *db, const char *sql)
{
	int code = sqlite3_extended_errcode(db->handle) & 0xff;
	enum error_kind kind =
		code == SQLITE_ERROR || code == SQLITE_AUTH || code == SQLITE_READONLY
			? ERR_USAGE
		: code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? ERR_BAD_DATA
		: code == SQLITE_INTERRUPT			  ? ERR_LIMIT
								  : ERR_SYSTEM;
	return error_create(kind, "facts database: %s (in: %.120s)", sqlite3_errmsg(db->handle),
			    sql);
}

static int bind_value(sqlite3_stmt *statement, int index, const json_t *value)
{
	if (json_is_string(value))
		return sqlite3_bind_text(statement, index, json_string_value(value),
					 (int)json_string_length(value), SQLITE_TRANSIENT);
	if (json_is_integer(value))
		return sqlite3_bind_int64(statement, index, json_integer_value(value));
	if (json_is_boolean(value))
		return sqlite3_bind_int(statement, index, json_is_true(value));
	if (json_is_real(value))
		return sqlite3_bind_double(statement, index, json_real_value(value));
	return sqlite3_bind_null(statement, index);
}

/* Bytes that are not UTF-8 cannot stand in JSON: such a value becomes null. */
static json_t *column_value(sqlite3_stmt *statement, int column)
{
	json_t *value = NULL;
	switch (sqlite3_column_type(statement, column)) {
	case SQLITE_INTEGER:
		return json_integer(sqlite3_column_int64(statement, column));
	case SQLITE_FLOAT:
		return json_real(sqlite3_column_double(statement, column));
	case SQLITE_TEXT:
		value = json_stringn((const char *)sqlite3_column_text(statement, column),
				     (size_t)sqlite3_column_bytes(statement, column));
		break;
	}
	return value ? value : json_null();
}

static struct error *read_rows(struct sqlite_db *db, sqlite3_stmt *statement, const char *sql,
			       json_t *rows)
{
	int status;
	while ((status = sqlite3_step(statement)) == SQLITE_ROW) {
		if (!rows)
			continue;
		if (json_array_size(rows) >= DB_MAX_ROWS)
			return error_hint(
				error_create(ERR_LIMIT, "more than %d rows", DB_MAX_ROWS),
				"add a LIMIT");
		json_t *row = json_object();
		for (int i = 0; i < sqlite3_column_count(statement); i++)
			json_object_set_new(row, sqlite3_column_name(statement, i),
					    column_value(statement, i));
		json_array_append_new(rows, row);
	}
	return status == SQLITE_DONE ? NULL : sqlite_error(db, sql);
}

static struct error *sqlite_run(struct db *base, const char *sql, const json_t *values,
				json_t **rows_ret)
{
	struct sqlite_db *db = (struct sqlite_db *)base;
	AUTO(finalize) sqlite3_stmt *statement = NULL;
	const char *rest = NULL;
	if (sqlite3_prepare_v2(db->handle, sql, -1, &statement, &rest) != SQLITE_OK)
		return sqlite_error(db, sql);
	if (!statement || rest[strspn(rest, " \t\n;")])
		return error_create(ERR_USAGE, "one SQL statement at a time, please");
	for (size_t i = 0; i < json_array_size(values); i++)
		if (bind_value(statement, (int)i + 1, json_array_get(values, i)) != SQLITE_OK)
			return sqlite_error(db, sql);
	AUTO(own_json) json_t *rows = rows_ret ? json_array() : NULL;
	TRY(read_rows(db, statement, sql, rows));
	if (rows_ret)
		*rows_ret = TAKE(rows);
	return NULL;
}

static void sqlite_destroy(struct db *base)
{
	struct sqlite_db *db = (struct sqlite_db *)base;
	sqlite3_close(db->handle);
	free(db);
}

static const struct db_ops sqlite_ops = {
	.run = sqlite_run,
	.destroy = sqlite_destroy,
	.identity_column = "INTEGER PRIMARY KEY",
	.integer_type = "INTEGER",
	.begin_exclusive = "BEGIN IMMEDIATE",
	.size_query = "SELECT (p.page_count - f.freelist_count) * s.page_size AS bytes FROM "
		      "pragma_page_count() p, pragma_freelist_count() f, pragma_page_size() s",
};

/* A person's query may read tables and call functions, and nothing else: no ATTACH, no PRAGMA.
 */
static int allow_reading(void *user, int action, const char *a, const char *b, const char *c,
			 const char *d)
{
	bool reads = action == SQLITE_SELECT || action == SQLITE_READ ||
		     action == SQLITE_RECURSIVE ||
		     (action == SQLITE_FUNCTION && b && strcmp(b, "load_extension"));
	return reads ? SQLITE_OK : SQLITE_DENY;
}

/* Stops a query after this many of SQLite's own steps (a few seconds of work). */
static int out_of_budget(void *user)
{
	unsigned *left = user;
	return *left ? (--*left, 0) : 1;
}

static struct error *configure(struct sqlite_db *db, enum db_access access)
{
	static __thread unsigned budget;
	sqlite3_busy_timeout(db->handle, 2000);
	if (access == DB_WRITE) {
		TRY(sqlite_run(&db->base, "PRAGMA journal_mode = WAL", NULL, NULL));
		TRY(sqlite_run(&db->base, "PRAGMA synchronous = NORMAL", NULL, NULL));
		TRY(sqlite_run(&db->base, "PRAGMA journal_size_limit = 1048576", NULL, NULL));
		return NULL;
	}
	sqlite3_set_authorizer(db->handle, allow_reading, NULL);
	budget = 2000;
	sqlite3_progress_handler(db->handle, 1000000, out_of_budget, &budget);
	return NULL;
}

struct error *db_sqlite_open(const char *path, enum db_access access, struct db **ret)
{
	struct sqlite_db *db = NULL;
	TRY(error_alloc(1, sizeof(*db), &db));
	db->base.ops = &sqlite_ops;
	int flags = access == DB_READ_ONLY ? SQLITE_OPEN_READONLY
					   : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
	struct error *err = NULL;
	if (sqlite3_open_v2(path, &db->handle, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
		err = error_create(access == DB_READ_ONLY ? ERR_NOT_FOUND : ERR_SYSTEM,
				   "cannot open %s: %s", path, sqlite3_errmsg(db->handle));
	if (!err)
		err = configure(db, access);
	if (err) {
		sqlite_destroy(&db->base);
		return err;
	}
	*ret = &db->base;
	return NULL;
}
