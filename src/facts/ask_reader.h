/* The readers of questions: each looks for the words that make its kind of question and builds
 * the query when it is sure. Thread: any. */
#ifndef FACTS_ASK_READER_H
#define FACTS_ASK_READER_H
#include <jansson.h>
#include <stdbool.h>

#include "facts/ask.h"
#include "facts/ask_words.h"

struct ask_reader {
	const struct ask_context *context;
	const struct ask_words *words;
	const char *question;
	json_t *query;
};

/* Looking at the words. Borrowed results. */
const struct ask_word *ask_find(const struct ask_reader *r, enum word_class class);
bool ask_has(const struct ask_reader *r, enum word_class class);
bool ask_about(const struct ask_reader *r, const char *object);
json_int_t ask_wanted_count(const struct ask_reader *r, json_int_t fallback);
const json_t *ask_meant_process(const struct ask_reader *r);
json_int_t ask_meant_pid(const struct ask_reader *r);
bool ask_names_process(const struct ask_reader *r);
const struct ask_word *ask_unknown_name(const struct ask_reader *r);

/* Building the query. */
void ask_set_text(struct ask_reader *r, const char *key, const char *text);
void ask_set_call(struct ask_reader *r, const char *call);
void ask_set_arg(struct ask_reader *r, const char *name, json_t *value);
void ask_add_where(struct ask_reader *r, const char *field, const char *op, json_t *value);
void ask_set_sort(struct ask_reader *r, const char *field, bool descending, json_int_t limit);
void ask_set_focus(struct ask_reader *r, const char *kind, const char *what);
void ask_set_shape(struct ask_reader *r);
void ask_focus_pid(struct ask_reader *r, const char *kind, json_int_t pid);
void ask_where_pid(struct ask_reader *r);

/* The readers; true when the question was of their kind. ORDER ask readers: ask_parse.c. */
bool ask_read_change(struct ask_reader *r);
bool ask_read_sockets(struct ask_reader *r);
bool ask_read_path(struct ask_reader *r);
bool ask_read_address(struct ask_reader *r);
bool ask_read_symbol(struct ask_reader *r);
bool ask_read_process_thing(struct ask_reader *r);
bool ask_read_kind(struct ask_reader *r);
bool ask_read_learning(struct ask_reader *r);
bool ask_read_machine(struct ask_reader *r);
bool ask_read_lists(struct ask_reader *r);
bool ask_read_processes(struct ask_reader *r);
#endif
