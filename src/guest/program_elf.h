/* Symbols of a user program or library, out of a copy of its file's bytes in which some may be
 * missing (zero). Knows nothing of the guest. Thread: one. */
#ifndef GUEST_PROGRAM_ELF_H
#define GUEST_PROGRAM_ELF_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/own.h"
#include "guest/symtab.h"
struct error;
struct program_elf;

/* Reads .symtab, else .dynsym, else the table that the dynamic segment names. The bytes are
 * needed during the call only. Caller owns *ret. Fails: ERR_BAD_DATA (no ELF file), ERR_MEMORY.
 * A program without symbols is a result: nothing is found in it. */
struct error *program_elf_read(uint8_t *bytes, size_t n, struct program_elf **ret);
void program_elf_destroy(struct program_elf *elf);
OWN_DECLARE(own_program_elf, struct program_elf *, program_elf_destroy)

/* The function at a place in the file, with *into_ret the bytes from its start. */
bool program_elf_symbol(struct program_elf *elf, uint64_t file_offset, struct symbol *ret,
			uint64_t *into_ret);
#endif
