/* The recorder. For each table it keeps the rows that are open in the database:
 *
 *   key text ("42\x1f1000") -> { "id": row in the database, "values": text of the VALUE
 * columns, "row": the latest object, "seen": number of the latest look }
 *
 * A look goes over the fresh rows once: a known key with the same values is only marked as
 * seen, one with other values ends its interval and begins a new one, a new key begins one;
 * what was not marked ends at the look before. Everything of one look is one transaction. */
#include "facts/facts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "facts/db.h"
#include "facts/internal.h"
#include "facts/schema.h"
#include "facts/table.h"

enum { TRIM_EVERY_LOOKS = 600, TRIM_EVERY_CHANGES = 20000 };

uint64_t facts_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void facts_host_name(char *to, size_t size)
{
	const char *given = getenv("GLASSBOX_HOST");
	snprintf(to, size, "%s", given && *given ? given : "localhost");
	if (!given || !*given)
		gethostname(to, size - 1);
	to[size - 1] = '\0';
}

void facts_destroy(struct facts *facts)
{
	if (!facts)
		return;
	for (size_t i = 0; i < MAX_TABLES; i++)
		json_decref(facts->open[i].by_key);
	db_destroy(facts->db);
	free(facts->host);
	free(facts->vm);
	free(facts);
}

struct error *facts_run_on(struct facts *facts, const char *pattern, const char *table,
			   const json_t *values, json_t **rows_ret)
{
	AUTO(own_free) char *sql = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&sql, &size);
	if (!to)
		return error_create(ERR_MEMORY, "no memory for SQL");
	for (; *pattern; pattern++)
		fputs(*pattern == '@' ? table : (char[]){ *pattern, 0 }, to);
	fclose(to);
	return db_run(facts->db, sql, values, rows_ret);
}

/* Joins the columns of one role into one text; 0x1f and 0x1e do not appear in what the kernel
 * prints. */
static char *join_columns(const struct fact_table *table, const json_t *row,
			  enum fact_role role)
{
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);
	if (!to)
		return NULL;
	for (const struct fact_column *column = table->columns; column->name; column++) {
		const json_t *value = json_object_get(row, column->name);
		if (column->role != role)
			continue;
		if (json_is_string(value))
			fputs(json_string_value(value), to);
		else if (json_is_integer(value))
			fprintf(to, "%lld", (long long)json_integer_value(value));
		else if (json_is_boolean(value))
			fprintf(to, "%d", json_is_true(value));
		else if (value && !json_is_null(value))
			json_dumpf(value, to, JSON_COMPACT | JSON_ENCODE_ANY);
		else
			fputc(0x1e, to);
		fputc(0x1f, to);
	}
	return fclose(to) ? NULL : text;
}

/* Takes up the rows that the last recorder left open: what is still there at the next look goes
 * on, what is not ended at the last look that was recorded. */
static struct error *take_up(struct facts *facts, const struct fact_table *table)
{
	AUTO(own_json) json_t *who = json_pack("[s,s]", facts->host, facts->vm);
	AUTO(own_json) json_t *rows = NULL;
	json_t *by_key = facts->open[table - fact_tables].by_key, *row;
	size_t i;
	if (table->is_bulk)
		return NULL;
	TRY(facts_run_on(facts,
			 "SELECT * FROM @ WHERE host = ?1 AND vm = ?2 AND last_ns IS NULL",
			 table->name, who, &rows));
	json_array_foreach(rows, i, row)
	{
		AUTO(own_free) char *key = join_columns(table, row, FACT_KEY);
		AUTO(own_free) char *text = join_columns(table, row, FACT_VALUE);
		if (!key || !text)
			return error_create(ERR_MEMORY, "no memory for facts");
		json_object_set_new(by_key, key,
				    json_pack("{s:O, s:s, s:O, s:i}", "id",
					      json_object_get(row, "row_id"), "values", text,
					      "row", row, "seen", 0));
	}
	return NULL;
}

static struct error *take_up_all(struct facts *facts)
{
	AUTO(own_json) json_t *who = json_pack("[s,s]", facts->host, facts->vm);
	AUTO(own_json) json_t *rows = NULL;
	TRY(db_run(facts->db, "SELECT last_ns FROM looks WHERE host = ?1 AND vm = ?2", who,
		   &rows));
	facts->last_look_ns = (uint64_t)json_integer_value(
		json_object_get(json_array_get(rows, 0), "last_ns"));
	for (const struct fact_table *table = fact_tables; table->name; table++) {
		json_object_clear(facts->open[table - fact_tables].by_key);
		TRY(take_up(facts, table));
	}
	return NULL;
}

static struct error *open_all(const struct facts_params *params, struct facts *facts)
{
	char name[256];
	facts_host_name(name, sizeof(name));
	facts->host = strdup(params->host ? params->host : name);
	facts->vm = strdup(params->vm);
	facts->keep_ns =
		params->keep_ns ? params->keep_ns : (uint64_t)7 * 24 * 3600 * 1000000000u;
	facts->max_rows = params->max_rows ? params->max_rows : 1000000;
	facts->max_bytes = params->max_bytes ? params->max_bytes : (uint64_t)256 << 20;
	if (!facts->host || !facts->vm)
		return error_create(ERR_MEMORY, "no memory for facts");
	for (size_t i = 0; i < MAX_TABLES; i++)
		facts->open[i].by_key = json_object();
	TRY(db_open(params->where, DB_WRITE, &facts->db));
	TRY(schema_prepare(facts->db));
	return take_up_all(facts);
}

struct error *facts_open(const struct facts_params *params, struct facts **ret)
{
	struct facts *facts = NULL;
	TRY(error_alloc(1, sizeof(*facts), &facts));
	struct error *err = open_all(params, facts);
	if (err) {
		facts_destroy(facts);
		return err;
	}
	*ret = facts;
	return NULL;
}

/* The form in which a field is stored: booleans as 0 and 1, lists and objects as text. New
 * reference. */
static json_t *stored_form(const struct fact_column *column, const json_t *value)
{
	if (json_is_boolean(value))
		return json_integer(json_is_true(value));
	if (json_is_integer(value) && column->type == FACT_TEXT)
		return json_sprintf("%lld", (long long)json_integer_value(value));
	if (json_is_array(value) || json_is_object(value)) {
		AUTO(own_free) char *text = json_dumps(value, JSON_COMPACT);
		return text ? json_string(text) : json_null();
	}
	bool fits =
		column->type == FACT_INTEGER ? json_is_integer(value) : json_is_string(value);
	return fits ? json_incref((json_t *)value) : json_null();
}

static struct error *insert_row(struct facts *facts, const struct fact_table *table,
				const json_t *row, uint64_t now_ns, json_int_t *id_ret)
{
	AUTO(own_json)
	json_t *values = json_pack("[s,s,I]", facts->host, facts->vm, (json_int_t)now_ns);
	AUTO(own_json) json_t *ids = NULL;
	AUTO(own_free) char *sql = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&sql, &size);
	if (!to || !values)
		return error_create(ERR_MEMORY, "no memory for SQL");
	fprintf(to, "INSERT INTO %s (host, vm, first_ns", table->name);
	for (const struct fact_column *column = table->columns; column->name; column++)
		fprintf(to, ", \"%s\"", column->name);
	fputs(") VALUES (?1, ?2, ?3", to);
	for (const struct fact_column *column = table->columns; column->name; column++) {
		json_array_append_new(values,
				      stored_form(column, json_object_get(row, column->name)));
		fprintf(to, ", ?%zu", json_array_size(values));
	}
	fputs(") RETURNING row_id", to);
	fclose(to);
	TRY(db_run(facts->db, sql, values, &ids));
	*id_ret = json_integer_value(json_object_get(json_array_get(ids, 0), "row_id"));
	return NULL;
}

/* Ends an interval: last_ns and the samples as they were last seen. */
static struct error *end_row(struct facts *facts, const struct fact_table *table,
			     const json_t *open, uint64_t last_ns)
{
	const json_t *row = json_object_get(open, "row");
	AUTO(own_json)
	json_t *values = json_pack("[I,O]", (json_int_t)last_ns, json_object_get(open, "id"));
	AUTO(own_free) char *sql = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&sql, &size);
	if (!to || !values)
		return error_create(ERR_MEMORY, "no memory for SQL");
	fprintf(to, "UPDATE %s SET last_ns = ?1", table->name);
	for (const struct fact_column *column = table->columns; column->name; column++) {
		if (column->role != FACT_SAMPLE)
			continue;
		json_array_append_new(values,
				      stored_form(column, json_object_get(row, column->name)));
		fprintf(to, ", \"last_%s\" = ?%zu", column->name, json_array_size(values));
	}
	fputs(" WHERE row_id = ?2", to);
	fclose(to);
	return db_run(facts->db, sql, values, NULL);
}

static struct error *begin_row(struct facts *facts, const struct fact_table *table,
			       struct open_rows *open, const char *key, const char *text,
			       json_t *row, uint64_t now_ns)
{
	json_int_t id = 0;
	TRY(insert_row(facts, table, row, now_ns, &id));
	json_object_set_new(open->by_key, key,
			    json_pack("{s:I, s:s, s:O, s:I}", "id", id, "values", text, "row",
				      row, "seen", open->look));
	return NULL;
}

static struct error *observe_row(struct facts *facts, const struct fact_table *table,
				 struct open_rows *open, json_t *row, uint64_t now_ns,
				 struct facts_change *change)
{
	AUTO(own_free) char *key = join_columns(table, row, FACT_KEY);
	AUTO(own_free) char *text = join_columns(table, row, FACT_VALUE);
	if (!key || !text)
		return error_create(ERR_MEMORY, "no memory for facts");
	json_t *known = json_object_get(open->by_key, key);
	if (known && !strcmp(json_string_value(json_object_get(known, "values")), text)) {
		json_object_set(known, "row", row);
		json_integer_set(json_object_get(known, "seen"), open->look);
		return NULL;
	}
	if (known) {
		TRY(end_row(facts, table, known,
			    facts->last_look_ns ? facts->last_look_ns : now_ns));
		change->ended++;
	}
	change->began++;
	return begin_row(facts, table, open, key, text, row, now_ns);
}

static struct error *end_unseen(struct facts *facts, const struct fact_table *table,
				struct open_rows *open, uint64_t now_ns,
				struct facts_change *change)
{
	const char *key;
	json_t *known;
	void *next;
	json_object_foreach_safe(open->by_key, next, key, known)
	{
		if (json_integer_value(json_object_get(known, "seen")) == open->look)
			continue;
		TRY(end_row(facts, table, known,
			    facts->last_look_ns ? facts->last_look_ns : now_ns));
		change->ended++;
		json_object_del(open->by_key, key);
	}
	return NULL;
}

static struct error *observe_all(struct facts *facts, const struct fact_table *table,
				 const json_t *rows, uint64_t now_ns,
				 struct facts_change *change)
{
	struct open_rows *open = &facts->open[table - fact_tables];
	open->look++;
	for (size_t i = 0; i < json_array_size(rows); i++)
		TRY(observe_row(facts, table, open, json_array_get(rows, i), now_ns, change));
	return end_unseen(facts, table, open, now_ns, change);
}

/* What the database took back must be forgotten here too: it is read again. */
static void forget(struct facts *facts)
{
	error_destroy(db_run(facts->db, "ROLLBACK", NULL, NULL));
	error_destroy(take_up_all(facts));
}

struct error *facts_observe(struct facts *facts, const struct fact_table *table,
			    const json_t *rows, uint64_t now_ns, struct facts_change *ret)
{
	struct facts_change change = { 0 };
	CHECK(table - fact_tables < MAX_TABLES);
	TRY(db_run(facts->db, "BEGIN", NULL, NULL));
	struct error *err = observe_all(facts, table, rows, now_ns, &change);
	if (!err)
		err = db_run(facts->db, "COMMIT", NULL, NULL);
	if (err) {
		forget(facts);
		return err;
	}
	facts->changes += change.began + change.ended;
	if (ret)
		*ret = change;
	return NULL;
}

struct error *facts_event(struct facts *facts, const char *event, const char *detail,
			  uint64_t now_ns)
{
	const struct fact_table *table = fact_table_find("events");
	AUTO(own_json)
	json_t *row = json_pack("{s:s, s:I, s:s?}", "event", event, "time_ns",
				(json_int_t)now_ns, "detail", detail);
	json_int_t id = 0;
	TRY(insert_row(facts, table, row, now_ns, &id));
	AUTO(own_json) json_t *values = json_pack("[I,I]", (json_int_t)now_ns, id);
	return db_run(facts->db, "UPDATE events SET last_ns = ?1 WHERE row_id = ?2", values,
		      NULL);
}

struct error *facts_end(struct facts *facts)
{
	AUTO(own_json) json_t *who = json_pack("[s,s]", facts->host, facts->vm);
	for (const struct fact_table *table = fact_tables; table->name; table++)
		TRY(facts_run_on(
			facts,
			"UPDATE @ SET last_ns = COALESCE((SELECT l.last_ns FROM looks l WHERE "
			"l.host = ?1 AND l.vm = ?2), first_ns) WHERE host = ?1 AND vm = ?2 AND "
			"last_ns IS NULL",
			table->name, who, NULL));
	return take_up_all(facts);
}

struct error *facts_look_done(struct facts *facts, uint64_t now_ns)
{
	AUTO(own_json)
	json_t *values = json_pack("[s,s,I]", facts->host, facts->vm, (json_int_t)now_ns);
	facts->last_look_ns = now_ns;
	TRY(db_run(facts->db,
		   "INSERT INTO looks (host, vm, first_ns, last_ns) VALUES (?1, ?2, ?3, ?3) "
		   "ON CONFLICT (host, vm) DO UPDATE SET last_ns = excluded.last_ns",
		   values, NULL));
	bool is_time =
		++facts->looks % TRIM_EVERY_LOOKS == 0 || facts->changes >= TRIM_EVERY_CHANGES;
	return is_time ? facts_trim(facts, now_ns) : NULL;
}
