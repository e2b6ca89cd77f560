/* Linux's own compressed symbol table, found in a copy of kernel memory by the shape of its
 * parts and expanded. Knows every layout from 5.10 to 7.x, 64 and 32 bits; decides by testing
 * the bytes, never by version. Pure: bytes in, result out. Thread: any. */
#ifndef GUEST_KALLSYMS_H
#define GUEST_KALLSYMS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
struct error;
struct symtab;

enum {
	KALLSYMS_INDEX_BYTES = 512, /* token_index: 256 u16 */
	KALLSYMS_BEFORE_BYTES = 12 << 20, /* the tables start at most this far before it */
	KALLSYMS_AFTER_BYTES = 6 << 20, /* and end at most this far after it */
};

enum kallsyms_addressing {
	KALLSYMS_PERCPU_ABSOLUTE, /* off >= 0: itself; off < 0: base - 1 - off */
	KALLSYMS_BASE_PLUS, /* base + (u32)off */
	KALLSYMS_PC_RELATIVE, /* where the entry lies + off */
	KALLSYMS_ABSOLUTE, /* a table of whole addresses */
};

/* Where the tables lie in the bytes searched. */
struct kallsyms {
	size_t token_index, token_table, markers, names, num_syms, offsets;
	uint32_t count;
	unsigned word_bytes; /* 8 or 4 */
	uint64_t relative_base; /* 0 when pc-relative or absolute */
	enum kallsyms_addressing addressing;
	const char *layout; /* "5.10-6.3", "6.4-6.19", "7.x": for people */
};

/* True if the 512 bytes at bytes look like token_index: cheap enough to try everywhere. */
bool kallsyms_index_here(const uint8_t *bytes);

/* Works out the tables around a token_index at bytes + token_index. ERR_BAD_DATA. */
struct error *kallsyms_locate(const uint8_t *bytes, size_t length_bytes, size_t token_index,
			      struct kallsyms *ret);

/* Expands every name into table. For KALLSYMS_PC_RELATIVE, address_of_bytes is the address
 * that bytes[0] has in the space wanted. ERR_BAD_DATA, ERR_MEMORY. */
struct error *kallsyms_expand(const uint8_t *bytes, size_t length_bytes,
			      const struct kallsyms *where, uint64_t address_of_bytes,
			      struct symtab *table);
#endif
