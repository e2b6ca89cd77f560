#include <dlfcn.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "facts/db.h"

enum { MAX_VALUES = 64 };

/* Type numbers of PostgreSQL's catalog (pg_type.dat). */
enum {
	PG_BOOL = 16,
	PG_INT8 = 20,
	PG_INT2 = 21,
	PG_INT4 = 23,
	PG_FLOAT4 = 700,
	PG_FLOAT8 = 701,
	PG_NUMERIC = 1700
};

struct postgres_db {
	struct db base;
	PGconn *connection;
	bool read_only;
};

/* libpq is loaded when a fleet's database is first opened: with what it brings along it would
 * double the time that every start of the program takes. ORDER libpq functions. */
#define PQ_FUNCTIONS(X)       \
	X(PQclear)            \
	X(PQconnectdb)        \
	X(PQerrorMessage)     \
	X(PQexec)             \
	X(PQexecParams)       \
	X(PQfinish)           \
	X(PQfname)            \
	X(PQftype)            \
	X(PQgetisnull)        \
	X(PQgetvalue)         \
	X(PQnfields)          \
	X(PQntuples)          \
	X(PQreset)            \
	X(PQresultErrorField) \
	X(PQresultStatus)     \
	X(PQstatus)

static struct {
#define PQ_POINTER(name) __typeof__(name) *name;
	PQ_FUNCTIONS(PQ_POINTER)
#undef PQ_POINTER
} pq;

static bool pq_is_loaded; /* set once, before anybody uses pq */

static void load_libpq(void)
{
	void *library = dlopen("libpq.so.5", RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return;
	bool complete = true;
#define PQ_LOAD(name)                               \
	*(void **)&pq.name = dlsym(library, #name); \
	complete = complete && pq.name;
	PQ_FUNCTIONS(PQ_LOAD)
#undef PQ_LOAD
	pq_is_loaded = complete;
}

OWN_DECLARE(own_json, json_t *, json_decref)
OWN_DECLARE(own_result, PGresult *, pq.PQclear)

/* "?1" becomes "$1" outside quotes. Caller owns; NULL without memory. */
static char *translate(const char *sql)
{
	char *text = strdup(sql);
	bool quoted = false;
	for (char *at = text; at && *at; at++) {
		quoted ^= *at == '\'';
		if (*at == '?' && !quoted && at[1] >= '1' && at[1] <= '9')
			*at = '$';
	}
	return text;
}

/* Text form of a value; NULL for null. Numbers are written into room. */
static const char *value_text(const json_t *value, char *room, size_t size)
{
	if (json_is_string(value))
		return json_string_value(value);
	if (json_is_integer(value))
		snprintf(room, size, "%lld", (long long)json_integer_value(value));
	else if (json_is_boolean(value))
		snprintf(room, size, "%d", json_is_true(value));
	else if (json_is_real(value))
		snprintf(room, size, "%.17g", json_real_value(value));
	else
		return NULL;
	return room;
}

static json_t *column_value(const PGresult *result, int row, int column)
{
	if (pq.PQgetisnull(result, row, column))
		return json_null();
	const char *text = pq.PQgetvalue(result, row, column);
	switch (pq.PQftype(result, column)) {
	case PG_INT2:
	case PG_INT4:
	case PG_INT8:
		return json_integer(strtoll(text, NULL, 10));
	case PG_BOOL:
		return json_boolean(*text == 't');
	case PG_FLOAT4:
	case PG_FLOAT8:
	case PG_NUMERIC:
		return json_real(strtod(text, NULL));
	default: {
		json_t *value = json_string(text);
		return value ? value : json_null();
	}
	}
}

static struct error *postgres_error(struct postgres_db *db, const PGresult *result,
				    const char *sql)
{
	const char *message =
		result ? pq.PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
	return error_create(ERR_PEER, "facts database: %s (in: %.120s)",
			    message ? message : pq.PQerrorMessage(db->connection), sql);
}

static struct error *rows_of(const PGresult *result, json_t **rows_ret)
{
	int count = pq.PQntuples(result);
	if (count > DB_MAX_ROWS)
		return error_hint(error_create(ERR_LIMIT, "more than %d rows", DB_MAX_ROWS),
				  "add a LIMIT");
	json_t *rows = json_array();
	for (int r = 0; r < count; r++) {
		json_t *row = json_object();
		for (int c = 0; c < pq.PQnfields(result); c++)
			json_object_set_new(row, pq.PQfname(result, c),
					    column_value(result, r, c));
		json_array_append_new(rows, row);
	}
	*rows_ret = rows;
	return NULL;
}

/* A server that restarted is connected to again, once. */
static void reconnect(struct postgres_db *db)
{
	if (pq.PQstatus(db->connection) != CONNECTION_OK)
		pq.PQreset(db->connection);
}

static struct error *postgres_run(struct db *base, const char *sql, const json_t *values,
				  json_t **rows_ret)
{
	struct postgres_db *db = (struct postgres_db *)base;
	AUTO(own_free) char *text = translate(sql);
	const char *texts[MAX_VALUES];
	char rooms[MAX_VALUES][32];
	size_t count = json_array_size(values);
	if (!text)
		return error_create(ERR_MEMORY, "no memory for a statement");
	CHECK(count <= MAX_VALUES);
	for (size_t i = 0; i < count; i++)
		texts[i] = value_text(json_array_get(values, i), rooms[i], sizeof(rooms[i]));
	reconnect(db);
	if (db->read_only)
		pq.PQclear(pq.PQexec(db->connection, "BEGIN READ ONLY"));
	AUTO(own_result)
	PGresult *result =
		pq.PQexecParams(db->connection, text, (int)count, NULL, texts, NULL, NULL, 0);
	ExecStatusType status = pq.PQresultStatus(result);
	struct error *err = NULL;
	if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
		err = postgres_error(db, result, sql);
	if (db->read_only)
		pq.PQclear(pq.PQexec(db->connection, "ROLLBACK"));
	return err || !rows_ret ? err : rows_of(result, rows_ret);
}

static void postgres_destroy(struct db *base)
{
	struct postgres_db *db = (struct postgres_db *)base;
	pq.PQfinish(db->connection);
	free(db);
}

static const struct db_ops postgres_ops = {
	.run = postgres_run,
	.destroy = postgres_destroy,
	.identity_column = "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
	.integer_type = "BIGINT",
};

static struct error *set_up(struct postgres_db *db)
{
	TRY(postgres_run(&db->base, "SET statement_timeout = '30s'", NULL, NULL));
	TRY(postgres_run(&db->base, "SET client_min_messages = warning", NULL, NULL));
	return NULL;
}

struct error *db_postgres_open(const char *url, enum db_access access, struct db **ret)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct postgres_db *db = NULL;
	pthread_once(&once, load_libpq);
	if (!pq_is_loaded)
		return error_hint(error_create(ERR_UNSUPPORTED,
					       "PostgreSQL's library libpq.so.5 is not there"),
				  "install the package libpq5");
	TRY(error_alloc(1, sizeof(*db), &db));
	db->base.ops = &postgres_ops;
	db->read_only = access == DB_READ_ONLY;
	db->connection = pq.PQconnectdb(url);
	struct error *err = NULL;
	if (pq.PQstatus(db->connection) != CONNECTION_OK)
		err = error_create(ERR_PEER, "cannot reach the PostgreSQL server: %.*s",
				   (int)strcspn(pq.PQerrorMessage(db->connection), "\n"),
				   pq.PQerrorMessage(db->connection));
	if (!err)
		err = set_up(db);
	if (err) {
		postgres_destroy(&db->base);
		return err;
	}
	*ret = &db->base;
	return NULL;
}
