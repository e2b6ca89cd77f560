/* Plain questions. A question becomes words of known classes (ask_words.c, ask_lexicon.h), the
 * words become one query (ask_parse.c), the query selects rows of one call's document
 * (select.h). No model is needed, and nothing is guessed: what is not understood gives
 * suggestions.
 *
 * A query is a JSON object:
 *   call    "ps": the call whose rows answer the question
 *   args    its arguments: {"pid": 42}
 *   where   [[field, op, value], ...] all must hold; op: = != > < >= <= has ends
 *   sort    [field, "asc" or "desc"]; limit N
 *   shape   "list", "count", "one", "any", "show", "text": what kind of answer is wanted
 *   field   for "one": the field that was asked for
 *   focus   what to light up: "pid:42", "kind:slab", "pagetables:42", "stack:42", "file:/x",
 * "address:0x..." since   nanoseconds since 1970, for call "diff" understood   the query in
 * words, for the person to check Thread: any. */
#ifndef FACTS_ASK_H
#define FACTS_ASK_H
#include <jansson.h>
#include <stdint.h>
struct error;

struct ask_context {
	const json_t *processes; /* rows of ps: names and pids that may be meant; NULL: none */
	const json_t *modules; /* rows of lsmod, or NULL */
	uint64_t now_ns;
};

/* Understands a question. Caller owns *ret. Fails with ERR_NOT_FOUND and suggestions in the
 * hint. */
struct error *ask_parse(const struct ask_context *context, const char *question, json_t **ret);

/* A list of question forms that are understood, for help and completion; ends with NULL. */
extern const char *const ask_examples[];
#endif
