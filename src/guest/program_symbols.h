/* Names for addresses in user programs, from the symbol tables in their files as far as those
 * are in the page cache. Remembers every file it has read. Thread: that of the guest. */
#ifndef GUEST_PROGRAM_SYMBOLS_H
#define GUEST_PROGRAM_SYMBOLS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/own.h"
struct error;
struct guest;
struct guest_task;
struct program_symbols;

/* guest is borrowed and must outlive it. Caller owns *ret. Fails: ERR_MEMORY. */
struct error *program_symbols_create(struct guest *guest, struct program_symbols **ret);
void program_symbols_destroy(struct program_symbols *symbols);
OWN_DECLARE(own_program_symbols, struct program_symbols *, program_symbols_destroy)

struct program_place {
	char file[64]; /* last part of the path; "" when the address is in no file */
	uint64_t file_offset;
	const char *symbol; /* NULL: not known. Borrowed, valid until destroy */
	uint64_t into_symbol; /* bytes from the symbol's start */
};

/* What is at an address of a process. False: nothing of a file. */
bool program_symbols_find(struct program_symbols *symbols, const struct guest_task *task,
			  uint64_t gva, struct program_place *ret);
#endif
