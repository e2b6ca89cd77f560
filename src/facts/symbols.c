/* The symbols of a VM's kernel: tens of thousands of rows that stay as they are until it boots
 * again, so they are written in one go and not compared at every look. */
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "facts/facts.h"
#include "facts/internal.h"

enum { SYMBOLS_AT_ONCE = 20 };

/* One statement for up to SYMBOLS_AT_ONCE rows: ?1 ?2 ?3 are host, VM and time. */
static struct error *insert_symbols(struct facts *facts, const json_t *rows, size_t first,
				    uint64_t now_ns)
{
	AUTO(own_json)
	json_t *values = json_pack("[s,s,I]", facts->host, facts->vm, (json_int_t)now_ns);
	AUTO(own_free) char *sql = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&sql, &size);
	if (!to || !values)
		return error_create(ERR_MEMORY, "no memory for SQL");
	fputs("INSERT INTO symbols (host, vm, first_ns, name, address, type) VALUES", to);
	for (size_t i = 0; i < SYMBOLS_AT_ONCE && first + i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, first + i);
		size_t n = json_array_size(values);
		json_array_append(values, json_object_get(row, "name"));
		json_array_append(values, json_object_get(row, "address"));
		json_array_append(values, json_object_get(row, "type"));
		fprintf(to, "%s (?1, ?2, ?3, ?%zu, ?%zu, ?%zu)", i ? "," : "", n + 1, n + 2,
			n + 3);
	}
	fclose(to);
	return db_run(facts->db, sql, values, NULL);
}

static struct error *replace_symbols(struct facts *facts, const json_t *rows, uint64_t now_ns)
{
	AUTO(own_json)
	json_t *who = json_pack("[s,s,I]", facts->host, facts->vm, (json_int_t)now_ns);
	TRY(db_run(facts->db,
		   "UPDATE symbols SET last_ns = ?3 WHERE host = ?1 AND vm = ?2 AND last_ns "
		   "IS NULL",
		   who, NULL));
	for (size_t i = 0; i < json_array_size(rows); i += SYMBOLS_AT_ONCE)
		TRY(insert_symbols(facts, rows, i, now_ns));
	return NULL;
}

/* A kernel's symbols are tens of thousands and stay as they are until it boots again: the last
 * and the first one and their number tell whether these are the recorded ones. */
static struct error *same_symbols(struct facts *facts, const json_t *rows, bool *ret)
{
	AUTO(own_json) json_t *found = NULL;
	size_t count = json_array_size(rows);
	const json_t *last = json_array_get(rows, count - 1);
	AUTO(own_json)
	json_t *values =
		json_pack("[s,s,O,O]", facts->host, facts->vm, json_object_get(last, "name"),
			  json_object_get(last, "address"));
	TRY(db_run(
		facts->db,
		"SELECT COUNT(*) AS n, SUM(CASE WHEN name = ?3 AND address = ?4 THEN 1 ELSE "
		"0 END) AS same FROM symbols WHERE host = ?1 AND vm = ?2 AND last_ns IS NULL",
		values, &found));
	const json_t *row = json_array_get(found, 0), *same = json_object_get(row, "same");
	*ret = (size_t)json_integer_value(json_object_get(row, "n")) == count &&
	       json_number_value(same) > 0;
	return NULL;
}

struct error *facts_symbols(struct facts *facts, const json_t *rows, uint64_t now_ns)
{
	bool same = true;
	if (!json_array_size(rows))
		return NULL;
	TRY(same_symbols(facts, rows, &same));
	if (same)
		return NULL;
	TRY(db_run(facts->db, "BEGIN", NULL, NULL));
	struct error *err = replace_symbols(facts, rows, now_ns);
	if (err) {
		error_destroy(db_run(facts->db, "ROLLBACK", NULL, NULL));
		return err;
	}
	return db_run(facts->db, "COMMIT", NULL, NULL);
}
