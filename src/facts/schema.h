/* The schema of the facts database and its migrations. Thread: the caller's. */
#ifndef FACTS_SCHEMA_H
#define FACTS_SCHEMA_H
#include "facts/db.h"
struct fact_table;

/* Makes what is missing; ERR_UNSUPPORTED when a newer glassbox made the database. */
struct error *schema_prepare(struct db *db);
#endif
