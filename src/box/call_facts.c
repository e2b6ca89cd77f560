/* query, history, diff, watch, ask: the memory of the past and plain questions. */
#include <string.h>

#include "base/error.h"
#include "box/answer.h"
#include "box/calls.h"
#include "box/facts_watch.h"
#include "box/guest_call.h"
#include "box/target.h"
#include "facts/facts.h"
#include "facts/table.h"

#define DB_PARAM                                                                              \
	{                                                                                     \
		"db", CALL_STRING, .local = true, .placeholder = "WHERE",                     \
				   .help = "SQLite file or postgresql:// URL instead of the " \
					   "VM's own facts"                                   \
	}

static struct error *place_of(struct call_context *context, char **ret)
{
	return facts_watch_place(target_name(context->target), call_string(context, "db"), ret);
}

/* A database that nobody recorded into is the commonest mistake. */
static struct error *explain(struct error *err, const char *vm)
{
	if (err && error_kind(err) == ERR_NOT_FOUND)
		return error_hint(err,
				  "nothing was recorded yet: `glassbox watch %s` or `glassbox "
				  "serve` records",
				  vm);
	return err;
}

static struct error *run_query(struct call_context *context, json_t **ret)
{
	AUTO(own_free) char *place = NULL;
	TRY(place_of(context, &place));
	return explain(facts_query(place, call_string(context, "sql"), ret),
		       target_name(context->target));
}

static const struct call_param query_params[] = {
	{ "sql", CALL_STRING, .positional = true, .required = true, .placeholder = "SQL",
	  .help = "one SELECT over the facts tables (docs/facts.md)" },
	DB_PARAM,
	{ 0 },
};

const struct call call_query = {
	.name = "query",
	.group = "memory of the past",
	.summary = "ask the facts database in SQL; reading only",
	.details = "Tables: processes, threads, modules, mounts, files, sockets, regions, "
		   "page_kinds,\n"
		   "hot_paths, kernels, symbols, events. A row was true from first_ns to "
		   "last_ns (null: "
		   "still).",
	.examples = "  glassbox query web \"SELECT comm, pid FROM processes WHERE last_ns IS "
		    "NULL\"",
	.flags = CALL_TARGET | CALL_LIVE_ONLY,
	.params = query_params,
	.run = run_query,
};

static struct error *parse_moment(struct call_context *context, const char *name,
				  const char *otherwise, uint64_t *ret)
{
	const char *text = call_string(context, name);
	return facts_parse_time(text ? text : otherwise, facts_now(), ret);
}

static struct error *run_history(struct call_context *context, json_t **ret)
{
	AUTO(own_free) char *place = NULL;
	const char *name = call_string(context, "table");
	const struct fact_table *table = fact_table_find(name ? name : "processes");
	uint64_t at_ns = 0;
	if (!table)
		return error_create(ERR_USAGE, "no facts table '%s'", name);
	TRY(parse_moment(context, "at", "0s", &at_ns));
	TRY(place_of(context, &place));
	const char *vm = target_name(context->target);
	return explain(
		facts_at(&(struct facts_source){ .where = place, .vm = vm }, table, at_ns, ret),
		vm);
}

static const struct call_param history_params[] = {
	{ "table", CALL_STRING, .positional = true, .placeholder = "TABLE",
	  .choices = "processes,threads,modules,mounts,files,sockets,regions,page_kinds,hot_"
		     "paths,kernels,symbols,events",
	  .help = "which facts" },
	{ "at", CALL_STRING, .placeholder = "TIME",
	  .help = "10:02, '5m ago', ...; now if not given" },
	DB_PARAM,
	{ 0 },
};

const struct call call_history = {
	.name = "history",
	.group = "memory of the past",
	.summary = "show a list as it was at a past moment",
	.examples = "  glassbox history web processes --at 10:02",
	.flags = CALL_TARGET | CALL_LIVE_ONLY,
	.params = history_params,
	.run = run_history,
};

static struct error *run_diff(struct call_context *context, json_t **ret)
{
	AUTO(own_free) char *place = NULL;
	uint64_t since_ns = 0;
	TRY(parse_moment(context, "since", "1m", &since_ns));
	TRY(place_of(context, &place));
	const char *vm = target_name(context->target);
	return explain(
		facts_diff(&(struct facts_source){ .where = place, .vm = vm }, since_ns, ret),
		vm);
}

static const struct call_param diff_params[] = {
	{ "since", CALL_STRING, .placeholder = "TIME",
	  .help = "10:02, 5m, ...; one minute if not given" },
	DB_PARAM,
	{ 0 },
};

static const struct call_column diff_columns[] = {
	{ "time_ns", "TIME", COLUMN_RIGHT },
	{ "change", "CHANGE", COLUMN_LEFT },
	{ "table", "TABLE", COLUMN_LEFT },
	{ "row", "WHAT", COLUMN_LEFT },
	{ 0 },
};

const struct call call_diff = {
	.name = "diff",
	.group = "memory of the past",
	.summary = "what began and ended since a moment",
	.examples = "  glassbox diff web --since 5m",
	.flags = CALL_TARGET | CALL_LIVE_ONLY,
	.params = diff_params,
	.columns = diff_columns,
	.run = run_diff,
};

enum { TIMELINE_STEPS = 120, TIMELINE_STEPS_MAX = 10000 };

static struct error *run_timeline(struct call_context *context, json_t **ret)
{
	AUTO(own_free) char *place = NULL;
	struct facts_source source = { .vm = target_name(context->target) };
	struct facts_span span = { .steps = TIMELINE_STEPS };
	uint64_t last_ns = 0, steps = call_integer(context, "steps", TIMELINE_STEPS);
	if (!steps || steps > TIMELINE_STEPS_MAX)
		return error_create(ERR_USAGE, "steps must be between 1 and %d",
				    TIMELINE_STEPS_MAX);
	span.steps = (unsigned)steps;
	TRY(place_of(context, &place));
	source.where = place;
	TRY(explain(facts_recorded(&source, &span.from_ns, &last_ns), source.vm));
	if (span.from_ns) /* the recorder's own event comes just before its first look */
		span.from_ns -= 1000000000;
	if (call_has(context, "from"))
		TRY(parse_moment(context, "from", NULL, &span.from_ns));
	TRY(parse_moment(context, "to", "0s", &span.to_ns));
	if (span.to_ns <= span.from_ns)
		return error_create(ERR_USAGE, "the end of the timeline is before its begin");
	return facts_timeline(&source, &span, ret);
}

static const struct call_param timeline_params[] = {
	{ "from", CALL_STRING, .placeholder = "TIME",
	  .help = "10:02, 5m, @SECONDS; the first look if not given" },
	{ "to", CALL_STRING, .placeholder = "TIME", .help = "now if not given" },
	{ "steps", CALL_INTEGER, .placeholder = "N", .help = "buckets; 120 if not given" },
	DB_PARAM,
	{ 0 },
};

const struct call call_timeline = {
	.name = "timeline",
	.group = "memory of the past",
	.summary = "how much began and ended when, and the VM's events",
	.details = "first_ns and last_ns are the first and the last look of the recorder. "
		   "Buckets in which\n"
		   "nothing happened are left out. `history --at` shows any moment between.",
	.examples = "  glassbox timeline web --from 1h --json",
	.flags = CALL_TARGET | CALL_LIVE_ONLY,
	.params = timeline_params,
	.run = run_timeline,
};

static const struct call_param watch_params[] = {
	{ "interval_ms", CALL_INTEGER, .placeholder = "MS",
	  .help = "time between two looks; 1000 if not given" },
	{ "looks", CALL_INTEGER, .placeholder = "N", .help = "end after N looks" },
	DB_PARAM,
	{ 0 },
};

const struct call call_watch = {
	.name = "watch",
	.group = "memory of the past",
	.summary = "record processes, modules, mounts, files and sockets over time, printing "
		   "changes",
	.details = "Records into the VM's facts database and prints each change until Ctrl-C.",
	.flags = CALL_TARGET | CALL_LIVE_ONLY | CALL_CLI_ONLY,
	.params = watch_params,
};

static struct error *run_ask(struct call_context *context, json_t **ret)
{
	return answer_question(context, call_string(context, "question"), ret);
}

static const struct call_param ask_params[] = {
	{ "question", CALL_STRING, .positional = true, .required = true,
	  .placeholder = "QUESTION", .help = "in plain English" },
	{ "by", CALL_STRING, .placeholder = "WHO", .choices = "parser,model",
	  .help = "who answers; the parser, and a configured model for what it does not "
		  "understand" },
	{ 0 },
};

const struct call call_ask = {
	.name = "ask",
	.group = "memory of the past",
	.summary = "answer a question in plain language",
	.details = "Gives a sentence, the rows it rests on, the address ranges it is about, "
		   "and the query that\n"
		   "was understood. What is not understood gives suggestions, never an "
		   "invented answer.\n"
		   "With GLASSBOX_MODEL_URL set to an OpenAI-compatible endpoint, a model may "
		   "answer from\n"
		   "our queries, which are shown (docs/facts.md).",
	.examples = "  glassbox ask web \"which process uses the most memory?\"\n"
		    "  glassbox ask web \"is anything listening on port 22?\"",
	.flags = CALL_TARGET | CALL_TEXT,
	.params = ask_params,
	.run = run_ask,
};
