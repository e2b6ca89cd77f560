/* Splits a question into words of known classes. Thread: any. */
#ifndef FACTS_ASK_WORDS_H
#define FACTS_ASK_WORDS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
struct ask_context;
struct error;

enum word_class {
	W_NOISE, /* the, please, me, ... */
	W_OBJECT, /* value: "processes", "files", ... */
	W_KIND, /* value: a page kind, "slab" */
	W_SHOW,
	W_HIGHLIGHT,
	W_COUNT,
	W_WHO,
	W_WHERE,
	W_ANY,
	W_HOW_MUCH,
	W_MOST,
	W_LEAST,
	W_OLDEST,
	W_NEWEST,
	W_MORE,
	W_LESS, /* more than, under */
	W_ATTRIBUTE, /* value: a field that can be compared or asked for, "rss_pages" */
	W_STATE, /* value: process state letter, or "LISTEN" */
	W_PROTOCOL, /* value: tcp, udp, unix, ... */
	W_RELATION, /* value: "child", "parent", "open", "map", "listen" */
	W_LEVEL, /* value: least severe dmesg level, a digit */
	W_CHANGE, /* value: "", "began", "ended" */
	W_ORDER, /* delete, kill, ...: ask only looks */
	W_SINCE, /* in the last, since: a moment follows */
	W_NUMBER, /* number, with the unit multiplied in */
	W_PID, /* number: an explicit pid */
	W_PORT, /* number */
	W_ADDRESS, /* number, 0x... */
	W_PATH, /* text: /etc/passwd */
	W_PROCESS, /* text: a process name that runs here */
	W_MODULE, /* text: a module that is loaded here */
	W_USER, /* number: uid */
	W_QUOTED, /* text in quotes */
	W_UNKNOWN, /* text */
	N_WORD_CLASSES
};

struct ask_word {
	enum word_class class;
	const char *value; /* of the lexicon; static */
	char *text; /* as written, lower case except for paths and quotes; owned */
	uint64_t number;
	bool corrected; /* a typing error was mended */
};

struct ask_words {
	struct ask_word *items;
	size_t count, capacity;
};

struct error *ask_words_split(const struct ask_context *context, const char *question,
			      struct ask_words *ret);
void ask_words_deinit(struct ask_words *words);

/* First word of a class at or after from, or NULL. */
const struct ask_word *ask_words_find(const struct ask_words *words, enum word_class class);
bool ask_words_has(const struct ask_words *words, enum word_class class, const char *value);
#endif
