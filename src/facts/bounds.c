/* How much of the past is kept: by age, by rows, and by the size of the file. */
#include "base/error.h"
#include "facts/internal.h"
#include "facts/table.h"

/* Each round drops an eighth of what has ended. */
enum { SIZE_ROUNDS = 32 };

static json_t *who_and(const struct facts *facts, uint64_t number)
{
	return json_pack("[s,s,I]", facts->host, facts->vm, (json_int_t)number);
}

/* Bytes in use; 0 where the database is not ours alone to bound. */
static struct error *bytes_in_use(struct facts *facts, uint64_t *ret)
{
	AUTO(own_json) json_t *rows = NULL;
	*ret = 0;
	if (!facts->db->ops->size_query)
		return NULL;
	TRY(db_run(facts->db, facts->db->ops->size_query, NULL, &rows));
	*ret = (uint64_t)json_integer_value(json_object_get(json_array_get(rows, 0), "bytes"));
	return NULL;
}

/* Freed pages of an SQLite file are used again, so a file at its bound stays there. */
static struct error *trim_to_size(struct facts *facts)
{
	AUTO(own_json) json_t *who = json_pack("[s,s]", facts->host, facts->vm);
	uint64_t bytes = 0;
	TRY(bytes_in_use(facts, &bytes));
	for (int round = 0; bytes > facts->max_bytes && round < SIZE_ROUNDS; round++) {
		for (const struct fact_table *table = fact_tables; table->name; table++)
			TRY(facts_run_on(
				facts,
				"DELETE FROM @ WHERE row_id IN (SELECT row_id FROM @ WHERE "
				"host = ?1 AND vm = ?2 AND last_ns IS NOT NULL ORDER BY "
				"last_ns "
				"LIMIT (SELECT COUNT(*) / 8 + 1 FROM @ WHERE host = ?1 AND "
				"vm = ?2 AND last_ns IS NOT NULL))",
				table->name, who, NULL));
		TRY(bytes_in_use(facts, &bytes));
	}
	return NULL;
}

struct error *facts_trim(struct facts *facts, uint64_t now_ns)
{
	AUTO(own_json)
	json_t *old = who_and(facts, now_ns > facts->keep_ns ? now_ns - facts->keep_ns : 0);
	AUTO(own_json) json_t *many = who_and(facts, facts->max_rows);
	facts->changes = 0;
	for (const struct fact_table *table = fact_tables; table->name; table++) {
		TRY(facts_run_on(facts,
				 "DELETE FROM @ WHERE host = ?1 AND vm = ?2 AND last_ns < ?3",
				 table->name, old, NULL));
		TRY(facts_run_on(
			facts,
			"DELETE FROM @ WHERE host = ?1 AND vm = ?2 AND last_ns IS NOT NULL AND "
			"row_id <= (SELECT MAX(row_id) FROM @ WHERE host = ?1 AND vm = ?2) - "
			"?3",
			table->name, many, NULL));
	}
	return trim_to_size(facts);
}
