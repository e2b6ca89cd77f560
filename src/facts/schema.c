#include "facts/schema.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "facts/internal.h"
#include "facts/table.h"

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
	if (table->is_bulk) /* an index would be as large as the table */
		return NULL;
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

/* One row says the version. What a version adds is made by prepare_all, since tables and
 * indexes are made where they are missing; a change of what is there needs a step here. */
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
	if (version == FACT_SCHEMA_VERSION)
		return NULL;
	AUTO(own_json) json_t *values = json_pack("[i]", FACT_SCHEMA_VERSION);
	return db_run(db,
		      version ? "UPDATE glassbox_schema SET version = ?1"
			      : "INSERT INTO glassbox_schema (version) VALUES (?1)",
		      values, NULL);
}

/* The name that other tools know regions by. */
static struct error *make_views(struct db *db)
{
	TRY(db_run(db, "DROP VIEW IF EXISTS memory_regions", NULL, NULL));
	return db_run(db, "CREATE VIEW memory_regions AS SELECT * FROM regions", NULL, NULL);
}

static struct error *prepare_all(struct db *db)
{
	if (db->ops->lock_others)
		TRY(db_run(db, db->ops->lock_others, NULL, NULL));
	TRY(make_bookkeeping(db));
	TRY(check_version(db));
	for (const struct fact_table *table = fact_tables; table->name; table++)
		TRY(make_table(db, table));
	return make_views(db);
}

struct error *schema_prepare(struct db *db)
{
	TRY(db_run(db, db->ops->begin_exclusive, NULL, NULL));
	struct error *err = prepare_all(db);
	if (!err)
		return db_run(db, "COMMIT", NULL, NULL);
	error_destroy(db_run(db, "ROLLBACK", NULL, NULL));
	return err;
}
