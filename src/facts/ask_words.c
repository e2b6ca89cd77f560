#include "facts/ask_words.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/vec.h"
#include "facts/ask.h"
#include "facts/ask_lexicon.h"

enum { MAX_WORDS = 64, MAX_WORD_CHARS = 256, MAX_PHRASE_WORDS = 4 };

/* A question cut at spaces; quoted text stays together. */
struct raw_words {
	char *items[MAX_WORDS];
	bool quoted[MAX_WORDS];
	size_t count;
};

static void raw_deinit(struct raw_words *raw)
{
	for (size_t i = 0; i < raw->count; i++)
		free(raw->items[i]);
}

void ask_words_deinit(struct ask_words *words)
{
	for (size_t i = 0; i < words->count; i++)
		free(words->items[i].text);
	VEC_FREE(words);
}

const struct ask_word *ask_words_find(const struct ask_words *words, enum word_class class)
{
	for (size_t i = 0; i < words->count; i++)
		if (words->items[i].class == class)
			return &words->items[i];
	return NULL;
}

bool ask_words_has(const struct ask_words *words, enum word_class class, const char *value)
{
	for (size_t i = 0; i < words->count; i++)
		if (words->items[i].class == class &&
		    (!value || !strcmp(words->items[i].value, value)))
			return true;
	return false;
}

/* Cuts off punctuation at the end; a path keeps its case, other words become lower case. */
static char *clean_word(const char *from, size_t length)
{
	while (length && strchr("?!.,;:", from[length - 1]))
		length--;
	if (length > 2 && !strncmp(from + length - 2, "'s", 2) &&
	    strncasecmp(from, "what", 4) && strncasecmp(from, "where", 5))
		length -= 2;
	char *word = strndup(from, length);
	for (char *at = word; at && *at && *word != '/'; at++)
		*at = (char)tolower((unsigned char)*at);
	return word;
}

static struct error *split_raw(const char *question, struct raw_words *raw)
{
	for (const char *at = question; *at;) {
		at += strspn(at, " \t\n");
		if (!*at)
			break;
		bool quoted = *at == '"' || *at == '`';
		const char *begin = quoted ? at + 1 : at;
		const char quote[] = { *at, '\0' };
		size_t length = strcspn(begin, quoted ? quote : " \t\n");
		if (raw->count >= MAX_WORDS || length > MAX_WORD_CHARS)
			return error_create(ERR_USAGE, "the question is too long");
		char *word = quoted ? strndup(begin, length) : clean_word(begin, length);
		if (!word)
			return error_create(ERR_MEMORY, "no memory for a question");
		raw->quoted[raw->count] = quoted;
		raw->items[raw->count++] = word;
		at = begin + length + (quoted && begin[length]);
	}
	return NULL;
}

/* Edit distance with swaps of neighbours, given up above limit. */
static unsigned typing_errors(const char *a, const char *b, unsigned limit)
{
	size_t n = strlen(a), m = strlen(b);
	unsigned rows[3][MAX_WORD_CHARS + 2];
	if (n > 40 || m > 40 || (n > m ? n - m : m - n) > limit)
		return limit + 1;
	for (size_t j = 0; j <= m; j++)
		rows[0][j] = (unsigned)j;
	for (size_t i = 1; i <= n; i++) {
		unsigned *now = rows[i % 3], *before = rows[(i - 1) % 3],
			 *earlier = rows[(i + 1) % 3];
		now[0] = (unsigned)i;
		for (size_t j = 1; j <= m; j++) {
			unsigned best = before[j - 1] + (a[i - 1] != b[j - 1]);
			best = before[j] + 1 < best ? before[j] + 1 : best;
			best = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    earlier[j - 2] + 1 < best)
				best = earlier[j - 2] + 1;
			now[j] = best;
		}
	}
	return rows[n % 3][m];
}

/* Longest phrase of the lexicon that begins at word i; its length in words through n_ret. */
static const struct lexeme *find_phrase(const struct raw_words *raw, size_t i, size_t *n_ret)
{
	char phrase[MAX_PHRASE_WORDS * (MAX_WORD_CHARS + 1) + 1];
	const struct lexeme *found = NULL;
	size_t length = 0;
	for (size_t n = 1; n <= MAX_PHRASE_WORDS && i + n <= raw->count; n++) {
		if (raw->quoted[i + n - 1])
			break;
		length += (size_t)snprintf(phrase + length, sizeof(phrase) - length, "%s%s",
					   n > 1 ? " " : "", raw->items[i + n - 1]);
		for (size_t k = 0; k < sizeof(ask_lexicon) / sizeof(*ask_lexicon); k++) {
			if (!strcmp(ask_lexicon[k].phrase, phrase)) {
				found = &ask_lexicon[k];
				*n_ret = n;
			}
		}
	}
	return found;
}

static const struct lexeme *find_mistyped(const char *word)
{
	size_t length = strlen(word);
	unsigned best = length >= 9 ? 2 : 1;
	const struct lexeme *found = NULL;
	if (length < 5)
		return NULL;
	for (size_t k = 0; k < sizeof(ask_lexicon) / sizeof(*ask_lexicon); k++) {
		if (strchr(ask_lexicon[k].phrase, ' ') || strlen(ask_lexicon[k].phrase) < 4)
			continue;
		unsigned errors = typing_errors(word, ask_lexicon[k].phrase, best);
		if (errors < best || (errors == best && !found)) {
			best = errors;
			found = &ask_lexicon[k];
		}
	}
	return found;
}

static bool is_listed(const json_t *rows, const char *field, const char *word)
{
	size_t i;
	json_t *row;
	json_array_foreach(rows, i, row)
	{
		const char *name = json_string_value(json_object_get(row, field));
		if (name && !strcasecmp(name, word))
			return true;
	}
	return false;
}

/* "12", "10mb", "0x1f"; false when it is not a number. */
static bool parse_number(const char *text, struct ask_word *word)
{
	static const struct {
		const char *unit;
		uint64_t factor;
	} units[] = { { "", 1 },	  { "k", 1 << 10 }, { "kb", 1 << 10 },
		      { "kib", 1 << 10 }, { "m", 1 << 20 }, { "mb", 1 << 20 },
		      { "mib", 1 << 20 }, { "g", 1 << 30 }, { "gb", 1 << 30 },
		      { "gib", 1 << 30 } };
	char *end;
	if (!isdigit((unsigned char)*text))
		return false;
	bool is_hex = !strncmp(text, "0x", 2);
	word->number = strtoull(text, &end, is_hex ? 16 : 10);
	word->class = is_hex ? W_ADDRESS : W_NUMBER;
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
		if (!strcmp(end, units[i].unit) &&
		    !__builtin_mul_overflow(word->number, units[i].factor, &word->number))
			return true;
	return false;
}

static bool parse_unit_word(const char *text, struct ask_word *number)
{
	static const char *const words[] = { "kb",	  "kib", "kilobytes", "mb",	  "mib",
					     "megabytes", "gb",	 "gib",	      "gigabytes" };
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (!strcmp(text, words[i])) {
			number->number <<= 10 * (i / 3 + 1);
			return true;
		}
	return false;
}

/* A number takes its meaning from the word before it: "pid 42", "port 22", "uid 0". */
static void name_number(const struct raw_words *raw, size_t i, struct ask_word *word)
{
	const char *before = i ? raw->items[i - 1] : "";
	if (word->class != W_NUMBER)
		return;
	if (!strcmp(before, "pid") || !strcmp(before, "process") || !strcmp(before, "task"))
		word->class = W_PID;
	else if (!strcmp(before, "port") || !strcmp(before, "ports"))
		word->class = W_PORT;
	else if (!strcmp(before, "uid") || !strcmp(before, "user"))
		word->class = W_USER;
}

static bool classify_special(const struct ask_context *context, const struct raw_words *raw,
			     size_t i, struct ask_word *word)
{
	const char *text = raw->items[i];
	if (raw->quoted[i])
		word->class = W_QUOTED;
	else if (*text == '/' && text[1])
		word->class = W_PATH;
	else if (*text == ':' && parse_number(text + 1, word))
		word->class = W_PORT;
	else if (parse_number(text, word))
		name_number(raw, i, word);
	else if (!strcmp(text, "pid") || !strcmp(text, "port"))
		word->class = W_NOISE;
	else if (!strcmp(text, "root") || !strcmp(text, "root's"))
		word->class = W_USER;
	else if (is_listed(context->processes, "comm", text))
		word->class = W_PROCESS;
	else if (is_listed(context->modules, "name", text))
		word->class = W_MODULE;
	else
		return false;
	return true;
}

static struct error *classify(const struct ask_context *context, const struct raw_words *raw,
			      size_t i, struct ask_words *words, size_t *n_ret)
{
	struct ask_word word = { .class = W_UNKNOWN, .value = "" };
	*n_ret = 1;
	struct ask_word *last = words->count ? &words->items[words->count - 1] : NULL;
	if (last && last->class == W_NUMBER && parse_unit_word(raw->items[i], last))
		return NULL;
	const struct lexeme *lexeme = find_phrase(raw, i, n_ret);
	bool is_name = is_listed(context->processes, "comm", raw->items[i]) && *n_ret == 1 &&
		       (!lexeme || lexeme->class == W_NOISE || lexeme->class == W_OBJECT);
	if (is_name)
		lexeme = NULL;
	if (!lexeme && !classify_special(context, raw, i, &word)) {
		lexeme = find_mistyped(raw->items[i]);
		word.corrected = lexeme;
	}
	if (lexeme) {
		word.class = lexeme->class;
		word.value = lexeme->value;
	}
	word.text = strdup(raw->items[i]);
	if (!word.text || !VEC_PUSH(words, word)) {
		free(word.text);
		return error_create(ERR_MEMORY, "no memory for a question");
	}
	return NULL;
}

struct error *ask_words_split(const struct ask_context *context, const char *question,
			      struct ask_words *ret)
{
	AUTO(raw_deinit) struct raw_words raw = { 0 };
	TRY(split_raw(question, &raw));
	size_t n;
	for (size_t i = 0; i < raw.count; i += n)
		TRY(classify(context, &raw, i, ret, &n));
	return NULL;
}
