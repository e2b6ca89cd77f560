/* What the files of room facts share about a recorder. Thread: one per struct. */
#ifndef FACTS_INTERNAL_H
#define FACTS_INTERNAL_H
#include <jansson.h>
#include <stdint.h>

#include "base/own.h"
#include "facts/db.h"
struct error;

OWN_DECLARE(own_json, json_t *, json_decref)
OWN_DECLARE(own_db, struct db *, db_destroy)

enum { MAX_TABLES = 32 };

struct open_rows {
	json_t *by_key; /* see recorder.c */
	json_int_t look;
};

struct facts {
	struct db *db;
	char *host, *vm;
	uint64_t keep_ns, max_rows, max_bytes;
	uint64_t last_look_ns; /* 0 before the first */
	unsigned looks;
	uint64_t changes; /* rows begun or ended since the bounds were last applied */
	struct open_rows open[MAX_TABLES];
};

/* Runs a statement with every '@' replaced by the table's name. */
struct error *facts_run_on(struct facts *facts, const char *pattern, const char *table,
			   const json_t *values, json_t **rows_ret);

/* Drops what is too old or too much (bounds.c). */
struct error *facts_trim(struct facts *facts, uint64_t now_ns);

/* --- reading (history.c) --- */

struct facts_source;
struct fact_table;

/* Opens the database and begins the values of a statement: ?1 is the VM, ?2 its host. Caller
 * owns both. */
struct error *facts_open_source(const struct facts_source *source, struct db **db_ret,
				json_t **values_ret);
/* Adds a time to them. */
void facts_add_time(json_t *values, uint64_t time_ns);

/* A statement with every '@' replaced by a table's name. */
struct error *facts_select_on(struct db *db, const char *pattern,
			      const struct fact_table *table, const json_t *values,
			      json_t **ret);
#endif
