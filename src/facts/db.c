#include "facts/db.h"

#include <string.h>

#include "base/error.h"

struct error *db_open(const char *where, enum db_access access, struct db **ret)
{
	if (!strncmp(where, "postgresql://", 13) || !strncmp(where, "postgres://", 11))
		return db_postgres_open(where, access, ret);
	return db_sqlite_open(where, access, ret);
}

void db_destroy(struct db *db)
{
	if (db)
		db->ops->destroy(db);
}

struct error *db_run(struct db *db, const char *sql, const json_t *values, json_t **rows_ret)
{
	return db->ops->run(db, sql, values, rows_ret);
}
