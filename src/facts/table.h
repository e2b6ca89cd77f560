/* The tables of the facts database: one list from which the schema, the recorder and the
 * documentation come. Each table is fed by one introspection call and holds interval rows: what
 * was seen from first_ns to last_ns. Thread: constant data. */
#ifndef FACTS_TABLE_H
#define FACTS_TABLE_H
#include <stdbool.h>
#include <stddef.h>

enum fact_type { FACT_INTEGER, FACT_TEXT };

enum fact_role {
	FACT_KEY, /* together with the other keys: which thing this is */
	FACT_VALUE, /* when it changes, the old interval ends and a new one begins */
	FACT_SAMPLE, /* changes all the time: kept as of the interval's begin, last_* as of its
			end */
};

struct fact_column {
	const char *name; /* the field of the call's JSON document, and the column */
	enum fact_type type;
	enum fact_role role;
};

struct fact_table {
	const char *name; /* "processes" */
	const char *call; /* "ps": the call whose rows these are; NULL: recorded by hand */
	const char *args; /* JSON of the call's arguments, '@' for the VM's name; or NULL */
	unsigned every_s; /* how often a watch looks, in seconds */
	const struct fact_column *columns; /* ends with a NULL name */
	bool is_bulk; /* written once per boot (facts_symbols), not compared row by row */
};

extern const struct fact_table fact_tables[]; /* ends with a NULL name */

const struct fact_table *fact_table_find(const char *name); /* or NULL */

enum { FACT_SCHEMA_VERSION = 2 };
#endif
