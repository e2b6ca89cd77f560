/* A database behind facts: SQLite in a file, or PostgreSQL by URL. Statements are written once,
 * with ?1 ?2 ... for values; the backends translate. Thread: one at a time. */
#ifndef FACTS_DB_H
#define FACTS_DB_H
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
struct db;
struct error;

enum db_access { DB_WRITE, DB_READ_ONLY };

struct db_ops {
	/* Runs one statement with values (a JSON array of strings, integers, null). rows_ret
	 * gets an array of objects, or may be NULL. */
	struct error *(*run)(struct db *db, const char *sql, const json_t *values,
			     json_t **rows_ret);
	void (*destroy)(struct db *db);
	const char *identity_column; /* SQL type of an automatic primary key */
	const char *integer_type; /* SQL type of 64 bits */
	const char *begin_exclusive; /* begins a transaction that nobody else can be in ... */
	const char *lock_others; /* ... with this after it, or NULL */
	const char *size_query; /* gives "bytes" in use; NULL: not ours to bound */
};

struct db {
	const struct db_ops *ops;
};

/* where: "postgresql://..." or the path of an SQLite file. Caller owns *ret. A query on a
 * read-only database cannot change it, whatever its text. */
struct error *db_open(const char *where, enum db_access access, struct db **ret);
void db_destroy(struct db *db);

struct error *db_run(struct db *db, const char *sql, const json_t *values, json_t **rows_ret);

/* Limits on what a person's query may return. */
enum { DB_MAX_ROWS = 100000 };

/* The backends. */
struct error *db_sqlite_open(const char *path, enum db_access access, struct db **ret);
struct error *db_postgres_open(const char *url, enum db_access access, struct db **ret);
#endif
