#include "facts/schema.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "facts/table.h"

OWN_DECLARE(own_json, json_t *, json_decref)

static struct error *run_text(struct db *db, char *text)
{
	struct error *err = text ? db_run(db, text, NULL, NULL)
				 : error_create(ERR_MEMORY, "no memory for SQL");
	free(text);
	return err;
}

static struct error *make_table(struct db *db, const struct fact_table *table)
{
	char *sql = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&sql, &size);
	if (!to)
		return error_create(ERR_MEMORY, "no memory for SQL");
	fprintf(to,
		"CREATE TABLE IF NOT EXISTS %s (row_id %s, host TEXT NOT NULL, vm TEXT NOT "
		"NULL, "
		"first_ns %s NOT NULL, last_ns %s",
		table->name, db->ops->identity_column, db->ops->integer_type,
		db->ops->integer_type);
	for (const struct fact_column *column = table->columns; column->name; column++) {
		const char *type =
			column->type == FACT_INTEGER ? db->ops->integer_type : "TEXT";
		fprintf(to, ", \"%s\" %s", column->name, type);
		if (column->role == FACT_SAMPLE)
			fprintf(to, ", \"last_%s\" %s", column->name, type);
	}
	fputs(")", to);
	fclose(to);
	TRY(run_text(db, sql));
	if (asprintf(&sql, "CREATE INDEX IF NOT EXISTS %s_time ON %s (vm, last_ns, first_ns)",
		     table->name, table->name) < 0)
		sql = NULL;
	return run_text(db, sql);
}

static struct error *make_bookkeeping(struct db *db)
{
	char *sql = NULL;
	TRY(db_run(db, "CREATE TABLE IF NOT EXISTS glassbox_schema (version INTEGER NOT NULL)",
		   NULL, NULL));
	if (asprintf(&sql,
		     "CREATE TABLE IF NOT EXISTS looks (host TEXT NOT NULL, vm TEXT NOT NULL, "
		     "first_ns %s NOT NULL, last_ns %s NOT NULL, PRIMARY KEY (host, vm))",
		     db->ops->integer_type, db->ops->integer_type) < 0)
		sql = NULL;
	return run_text(db, sql);
}

/* One row says the version; later versions add their steps here, from old to new. */
static struct error *check_version(struct db *db)
{
	AUTO(own_json) json_t *rows = NULL;
	TRY(db_run(db, "SELECT version FROM glassbox_schema", NULL, &rows));
	json_int_t version =
		json_integer_value(json_object_get(json_array_get(rows, 0), "version"));
	if (version > FACT_SCHEMA_VERSION)
		return error_create(
			ERR_UNSUPPORTED,
			"the facts database has schema %lld, this glassbox knows %d",
			(long long)version, FACT_SCHEMA_VERSION);
	if (version)
		return NULL;
	AUTO(own_json) json_t *values = json_pack("[i]", FACT_SCHEMA_VERSION);
	return db_run(db, "INSERT INTO glassbox_schema (version) VALUES (?1)", values, NULL);
}

struct error *schema_prepare(struct db *db)
{
	TRY(make_bookkeeping(db));
	TRY(check_version(db));
	for (const struct fact_table *table = fact_tables; table->name; table++)
		TRY(make_table(db, table));
	return NULL;
}
