#include "box/facts_watch.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "box/call.h"
#include "facts/facts.h"
#include "facts/table.h"
#include "vm/state.h"

OWN_DECLARE(own_json, json_t *, json_decref)

enum { MAX_TABLES = 32 };

struct facts_watch {
	struct facts *facts;
	uint64_t due_ns[MAX_TABLES];
};

struct error *facts_watch_place(const char *vm, const char *where, char **ret)
{
	if (!where)
		return state_path(vm, "facts.sqlite", ret);
	*ret = strdup(where);
	return *ret ? NULL : error_create(ERR_MEMORY, "no memory for a path");
}

struct error *facts_watch_create(const char *vm, const char *where, struct facts_watch **ret)
{
	AUTO(own_free) char *place = NULL;
	struct facts_watch *watch = NULL;
	TRY(facts_watch_place(vm, where, &place));
	TRY(error_alloc(1, sizeof(*watch), &watch));
	mode_t before = umask(077);
	struct error *err =
		facts_open(&(struct facts_params){ .where = place, .vm = vm }, &watch->facts);
	umask(before);
	if (err) {
		facts_watch_destroy(watch);
		return err;
	}
	*ret = watch;
	return NULL;
}

void facts_watch_destroy(struct facts_watch *watch)
{
	if (!watch)
		return;
	facts_destroy(watch->facts);
	free(watch);
}

/* A kworker's name tells the work it did last ("kworker/0:1-events"): only what is lasting is
 * kept. */
static void drop_passing_work(json_t *rows)
{
	size_t i;
	json_t *row;
	json_array_foreach(rows, i, row)
	{
		const char *comm = json_string_value(json_object_get(row, "comm"));
		if (comm && !strncmp(comm, "kworker/", 8))
			json_object_set_new(row, "comm",
					    json_stringn(comm, strcspn(comm, "-+")));
	}
}

static struct error *look_at_table(struct facts_watch *watch, struct target *target,
				   const struct fact_table *table, uint64_t now_ns,
				   struct facts_watch_result *result)
{
	const struct call *call = call_find(table->call);
	AUTO(own_json) json_t *args = json_object();
	AUTO(own_json) json_t *rows = NULL;
	struct call_context context = { .target = target, .args = args };
	if (table->flag)
		json_object_set_new(args, table->flag, json_true());
	if (!call || !call->run)
		return NULL;
	struct error *err = call_do(call, &context, &rows);
	if (err || !json_is_array(rows)) {
		error_destroy(err);
		result->failed++;
		return NULL;
	}
	struct facts_change change = { 0 };
	drop_passing_work(rows);
	TRY(facts_observe(watch->facts, table, rows, now_ns, &change));
	result->looked++;
	result->began += change.began;
	result->ended += change.ended;
	return NULL;
}

struct error *facts_watch_look(struct facts_watch *watch, struct target *target,
			       struct facts_watch_result *ret)
{
	struct facts_watch_result result = { 0 };
	uint64_t now_ns = facts_now();
	for (size_t i = 0; fact_tables[i].name; i++) {
		if (!fact_tables[i].call || now_ns < watch->due_ns[i])
			continue;
		watch->due_ns[i] = now_ns + (uint64_t)fact_tables[i].every_s * 900000000u;
		TRY(look_at_table(watch, target, &fact_tables[i], now_ns, &result));
	}
	TRY(facts_look_done(watch->facts, now_ns));
	if (ret)
		*ret = result;
	return NULL;
}
