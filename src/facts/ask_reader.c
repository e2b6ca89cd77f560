#include "facts/ask_reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct ask_word *ask_find(const struct ask_reader *r, enum word_class class)
{
	return ask_words_find(r->words, class);
}

bool ask_has(const struct ask_reader *r, enum word_class class)
{
	return ask_find(r, class) != NULL;
}

bool ask_about(const struct ask_reader *r, const char *object)
{
	return ask_words_has(r->words, W_OBJECT, object);
}

void ask_set_text(struct ask_reader *r, const char *key, const char *text)
{
	json_object_set_new(r->query, key, json_string(text));
}

void ask_set_call(struct ask_reader *r, const char *call)
{
	ask_set_text(r, "call", call);
	if (!json_object_get(r->query, "args"))
		json_object_set_new(r->query, "args", json_object());
}

void ask_set_arg(struct ask_reader *r, const char *name, json_t *value)
{
	json_object_set_new(json_object_get(r->query, "args"), name, value);
}

void ask_add_where(struct ask_reader *r, const char *field, const char *op, json_t *value)
{
	json_t *where = json_object_get(r->query, "where");
	if (!where) {
		where = json_array();
		json_object_set_new(r->query, "where", where);
	}
	json_array_append_new(where, json_pack("[s,s,o]", field, op, value));
}

void ask_set_sort(struct ask_reader *r, const char *field, bool descending, json_int_t limit)
{
	json_object_set_new(r->query, "sort",
			    json_pack("[s,s]", field, descending ? "desc" : "asc"));
	if (limit)
		json_object_set_new(r->query, "limit", json_integer(limit));
}

void ask_set_focus(struct ask_reader *r, const char *kind, const char *what)
{
	json_object_set_new(r->query, "focus", json_sprintf("%s:%s", kind, what));
}

/* The shape that the question's verb asks for. */
void ask_set_shape(struct ask_reader *r)
{
	bool asks_whether = r->words->count && r->words->items[0].class == W_ANY;
	ask_set_text(r, "shape", ask_has(r, W_COUNT) ? "count" : asks_whether ? "any" : "list");
}

/* Number behind "top 5" or "5 largest"; otherwise fallback. */
json_int_t ask_wanted_count(const struct ask_reader *r, json_int_t fallback)
{
	const struct ask_word *number = ask_find(r, W_NUMBER);
	bool is_compared = ask_has(r, W_MORE) || ask_has(r, W_LESS);
	return number && !is_compared && number->number <= 1000 ? (json_int_t)number->number
								: fallback;
}

/* Row of ps that the question means, by pid or by name; NULL when it names none. */
const json_t *ask_meant_process(const struct ask_reader *r)
{
	const struct ask_word *pid = ask_find(r, W_PID), *name = ask_find(r, W_PROCESS);
	size_t i;
	json_t *row;
	json_array_foreach(r->context->processes, i, row)
	{
		json_int_t row_pid = json_integer_value(json_object_get(row, "pid"));
		const char *comm = json_string_value(json_object_get(row, "comm"));
		if (pid && row_pid == (json_int_t)pid->number)
			return row;
		if (!pid && name && comm && !strcasecmp(comm, name->text))
			return row;
	}
	return NULL;
}

/* Pid that the question means; -1 when it names no process. A pid is taken as written. */
json_int_t ask_meant_pid(const struct ask_reader *r)
{
	const struct ask_word *pid = ask_find(r, W_PID);
	if (pid)
		return (json_int_t)pid->number;
	const json_t *row = ask_meant_process(r);
	return row ? json_integer_value(json_object_get(row, "pid")) : -1;
}

bool ask_names_process(const struct ask_reader *r)
{
	return ask_has(r, W_PID) || ask_has(r, W_PROCESS);
}

void ask_focus_pid(struct ask_reader *r, const char *kind, json_int_t pid)
{
	char text[24];
	snprintf(text, sizeof(text), "%lld", (long long)pid);
	ask_set_focus(r, kind, text);
}

void ask_where_pid(struct ask_reader *r)
{
	const struct ask_word *name = ask_find(r, W_PROCESS);
	json_int_t pid = ask_meant_pid(r);
	if (pid >= 0)
		ask_add_where(r, "pid", "=", json_integer(pid));
	else if (name)
		ask_add_where(r, "comm", "=", json_string(name->text));
}

/* First word that is a name of nothing known: a symbol, a type. */
const struct ask_word *ask_unknown_name(const struct ask_reader *r)
{
	const struct ask_word *word = ask_find(r, W_QUOTED);
	if (!word)
		word = ask_find(r, W_UNKNOWN);
	return word ? word : ask_find(r, W_MODULE);
}
