/* A table of symbols from any source: kallsyms in RAM, a System.map, an ELF file, an ISF. Add
 * entries, then look up by name or by address. Thread: one. */
#ifndef GUEST_SYMTAB_H
#define GUEST_SYMTAB_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
struct error;
struct symtab;

struct symbol {
	const char *name; /* borrowed from the table */
	uint64_t address;
	char type; /* letter as nm prints it */
};

struct error *symtab_create(struct symtab **ret);
void symtab_destroy(struct symtab *table);

/* Makes room for that many symbols at once: only a hint. */
void symtab_reserve(struct symtab *table, size_t count);

/* Appends one symbol; name is copied. Fails: ERR_MEMORY, ERR_LIMIT. */
struct error *symtab_add(struct symtab *table, uint64_t address, char type, const char *name,
			 size_t name_length);

/* Adds delta to every address in [low, high] (KASLR for tables from files, or a table whose
 * addresses are known only relative to itself). */
void symtab_slide(struct symtab *table, uint64_t low, uint64_t high, uint64_t delta);

size_t symtab_count(const struct symtab *table);
struct symbol symtab_get(const struct symtab *table, size_t index);

/* First symbol of that name, as the kernel's own lookup does. */
bool symtab_find(struct symtab *table, const char *name, uint64_t *address_ret);

/* Index of the last symbol at or below address. */
bool symtab_index_at(struct symtab *table, uint64_t address, size_t *index_ret);
/* That symbol, with *offset_ret = address - its address. */
bool symtab_at(struct symtab *table, uint64_t address, struct symbol *ret,
	       uint64_t *offset_ret);
/* Index of the nth symbol in ascending order of address. */
size_t symtab_sorted(struct symtab *table, size_t nth);
#endif
