/* A compiled search pattern: text, bytes with wildcards, UTF-16 text, or a regular expression.
 * Finds in plain memory at the speed the memory is read. Thread: one at a time per pattern. */
#ifndef GUEST_SEARCH_PATTERN_H
#define GUEST_SEARCH_PATTERN_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/own.h"
struct error;
struct search_pattern;

/* ORDER search syntaxes */
enum search_syntax {
	SEARCH_TEXT, /* the bytes of the text as they are */
	SEARCH_HEX, /* "4d5a ?? 90": pairs of digits, spaces allowed, ?? is any byte */
	SEARCH_UTF16, /* the text in UTF-16, little-endian */
	SEARCH_REGEX, /* PCRE2 over bytes; a match is at most 4096 bytes long */
};

struct search_pattern_params {
	const char *text;
	enum search_syntax syntax;
	bool ignore_case; /* ASCII letters only */
};

/* Caller owns *ret. Fails: ERR_USAGE with what is wrong and where. */
struct error *search_pattern_create(const struct search_pattern_params *params,
				    struct search_pattern **ret);
void search_pattern_destroy(struct search_pattern *pattern);
OWN_DECLARE(own_search_pattern, struct search_pattern *, search_pattern_destroy)

/* Most bytes a match can have: how far a search must look past a border. */
size_t search_pattern_reach(const struct search_pattern *pattern);

enum search_outcome { SEARCH_NONE, SEARCH_FOUND, SEARCH_TOO_HARD };

/* First match that starts in [from, length_bytes). */
enum search_outcome search_pattern_find(struct search_pattern *pattern, const uint8_t *bytes,
					size_t length_bytes, size_t from, size_t *start_ret,
					size_t *match_bytes_ret);
#endif
