/* From words to a query. Each reader below looks for the words that make its kind of question;
 * the first that is sure builds the query. Order matters: what is more particular comes first.
 *
 *   1 what changed            2 ports and sockets      3 a path            4 an address
 *   5 a thing of a process    6 kinds of pages         7 learning          8 the machine
 *   9 kernel lists            10 processes
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/own.h"
#include "facts/ask.h"
#include "facts/ask_reader.h"
#include "facts/facts.h"

OWN_DECLARE(own_json, json_t *, json_decref)

const char *const ask_examples[] = {
	"What processes are running?",
	"Which process uses the most memory?",
	"Show me the kernel stack of sshd",
	"Page tables of PID 42",
	"Who has /etc/passwd open?",
	"Is anything listening on port 22?",
	"What changed in the last minute?",
	"Highlight kernel memory allocations",
	"How much memory is free?",
	"Show kernel errors",
	"Where is the page cache of busybox?",
	"What is at 0xffffffff81000000?",
	NULL,
};

/* " since 10:02:03" of a diff, in the host's time zone. */
static void describe_since(const struct ask_reader *r, FILE *to)
{
	char text[32];
	struct tm moment;
	const json_t *since = json_object_get(r->query, "since");
	time_t seconds = (time_t)((uint64_t)json_integer_value(since) / 1000000000u);
	if (since && localtime_r(&seconds, &moment) &&
	    strftime(text, sizeof(text), "%F %T", &moment))
		fprintf(to, " since %s", text);
}

/* "ps where comm has ssh, sorted by rss_pages desc, 5 rows". */
static void describe(struct ask_reader *r)
{
	char *text = NULL;
	size_t size = 0, i;
	json_t *condition, *value;
	const char *key;
	FILE *to = open_memstream(&text, &size);
	if (!to)
		return;
	const char *shape = json_string_value(json_object_get(r->query, "shape"));
	if (!strcmp(shape, "one"))
		fprintf(to, "%s of ", json_string_value(json_object_get(r->query, "field")));
	else if (strcmp(shape, "list"))
		fprintf(to, "%s ", shape);
	fputs(json_string_value(json_object_get(r->query, "call")), to);
	describe_since(r, to);
	json_object_foreach(json_object_get(r->query, "args"), key, value)
	{
		fprintf(to, " %s ", key);
		if (json_is_string(value))
			fputs(json_string_value(value), to);
		else
			json_dumpf(value, to, JSON_ENCODE_ANY);
	}
	json_array_foreach(json_object_get(r->query, "where"), i, condition)
	{
		fprintf(to, "%s %s %s ", i ? " and" : " where",
			json_string_value(json_array_get(condition, 0)),
			json_string_value(json_array_get(condition, 1)));
		json_dumpf(json_array_get(condition, 2), to,
			   JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
	}
	const json_t *sort = json_object_get(r->query, "sort"),
		     *limit = json_object_get(r->query, "limit");
	if (sort)
		fprintf(to, " by %s %s", json_string_value(json_array_get(sort, 0)),
			json_string_value(json_array_get(sort, 1)));
	if (limit)
		fprintf(to, " limit %lld", (long long)json_integer_value(limit));
	if (json_object_get(r->query, "focus"))
		fprintf(to, " focus %s", json_string_value(json_object_get(r->query, "focus")));
	fclose(to);
	ask_set_text(r, "understood", text);
	free(text);
}

/* Examples that share words with the question, or the first ones. */
static struct error *not_understood(const char *question)
{
	const char *best = ask_examples[0], *second = ask_examples[1];
	size_t best_score = 0;
	for (const char *const *example = ask_examples; *example; example++) {
		size_t score = 0;
		for (const char *at = question; *at;
		     at += strcspn(at, " ?"), at += strspn(at, " ?")) {
			char word[32];
			snprintf(word, sizeof(word), "%.*s", (int)strcspn(at, " ?"), at);
			if (strlen(word) > 3 && strcasestr(*example, word))
				score++;
		}
		if (score > best_score) {
			second = best;
			best = *example;
			best_score = score;
		}
	}
	return error_hint(error_create(ERR_NOT_FOUND, "I do not understand '%.200s'", question),
			  "try: \"%s\" or \"%s\"", best, second);
}

static bool read_question(struct ask_reader *r)
{
	static bool (*const readers[])(struct ask_reader *) = {
		ask_read_change,  ask_read_path,  ask_read_address,  ask_read_process_thing,
		ask_read_sockets, ask_read_kind,  ask_read_learning, ask_read_machine,
		ask_read_symbol,  ask_read_lists, ask_read_processes
	};
	for (size_t i = 0; i < sizeof(readers) / sizeof(*readers); i++)
		if (readers[i](r))
			return true;
	return false;
}

/* Names a process that does not run here: an answer would be about something else. */
static struct error *check_subject(const struct ask_reader *r)
{
	static const char *const needs_process[] = { "stack", "env", "maps", "libraries",
						     "args" };
	for (size_t i = 0; i < sizeof(needs_process) / sizeof(*needs_process); i++) {
		if (!ask_about(r, needs_process[i]) || ask_has(r, W_HIGHLIGHT))
			continue;
		const struct ask_word *name = ask_unknown_name(r);
		if (name)
			return error_hint(
				error_create(ERR_NOT_FOUND, "no process '%s' runs", name->text),
				"`glassbox ps` lists them");
		return error_hint(error_create(ERR_NOT_FOUND, "of which process?"),
				  "say \"%s of PID 1\"", needs_process[i]);
	}
	return NULL;
}

/* An order is not a question about the thing that it names. */
static struct error *check_order(const struct ask_words *words)
{
	size_t i = 0;
	while (i < words->count && words->items[i].class == W_NOISE)
		i++;
	if (i == words->count || words->items[i].class != W_ORDER)
		return NULL;
	return error_hint(error_create(ERR_NOT_FOUND, "ask only looks; it cannot %s anything",
				       words->items[i].text),
			  "`glassbox help` lists the commands that change a VM");
}

struct error *ask_parse(const struct ask_context *context, const char *question, json_t **ret)
{
	AUTO(ask_words_deinit) struct ask_words words = { 0 };
	AUTO(own_json) json_t *query = json_object();
	TRY(ask_words_split(context, question, &words));
	struct ask_reader r = {
		.context = context, .words = &words, .question = question, .query = query
	};
	TRY(check_order(&words));
	if (!read_question(&r)) {
		TRY(check_subject(&r));
		return not_understood(question);
	}
	describe(&r);
	*ret = TAKE(query);
	return NULL;
}
