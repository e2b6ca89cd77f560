#include "box/answer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "box/calls.h"
#include "box/facts_watch.h"
#include "box/focus.h"
#include "box/guest_call.h"
#include "box/model.h"
#include "box/status.h"
#include "box/target.h"
#include "facts/ask.h"
#include "facts/facts.h"
#include "facts/select.h"

enum { GUEST_PAGE_BYTES = 4096, TEXT_ROWS_MAX = 20 };

/* What the rows of a call are called in a sentence. */
static const struct {
	const char *call, *one, *many;
} nouns[] = {
	{ "ps", "process", "processes" },
	{ "threads", "thread", "threads" },
	{ "lsmod", "module", "modules" },
	{ "mounts", "mount", "mounts" },
	{ "files", "open file", "open files" },
	{ "sockets", "socket", "sockets" },
	{ "maps", "mapping", "mappings" },
	{ "dmesg", "kernel message", "kernel messages" },
	{ "symbols", "symbol", "symbols" },
	{ "hot", "hot path", "hot paths" },
	{ "kernels", "learned kernel", "learned kernels" },
	{ "diff", "change", "changes" },
	{ "stack", "stack frame", "stack frames" },
	{ "env", "variable", "variables" },
	{ "irqs", "interrupt", "interrupts" },
	{ "cgroups", "cgroup", "cgroups" },
	{ "cpus", "processor", "processors" },
	{ "timers", "timer", "timers" },
	{ "namespaces", "namespace", "namespaces" },
	{ "tree", "process", "processes" },
};

static const char *noun(const char *call, size_t count)
{
	for (size_t i = 0; i < sizeof(nouns) / sizeof(*nouns); i++)
		if (!strcmp(nouns[i].call, call))
			return count == 1 ? nouns[i].one : nouns[i].many;
	return count == 1 ? "row" : "rows";
}

/* --- running the query ----------------------------------------------------------------------
 */

/* Rows of a call for the vocabulary; an empty list when it fails, since a question may need
 * none. */
static json_t *vocabulary(const struct call_context *context, const char *name)
{
	const struct call *call = call_find(name);
	AUTO(own_json) json_t *args = json_object();
	struct call_context inner = { .target = context->target, .args = args };
	json_t *rows = NULL;
	struct error *err = call ? call_do(call, &inner, &rows) : NULL;
	error_destroy(err);
	return rows ? rows : json_array();
}

static struct error *run_diff(struct call_context *context, const json_t *query, json_t **ret)
{
	AUTO(own_free) char *place = NULL;
	const char *vm = target_name(context->target);
	TRY(facts_watch_place(vm, NULL, &place));
	uint64_t since_ns = (uint64_t)json_integer_value(json_object_get(query, "since"));
	struct error *err =
		facts_diff(&(struct facts_source){ .where = place, .vm = vm }, since_ns, ret);
	if (err && error_kind(err) == ERR_NOT_FOUND)
		return error_hint(err,
				  "nobody watched: `glassbox watch %s` or `glassbox serve` "
				  "records changes",
				  vm);
	return err;
}

static struct error *run_query(struct call_context *context, const json_t *query, json_t **ret)
{
	const char *name = json_string_value(json_object_get(query, "call"));
	if (!strcmp(name, "diff"))
		return run_diff(context, query, ret);
	if (!strcmp(name, "status"))
		return status_document(context->target, ret);
	const struct call *call = call_find(name);
	if (!call || !call->run)
		return error_create(ERR_UNSUPPORTED,
				    "this needs `glassbox %s`, which this build does not have",
				    name);
	struct call_context inner = *context;
	inner.args = json_object_get(query, "args");
	TRY(call_check(call, inner.args));
	return call_do(call, &inner, ret);
}

/* --- sentences
 * -------------------------------------------------------------------------------- */

static void print_value(FILE *to, const char *field, const json_t *value)
{
	if (!value || json_is_null(value))
		fputs("unknown", to);
	else if (!strcmp(field, "rss_pages"))
		fprintf(to, "%.1f MB (%lld pages)",
			(double)json_integer_value(value) * GUEST_PAGE_BYTES / (1 << 20),
			(long long)json_integer_value(value));
	else if (!strcmp(field, "start_ns"))
		fprintf(to, "%.3f s after boot", (double)json_integer_value(value) / 1e9);
	else if (json_is_string(value))
		fputs(json_string_value(value), to);
	else
		json_dumpf(value, to, JSON_ENCODE_ANY | JSON_COMPACT);
}

/* "sshd (pid 42)", a module's name, a path, a symbol: what a row is about. */
static void print_subject(FILE *to, const json_t *row)
{
	static const char *const names[] = { "comm",	   "name", "symbol", "path",
					     "mountpoint", "kind", "text" };
	const json_t *pid = json_object_get(row, "pid");
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		const char *text = json_string_value(json_object_get(row, names[i]));
		if (!text)
			continue;
		fputs(text, to);
		if (pid)
			fprintf(to, " (pid %lld)", (long long)json_integer_value(pid));
		return;
	}
	if (pid)
		fprintf(to, "pid %lld", (long long)json_integer_value(pid));
}

/* Prints the part of the understood query that narrows it: " where ...". */
static void print_condition(FILE *to, const json_t *query)
{
	const char *understood = json_string_value(json_object_get(query, "understood"));
	const char *where = strstr(understood, " where ");
	const char *focus = where ? strstr(where, " focus ") : NULL;
	if (where)
		fprintf(to, "%.*s", focus ? (int)(focus - where) : (int)strlen(where), where);
}

static void say_field(FILE *to, const json_t *query, const json_t *document, const json_t *rows)
{
	const char *field = json_string_value(json_object_get(query, "field"));
	const json_t *row = json_is_object(document) ? document : json_array_get(rows, 0);
	const json_t *value = json_object_get(row, field);
	if (!row) {
		fputs("No such process runs.", to);
		return;
	}
	if (json_is_object(document) && (!value || json_is_null(value))) {
		fprintf(to, "%s is not known for this VM.", field);
		return;
	}
	fprintf(to, "%s", field);
	if (!json_is_object(document)) {
		fputs(" of ", to);
		print_subject(to, row);
	}
	fputs(": ", to);
	print_value(to, field, value);
	fputs(".", to);
}

static void say_kind(FILE *to, const json_t *rows)
{
	const json_t *row = json_array_get(rows, 0);
	long long pages = (long long)json_integer_value(json_object_get(row, "pages"));
	const char *kind = json_string_value(json_object_get(row, "kind"));
	const char *meaning = json_string_value(json_object_get(row, "meaning"));
	if (!row)
		fputs("No page is of that kind.", to);
	else
		fprintf(to, "%lld pages, %.1f MB, are %s (%s).", pages,
			(double)pages * GUEST_PAGE_BYTES / (1 << 20), kind,
			meaning ? meaning : "");
}

static void say_extreme(FILE *to, const json_t *query, const json_t *rows)
{
	const json_t *sort = json_object_get(query, "sort"), *row = json_array_get(rows, 0);
	const char *field = json_string_value(json_array_get(sort, 0));
	bool most = !strcmp(json_string_value(json_array_get(sort, 1)), "desc");
	print_subject(to, row);
	fprintf(to, " has the %s %s: ", most ? "largest" : "smallest", field);
	print_value(to, field, json_object_get(row, field));
	fputs(".", to);
}

static void say_rows(FILE *to, const json_t *query, const json_t *rows)
{
	const char *call = json_string_value(json_object_get(query, "call"));
	const char *shape = json_string_value(json_object_get(query, "shape"));
	size_t count = json_array_size(rows);
	bool is_extreme = json_object_get(query, "sort") && count == 1 &&
			  json_integer_value(json_object_get(query, "limit")) == 1;
	if (is_extreme) {
		say_extreme(to, query, rows);
	} else if (!strcmp(shape, "any")) {
		fprintf(to, "%s: %zu %s", count ? "Yes" : "No", count, noun(call, count));
		print_condition(to, query);
		fputc('.', to);
	} else if (count == 1 && !strcmp(call, "ps")) {
		fputs("1 process: ", to);
		print_subject(to, json_array_get(rows, 0));
		fputs(".", to);
	} else {
		fprintf(to, "%zu %s", count, noun(call, count));
		print_condition(to, query);
		fputc('.', to);
	}
}

static char *sentence_of(const json_t *query, const json_t *document, const json_t *rows)
{
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);
	if (!to)
		return NULL;
	const char *call = json_string_value(json_object_get(query, "call"));
	if (json_object_get(query, "field"))
		say_field(to, query, document, rows);
	else if (!strcmp(call, "regions"))
		say_kind(to, rows);
	else if (!strcmp(call, "page"))
		fprintf(to, "That page is %s.",
			json_string_value(json_object_get(document, "kind")));
	else if (json_is_object(document))
		fprintf(to, "Here it is.");
	else
		say_rows(to, query, rows);
	fclose(to);
	return text;
}

/* --- text for people
 * ---------------------------------------------------------------------------- */

static void print_row(FILE *to, const struct call *call, const json_t *row)
{
	fputs(" ", to);
	for (const struct call_column *column = call->columns; column->key; column++) {
		const json_t *value = json_object_get(row, column->key);
		if (column->style == COLUMN_HIDDEN || !value || json_is_null(value))
			continue;
		fputs(" ", to);
		if (json_is_string(value))
			fputs(json_string_value(value), to);
		else
			json_dumpf(value, to, JSON_ENCODE_ANY | JSON_COMPACT);
	}
	fputs("\n", to);
}

static char *text_of(const json_t *query, const char *sentence, const json_t *rows)
{
	char *text = NULL;
	size_t size = 0, i;
	json_t *row;
	FILE *to = open_memstream(&text, &size);
	if (!to)
		return NULL;
	const struct call *call = call_find(json_string_value(json_object_get(query, "call")));
	fprintf(to, "%s\n", sentence);
	json_array_foreach(rows, i, row)
	{
		if (!call || !call->columns)
			break;
		if (i == TEXT_ROWS_MAX) {
			fprintf(to, "  ... and %zu more (--json shows all)\n",
				json_array_size(rows) - i);
			break;
		}
		print_row(to, call, row);
	}
	fprintf(to, "understood as: %s\n",
		json_string_value(json_object_get(query, "understood")));
	fclose(to);
	return text;
}

/* --- the answer
 * ----------------------------------------------------------------------------------- */

/* What the answer is about: as the question says, or the one process that was found (of a
 * kernel thread its stack). New reference, or NULL. */
static json_t *focus_of(const json_t *query, const json_t *rows)
{
	json_t *asked = json_object_get(query, "focus");
	const json_t *row = json_array_get(rows, 0);
	const json_t *pid = json_object_get(row, "pid");
	if (asked)
		return json_incref(asked);
	if (json_array_size(rows) != 1 || !json_is_integer(pid))
		return NULL;
	bool is_kthread = json_is_true(json_object_get(row, "kthread"));
	return json_sprintf("%s:%" JSON_INTEGER_FORMAT, is_kthread ? "stack" : "pid",
			    json_integer_value(pid));
}

/* Where the focus is in memory; empty without one. */
static json_t *ranges_of(struct call_context *context, const json_t *focus)
{
	json_t *ranges = NULL;
	if (focus)
		error_destroy(focus_ranges(context, json_string_value(focus), &ranges));
	return ranges ? ranges : json_array();
}

static struct error *parse_question(struct call_context *context, const char *question,
				    json_t **ret)
{
	AUTO(own_json) json_t *processes = vocabulary(context, "ps");
	AUTO(own_json) json_t *modules = vocabulary(context, "lsmod");
	struct ask_context ask = { .processes = processes,
				   .modules = modules,
				   .now_ns = facts_now() };
	return ask_parse(&ask, question, ret);
}

static struct error *answer_query(struct call_context *context, const char *question,
				  const json_t *query, json_t **ret)
{
	AUTO(own_json) json_t *document = NULL;
	TRY(run_query(context, query, &document));
	AUTO(own_json)
	json_t *rows = json_is_array(document) ? select_rows(document, query)
					       : json_pack("[O]", document);
	AUTO(own_free) char *sentence = sentence_of(query, document, rows);
	AUTO(own_free) char *text = sentence ? text_of(query, sentence, rows) : NULL;
	if (!text)
		return error_create(ERR_MEMORY, "no memory for an answer");
	AUTO(own_json) json_t *focus = focus_of(query, rows);
	*ret = json_pack(
		"{s:s, s:O, s:s, s:O, s:o, s:o, s:O?, s:O, s:s}", "question", question,
		"understood", json_object_get(query, "understood"), "answer", sentence, "rows",
		rows, "columns",
		call_column_names(call_find(json_string_value(json_object_get(query, "call")))),
		"ranges", ranges_of(context, focus), "focus", focus, "query", query, "text",
		text);
	return *ret ? NULL : error_create(ERR_MEMORY, "no memory for an answer");
}

/* The parser first, since it is quick and never guesses; a model, where one is configured, for
 * what the parser does not understand, or when it is asked for. */
struct error *answer_question(struct call_context *context, const char *question, json_t **ret)
{
	const char *by = call_string(context, "by");
	AUTO(own_json) json_t *query = NULL;
	if (by && !strcmp(by, "model"))
		return model_answer(context, question, ret);
	struct error *err = parse_question(context, question, &query);
	if (!by && model_is_configured() && error_catch(&err, ERR_NOT_FOUND))
		return model_answer(context, question, ret);
	return err ? err : answer_query(context, question, query, ret);
}
