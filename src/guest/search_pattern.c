#include "guest/search_pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <ctype.h>
#include <pcre2.h>
#include <string.h>

#include "base/error.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

/* A literal is found by its two rarest bytes: 32 positions at a time are compared with both,
 * and only where both fit are all bytes compared.
 *
 *   bytes   .. G L A S S B O X ..        anchors: 'X' at +7, 'B' at +5
 *   load at +5 and +7, compare, AND      a bit is left where "B?X" stands
 *
 * Each byte has a mask of the bits that count: 0 for a wildcard, 0xdf for a letter when case is
 * ignored (then the full comparison tells letters from their neighbours). */
#define LITERAL_MAX_BYTES 4096u
#define REGEX_REACH_BYTES 4096u
#define REGEX_WINDOW_BYTES (256u << 10)

struct literal {
	uint8_t bytes[LITERAL_MAX_BYTES], mask[LITERAL_MAX_BYTES];
	size_t length;
	size_t anchors[2];
	bool ignore_case, plain; /* plain: all bits of all bytes count */
};

struct search_pattern {
	pcre2_code *code; /* NULL: a literal */
	pcre2_match_data *match;
	pcre2_match_context *context;
	struct literal literal;
};

/* How common a byte is in memory, roughly: the less, the better an anchor. */
static unsigned commonness(uint8_t byte)
{
	if (byte == 0)
		return 100;
	if (byte == 0xff)
		return 60;
	if (byte == ' ' || byte == 'e' || byte == 't' || byte == 'a' || byte == '_')
		return 30;
	if (byte == 0x48 || byte == 0x8b || byte == 0x89 || byte == 0x0f || byte < 16)
		return 25; /* x86 code and small numbers */
	if (islower(byte))
		return 20;
	return isprint(byte) ? 8 : 6;
}

static unsigned anchor_cost(const struct literal *literal, size_t i)
{
	return literal->mask[i]
		       ? commonness(literal->bytes[i]) + (literal->mask[i] == 0xff ? 0 : 5)
		       : 1000;
}

static void choose_anchors(struct literal *literal)
{
	size_t best = 0, second;
	for (size_t i = 1; i < literal->length; i++)
		if (anchor_cost(literal, i) < anchor_cost(literal, best))
			best = i;
	second = best ? 0 : literal->length - 1;
	for (size_t i = 0; i < literal->length; i++)
		if (i != best && anchor_cost(literal, i) < anchor_cost(literal, second))
			second = i;
	literal->anchors[0] = best;
	literal->anchors[1] = second;
}

static bool literal_fits(const struct literal *literal, const uint8_t *at)
{
	if (literal->plain)
		return !memcmp(at, literal->bytes, literal->length);
	for (size_t i = 0; i < literal->length; i++) {
		uint8_t have = at[i], want = literal->bytes[i];
		if (literal->mask[i] == 0xdf ? tolower(have) != tolower(want)
					     : (have & literal->mask[i]) != want)
			return false;
	}
	return true;
}

static const uint8_t *find_plain(const struct literal *literal, const uint8_t *at,
				 const uint8_t *last)
{
	size_t anchor = literal->anchors[0];
	uint8_t mask = literal->mask[anchor];
	uint8_t want = (uint8_t)(literal->bytes[anchor] & mask);
	for (; at <= last; at++)
		if ((at[anchor] & mask) == want && literal_fits(literal, at))
			return at;
	return NULL;
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static const uint8_t *find_avx2(const struct literal *literal,
								const uint8_t *at,
								const uint8_t *last)
{
	size_t a = literal->anchors[0], b = literal->anchors[1];
	const __m256i mask_a = _mm256_set1_epi8((char)literal->mask[a]);
	const __m256i mask_b = _mm256_set1_epi8((char)literal->mask[b]);
	const __m256i want_a = _mm256_set1_epi8((char)(literal->bytes[a] & literal->mask[a]));
	const __m256i want_b = _mm256_set1_epi8((char)(literal->bytes[b] & literal->mask[b]));
#define HIT(offset)                                                                       \
	_mm256_and_si256(                                                                 \
		_mm256_cmpeq_epi8(                                                        \
			_mm256_and_si256(                                                 \
				_mm256_loadu_si256((const __m256i *)(at + a + (offset))), \
				mask_a),                                                  \
			want_a),                                                          \
		_mm256_cmpeq_epi8(                                                        \
			_mm256_and_si256(                                                 \
				_mm256_loadu_si256((const __m256i *)(at + b + (offset))), \
				mask_b),                                                  \
			want_b))
	while (last - at >= 127) {
		__m256i h0 = HIT(0), h1 = HIT(32), h2 = HIT(64), h3 = HIT(96);
		__m256i any = _mm256_or_si256(_mm256_or_si256(h0, h1), _mm256_or_si256(h2, h3));
		if (_mm256_testz_si256(any, any)) {
			at += 128;
			continue;
		}
		uint64_t bits[2] = {
			(uint32_t)_mm256_movemask_epi8(h0) |
				(uint64_t)(uint32_t)_mm256_movemask_epi8(h1) << 32,
			(uint32_t)_mm256_movemask_epi8(h2) |
				(uint64_t)(uint32_t)_mm256_movemask_epi8(h3) << 32,
		};
		for (int half = 0; half < 2; half++)
			for (; bits[half]; bits[half] &= bits[half] - 1) {
				const uint8_t *start =
					at + half * 64 + __builtin_ctzll(bits[half]);
				if (literal_fits(literal, start))
					return start;
			}
		at += 128;
	}
#undef HIT
	return find_plain(literal, at, last);
}
#endif

static const uint8_t *find_literal(const struct literal *literal, const uint8_t *at,
				   const uint8_t *last)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx2"))
		return find_avx2(literal, at, last);
#endif
	return find_plain(literal, at, last);
}

static struct error *add_byte(struct literal *literal, uint8_t byte, uint8_t mask)
{
	if (literal->length == LITERAL_MAX_BYTES)
		return error_create(ERR_USAGE, "the pattern is longer than %u bytes",
				    LITERAL_MAX_BYTES);
	if (literal->ignore_case && mask == 0xff && isalpha(byte))
		mask = 0xdf;
	literal->bytes[literal->length] = byte;
	literal->mask[literal->length++] = mask;
	literal->plain = literal->plain && mask == 0xff;
	return NULL;
}

static struct error *parse_text(const char *text, struct literal *literal)
{
	for (; *text; text++)
		TRY(add_byte(literal, (uint8_t)*text, 0xff));
	return NULL;
}

static struct error *parse_hex(const char *text, struct literal *literal)
{
	literal->ignore_case = false;
	for (const char *at = text; *at;) {
		if (isspace((unsigned char)*at)) {
			at++;
			continue;
		}
		bool any = at[0] == '?' && at[1] == '?';
		char pair[3] = { at[0], at[1], 0 };
		if (!any &&
		    (!isxdigit((unsigned char)pair[0]) || !isxdigit((unsigned char)pair[1])))
			return error_hint(
				error_create(ERR_USAGE, "no pair of hex digits at '%.8s'", at),
				"write bytes as \"7f 45 4c 46 ?? 01\"");
		TRY(add_byte(literal, any ? 0 : (uint8_t)strtoul(pair, NULL, 16),
			     any ? 0 : 0xff));
		at += 2;
	}
	for (size_t i = 0; i < literal->length; i++)
		if (literal->mask[i])
			return NULL;
	return error_create(ERR_USAGE, "the pattern has no byte that is given");
}

/* Next code point of UTF-8 text; malformed bytes stand for themselves. */
static uint32_t next_code_point(const char **text)
{
	const uint8_t *at = (const uint8_t *)*text;
	unsigned extra = at[0] >= 0xf0 ? 3 : at[0] >= 0xe0 ? 2 : at[0] >= 0xc0 ? 1 : 0;
	uint32_t code = extra ? at[0] & (0x3fu >> extra) : at[0];
	for (unsigned i = 1; i <= extra; i++) {
		if ((at[i] & 0xc0) != 0x80) {
			*text += 1;
			return at[0];
		}
		code = code << 6 | (at[i] & 0x3f);
	}
	*text += extra + 1;
	return code;
}

static struct error *add_unit(struct literal *literal, uint32_t unit)
{
	TRY(add_byte(literal, (uint8_t)unit, 0xff));
	return add_byte(literal, (uint8_t)(unit >> 8), 0xff);
}

static struct error *parse_utf16(const char *text, struct literal *literal)
{
	while (*text) {
		uint32_t code = next_code_point(&text);
		if (code < 0x10000) {
			TRY(add_unit(literal, code));
			continue;
		}
		TRY(add_unit(literal, 0xd800 + ((code - 0x10000) >> 10 & 0x3ff)));
		TRY(add_unit(literal, 0xdc00 + (code & 0x3ff)));
	}
	return NULL;
}

static struct error *compile_regex(const struct search_pattern_params *params,
				   struct search_pattern *pattern)
{
	int number = 0;
	PCRE2_SIZE offset = 0;
	uint32_t options = PCRE2_DOTALL | (params->ignore_case ? PCRE2_CASELESS : 0);
	pattern->code = pcre2_compile((PCRE2_SPTR)params->text, PCRE2_ZERO_TERMINATED, options,
				      &number, &offset, NULL);
	if (!pattern->code) {
		char words[128] = "";
		pcre2_get_error_message(number, (PCRE2_UCHAR *)words, sizeof(words));
		return error_create(ERR_USAGE, "regular expression, at character %zu: %s",
				    offset, words);
	}
	pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE); /* slower without, as right */
	pattern->match = pcre2_match_data_create_from_pattern(pattern->code, NULL);
	pattern->context = pcre2_match_context_create(NULL);
	if (!pattern->match || !pattern->context)
		return error_create(ERR_MEMORY, "no memory for a regular expression");
	pcre2_set_match_limit(pattern->context, 1000000);
	return NULL;
}

static struct error *compile(const struct search_pattern_params *params,
			     struct search_pattern *pattern)
{
	struct literal *literal = &pattern->literal;
	if (!*params->text)
		return error_create(ERR_USAGE, "the pattern is empty");
	if (params->syntax == SEARCH_REGEX)
		return compile_regex(params, pattern);
	literal->ignore_case = params->ignore_case;
	literal->plain = true;
	if (params->syntax == SEARCH_HEX)
		TRY(parse_hex(params->text, literal));
	else if (params->syntax == SEARCH_UTF16)
		TRY(parse_utf16(params->text, literal));
	else
		TRY(parse_text(params->text, literal));
	choose_anchors(literal);
	return NULL;
}

struct error *search_pattern_create(const struct search_pattern_params *params,
				    struct search_pattern **ret)
{
	AUTO(own_search_pattern) struct search_pattern *pattern = NULL;
	TRY(error_alloc(1, sizeof(*pattern), &pattern));
	TRY(compile(params, pattern));
	*ret = TAKE(pattern);
	return NULL;
}

void search_pattern_destroy(struct search_pattern *pattern)
{
	if (!pattern)
		return;
	pcre2_match_data_free(pattern->match);
	pcre2_match_context_free(pattern->context);
	pcre2_code_free(pattern->code);
	free(pattern);
}

size_t search_pattern_reach(const struct search_pattern *pattern)
{
	return pattern->code ? REGEX_REACH_BYTES : pattern->literal.length;
}

/* One window: a match may start in its first window_bytes and reach a little further. Empty
 * matches are passed over. */
static int match_window(struct search_pattern *pattern, const uint8_t *bytes, size_t length,
			size_t from)
{
	return pcre2_match(pattern->code, bytes, length, from, PCRE2_NOTEMPTY, pattern->match,
			   pattern->context);
}

static enum search_outcome find_regex(struct search_pattern *pattern, const uint8_t *bytes,
				      size_t length, size_t from, size_t *start_ret,
				      size_t *match_bytes_ret)
{
	while (from < length) {
		size_t starts =
			length - from < REGEX_WINDOW_BYTES ? length - from : REGEX_WINDOW_BYTES;
		size_t extent = length - from - starts < REGEX_REACH_BYTES
					? length - from
					: starts + REGEX_REACH_BYTES;
		int result = match_window(pattern, bytes + from, extent, 0);
		if (result >= 0) {
			const PCRE2_SIZE *span = pcre2_get_ovector_pointer(pattern->match);
			/* \K may put the end before the start. */
			size_t end = span[1] > span[0] ? span[1] : span[0] + 1;
			if (span[0] < starts) {
				*start_ret = from + span[0];
				*match_bytes_ret = end - span[0] < REGEX_REACH_BYTES
							   ? end - span[0]
							   : REGEX_REACH_BYTES;
				return SEARCH_FOUND;
			}
		} else if (result != PCRE2_ERROR_NOMATCH) {
			return SEARCH_TOO_HARD;
		}
		from += starts;
	}
	return SEARCH_NONE;
}

enum search_outcome search_pattern_find(struct search_pattern *pattern, const uint8_t *bytes,
					size_t length_bytes, size_t from, size_t *start_ret,
					size_t *match_bytes_ret)
{
	const struct literal *literal = &pattern->literal;
	if (pattern->code)
		return find_regex(pattern, bytes, length_bytes, from, start_ret,
				  match_bytes_ret);
	if (length_bytes < literal->length || from > length_bytes - literal->length)
		return SEARCH_NONE;
	const uint8_t *found =
		find_literal(literal, bytes + from, bytes + length_bytes - literal->length);
	if (!found)
		return SEARCH_NONE;
	*start_ret = (size_t)(found - bytes);
	*match_bytes_ret = literal->length;
	return SEARCH_FOUND;
}
