#include "guest/kallsyms.h"

#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "guest/symtab.h"

enum { NAME_BYTES_MAX = 1024 }; /* KSYM_NAME_LEN is 512 */

struct expander {
	const uint8_t *bytes;
	const struct kallsyms *where;
	uint64_t address_of_bytes;
	const char *tokens[256];
	uint8_t token_lengths[256];
};

static uint64_t symbol_address(const struct expander *e, size_t i)
{
	size_t at = e->where->offsets + 4 * i;
	uint64_t base = e->where->relative_base;
	uint64_t mask = e->where->word_bytes == 4 ? UINT32_MAX : UINT64_MAX;
	if (e->where->addressing == KALLSYMS_ABSOLUTE)
		return e->where->word_bytes == 4
			       ? load_u32(e->bytes + e->where->offsets + 4 * i)
			       : load_u64(e->bytes + e->where->offsets + 8 * i);
	int64_t offset = load_s32(e->bytes + at);
	switch (e->where->addressing) {
	case KALLSYMS_PERCPU_ABSOLUTE:
		return offset >= 0 ? (uint64_t)offset : (base - 1 + (uint64_t)-offset) & mask;
	case KALLSYMS_BASE_PLUS:
		return (base + (uint32_t)offset) & mask;
	default:
		return e->address_of_bytes + at + (uint64_t)offset;
	}
}

static void load_tokens(struct expander *e)
{
	for (size_t i = 0; i < 256; i++) {
		size_t start = e->where->token_table +
			       load_u16(e->bytes + e->where->token_index + 2 * i);
		e->tokens[i] = (const char *)e->bytes + start;
		/* kallsyms_locate saw every token end inside the table. */
		e->token_lengths[i] = (uint8_t)strlen(e->tokens[i]);
	}
}

/* Expands the entry at *at into text; returns its length, 0 when it is malformed. */
static size_t expand_one(const struct expander *e, size_t *at, char text[NAME_BYTES_MAX])
{
	size_t end = e->where->markers, out = 0;
	if (*at + 2 > end)
		return 0;
	size_t length = e->bytes[(*at)++];
	if (length & 0x80)
		length = (length & 0x7f) | (size_t)e->bytes[(*at)++] << 7;
	if (length > end - *at)
		return 0;
	for (size_t i = 0; i < length; i++) {
		uint8_t token = e->bytes[(*at)++];
		size_t n = e->token_lengths[token];
		if (n > NAME_BYTES_MAX - 1 - out)
			return 0;
		memcpy(text + out, e->tokens[token], n);
		out += n;
	}
	return out;
}

struct error *kallsyms_expand(const uint8_t *bytes, size_t length_bytes,
			      const struct kallsyms *where, uint64_t address_of_bytes,
			      struct symtab *table)
{
	struct expander e = { .bytes = bytes,
			      .where = where,
			      .address_of_bytes = address_of_bytes };
	unsigned entry_bytes = where->addressing == KALLSYMS_ABSOLUTE ? where->word_bytes : 4;
	CHECK(range_fits(where->offsets, (uint64_t)entry_bytes * where->count, length_bytes));
	load_tokens(&e);
	char text[NAME_BYTES_MAX];
	size_t at = where->names;
	symtab_reserve(table, where->count);
	for (size_t i = 0; i < where->count; i++) {
		size_t length = expand_one(&e, &at, text);
		if (length < 2)
			return error_create(ERR_BAD_DATA,
					    "kallsyms entry %zu of %u is malformed", i,
					    where->count);
		TRY(symtab_add(table, symbol_address(&e, i), text[0], text + 1, length - 1));
	}
	return NULL;
}
