/* How the tables are found. Only token_index has a shape of its own; everything else follows
 * from it:
 *
 *   names     | len tok tok .. | len tok .. |        one entry per symbol
 *   markers   | 0 | m1 | m2 | ..                     u32, where every 256th entry starts
 *   (seqs)    | 3 bytes per symbol |                 6.1 to 6.3 only
 *   tokens    | "a\0" "on\0" ..                      256 strings
 *   index     | 0 | 2 | 5 | ..                       u16, where each string starts
 *
 * 1. The strings end just before index; index says where each starts.
 * 2. markers is a run of growing u32 from 0 somewhere before the strings.
 * 3. names starts such that its 256th entry lies at markers[1]; num_syms is just before it.
 * 4. The addresses lie before num_syms (to 6.3) or after index (6.4 and later), as offsets
 *    from a base stored behind them, or from themselves (7.x).
 */
#include "guest/kallsyms.h"

#include <string.h>

#include "base/bytes.h"
#include "base/error.h"

enum {
	TOKENS = 256,
	TOKEN_STEP_MIN = 2,
	TOKEN_STEP_MAX = 64,
	MARKER_STEP_MIN = 512,
	MARKER_STEP_MAX = 96 << 10,
	MARKERS_MIN = 4, /* a thousand symbols: less is no kernel */
	BLOCK_BYTES_MAX = 256 * 512,
	MARKERS_DISTANCE = 4 << 20, /* seqs of a million symbols between markers and tokens */
};

bool kallsyms_index_here(const uint8_t *bytes)
{
	if (load_u16(bytes))
		return false;
	unsigned last = 0;
	for (size_t i = 1; i < TOKENS; i++) {
		unsigned offset = load_u16(bytes + 2 * i);
		if (offset < last + TOKEN_STEP_MIN || offset > last + TOKEN_STEP_MAX)
			return false;
		last = offset;
	}
	return true;
}

static bool tokens_here(const uint8_t *bytes, size_t tokens, size_t index)
{
	for (size_t i = 0; i < TOKENS; i++) {
		size_t start = tokens + load_u16(bytes + index + 2 * i);
		size_t end =
			i + 1 < TOKENS ? tokens + load_u16(bytes + index + 2 * i + 2) : index;
		if (start >= end || end > index)
			return false;
		size_t length = strnlen((const char *)bytes + start, end - start);
		/* Every string ends right before the next; behind the last only padding. */
		for (size_t at = start + length; at < end; at++)
			if (bytes[at])
				return false;
		if (!length || length == end - start ||
		    (i + 1 < TOKENS && start + length + 1 != end))
			return false;
	}
	return true;
}

static bool find_tokens(const uint8_t *bytes, struct kallsyms *where)
{
	size_t index = where->token_index;
	size_t last = load_u16(bytes + index + 2 * (TOKENS - 1));
	for (size_t tail = 2; tail <= TOKEN_STEP_MAX + 8; tail++) {
		if (last + tail > index)
			return false;
		size_t tokens = index - last - tail;
		if (tokens % 4 == 0 && tokens_here(bytes, tokens, index)) {
			where->token_table = tokens;
			return true;
		}
	}
	return false;
}

/* Walks n entries of names from at; returns where the next starts, or 0. */
static size_t skip_names(const uint8_t *bytes, size_t at, size_t end, size_t n)
{
	while (n--) {
		if (at + 2 > end)
			return 0;
		size_t length = bytes[at++];
		if (length & 0x80)
			length = (length & 0x7f) | (size_t)bytes[at++] << 7;
		if (!length || length > end - at)
			return 0;
		at += length;
	}
	return at;
}

static uint32_t marker_at(const uint8_t *bytes, size_t markers, size_t i)
{
	return load_u32(bytes + markers + 4 * i);
}

/* Checks names against all markers. */
static bool names_here(const uint8_t *bytes, const struct kallsyms *where)
{
	size_t at = where->names, blocks = ((size_t)where->count + 255) / 256;
	for (size_t block = 0; block < blocks; block++) {
		if (at - where->names != marker_at(bytes, where->markers, block))
			return false;
		size_t left = where->count - block * 256;
		at = skip_names(bytes, at, where->markers, left < 256 ? left : 256);
		if (!at)
			return false;
	}
	/* Nothing but alignment between the last name and the markers. */
	return where->markers - at < 8;
}

/* Looks for num_syms with names right behind it, given markers and how long its run is. */
static bool find_names(const uint8_t *bytes, struct kallsyms *where, size_t run)
{
	size_t last = marker_at(bytes, where->markers, run - 1);
	size_t names_max = where->markers > last ? where->markers - last : 0;
	size_t span = BLOCK_BYTES_MAX + 16;
	size_t lowest = names_max > span ? names_max - span : 0;
	for (size_t at = names_max & ~(size_t)3; at >= lowest + 8; at -= 4) {
		uint32_t count = load_u32(bytes + at - 4);
		size_t blocks = ((size_t)count + 255) / 256;
		if (blocks != run && !(blocks < run && blocks + 2 >= run))
			continue;
		for (size_t gap = 4; gap <= 8; gap += 4) {
			where->num_syms = at - 4;
			where->count = count;
			where->names = at - 4 + gap;
			if (blocks < MARKERS_MIN || where->names >= where->markers)
				continue;
			size_t next = skip_names(bytes, where->names, where->markers, 256);
			if (next &&
			    next - where->names == marker_at(bytes, where->markers, 1) &&
			    names_here(bytes, where))
				return true;
		}
	}
	return false;
}

static size_t marker_run(const uint8_t *bytes, size_t at, size_t end)
{
	size_t run = 1;
	uint32_t last = 0;
	for (at += 4; at + 4 <= end; at += 4, run++) {
		uint32_t next = load_u32(bytes + at);
		if (next < last || next - last < MARKER_STEP_MIN ||
		    next - last > MARKER_STEP_MAX)
			break;
		last = next;
	}
	return run;
}

static bool find_markers(const uint8_t *bytes, struct kallsyms *where)
{
	size_t lowest = where->token_table > MARKERS_DISTANCE
				? where->token_table - MARKERS_DISTANCE
				: 0;
	for (size_t at = where->token_table & ~(size_t)3; at >= lowest + 4; at -= 4) {
		size_t start = at - 4;
		if (load_u32(bytes + start))
			continue;
		size_t run = marker_run(bytes, start, where->token_table);
		if (run < MARKERS_MIN)
			continue;
		where->markers = start;
		/* The run may have gone on by accident into what follows. */
		for (size_t shorter = 0; shorter < 3 && run - shorter >= MARKERS_MIN; shorter++)
			if (find_names(bytes, where, run - shorter))
				return true;
	}
	return false;
}

static bool kernel_base(uint64_t base, unsigned word)
{
	if (word == 8)
		return base >= 0xffffffff80000000 && base < 0xffffffffff000000;
	return base >= 0x40000000 && base < 0xff000000;
}

static uint64_t load_word(const uint8_t *from, unsigned word)
{
	return word == 8 ? load_u64(from) : load_u32(from);
}

/* How many of the first offsets do not step back, in percent. */
static unsigned ordered_share(const uint8_t *bytes, const struct kallsyms *where, bool relative)
{
	size_t sample = where->count < 4096 ? where->count : 4096, good = 0;
	size_t first = (where->count - sample) / 2;
	int64_t last = INT64_MIN;
	for (size_t i = first; i < first + sample; i++) {
		int64_t value = load_s32(bytes + where->offsets + 4 * i);
		if (relative)
			value += (int64_t)(4 * i);
		else if (value < 0)
			value = -value;
		good += value >= last;
		last = value;
	}
	return (unsigned)(good * 100 / sample);
}

static void choose_addressing(const uint8_t *bytes, struct kallsyms *where)
{
	size_t negative = 0;
	for (size_t i = 0; i < where->count; i++)
		negative += load_s32(bytes + where->offsets + 4 * i) < 0;
	/* With absolute per-CPU symbols all others are stored negated. */
	where->addressing =
		negative > where->count / 2 ? KALLSYMS_PERCPU_ABSOLUTE : KALLSYMS_BASE_PLUS;
}

/* offsets, then base, at the given place. */
static bool based_here(const uint8_t *bytes, size_t length, struct kallsyms *where,
		       size_t offsets, size_t base, unsigned word)
{
	if (offsets > length || base > length || length - base < word ||
	    !kernel_base(load_word(bytes + base, word), word))
		return false;
	where->offsets = offsets;
	if (ordered_share(bytes, where, false) < 95)
		return false;
	where->word_bytes = word;
	where->relative_base = load_word(bytes + base, word);
	choose_addressing(bytes, where);
	return true;
}

static bool find_offsets_before(const uint8_t *bytes, size_t length, struct kallsyms *where)
{
	for (unsigned word = 8; word >= 4; word -= 4) {
		size_t table = align_up(4ull * where->count, word);
		if (where->num_syms < table + word)
			continue;
		size_t base = where->num_syms - word;
		if (based_here(bytes, length, where, base - table, base, word)) {
			where->layout = "5.10-6.3";
			return true;
		}
	}
	return false;
}

static bool find_offsets_after(const uint8_t *bytes, size_t length, struct kallsyms *where)
{
	size_t end = where->token_index + KALLSYMS_INDEX_BYTES;
	for (unsigned word = 8; word >= 4; word -= 4) {
		size_t offsets = align_up(end, word);
		size_t base = align_up(offsets + 4ull * where->count, word);
		if (based_here(bytes, length, where, offsets, base, word)) {
			where->layout = "6.4-6.19";
			return true;
		}
	}
	where->offsets = align_up(end, 4);
	if (!range_fits(where->offsets, 4ull * where->count, length) ||
	    ordered_share(bytes, where, true) < 95)
		return false;
	where->addressing = KALLSYMS_PC_RELATIVE;
	where->relative_base = 0;
	where->word_bytes = 8;
	where->layout = "7.x";
	return true;
}

/* Whole addresses instead of offsets: kernels built without relative bases. */
static bool find_addresses(const uint8_t *bytes, struct kallsyms *where)
{
	for (unsigned word = 8; word >= 4; word -= 4) {
		size_t table = (size_t)word * where->count, good = 0;
		size_t start = where->num_syms - table;
		if (where->num_syms < table)
			continue;
		for (size_t i = 0; i < where->count; i++)
			good += kernel_base(load_word(bytes + start + i * word, word), word);
		if (good < where->count / 2)
			continue;
		where->offsets = start;
		where->word_bytes = word;
		where->relative_base = 0;
		where->addressing = KALLSYMS_ABSOLUTE;
		where->layout = "absolute";
		return true;
	}
	return false;
}

struct error *kallsyms_locate(const uint8_t *bytes, size_t length_bytes, size_t token_index,
			      struct kallsyms *ret)
{
	struct kallsyms where = { .token_index = token_index };
	if (!range_fits(token_index, KALLSYMS_INDEX_BYTES, length_bytes) ||
	    !kallsyms_index_here(bytes + token_index) || !find_tokens(bytes, &where))
		return error_create(ERR_BAD_DATA, "no kallsyms token table here");
	if (!find_markers(bytes, &where))
		return error_create(ERR_BAD_DATA, "no kallsyms names before the token table");
	if (!find_offsets_before(bytes, length_bytes, &where) &&
	    !find_offsets_after(bytes, length_bytes, &where) && !find_addresses(bytes, &where))
		return error_create(ERR_BAD_DATA, "no addresses beside %u kallsyms names",
				    where.count);
	*ret = where;
	return NULL;
}
