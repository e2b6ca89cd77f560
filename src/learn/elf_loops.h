/* Loops of a program file, found without running it: every target of a backward jump in its
 * code is a candidate head. Thread: any. */
#ifndef LEARN_ELF_LOOPS_H
#define LEARN_ELF_LOOPS_H
#include "base/own.h"
#include "learn/vex.h"
struct error;
struct elf_code;

/* Reads the executable sections of an ELF file (x86-64). Caller owns *ret. ERR_SYSTEM,
 * ERR_BAD_DATA. */
struct error *elf_code_open(const char *path, struct elf_code **ret);
void elf_code_destroy(struct elf_code *code);
OWN_DECLARE(own_elf_code, struct elf_code *, elf_code_destroy)

struct code_source elf_code_source(const struct elf_code *code);

/* Heads in order of address. Caller frees *heads_ret. */
struct error *elf_code_heads(const struct elf_code *code, uint64_t **heads_ret,
			     size_t *count_ret);

/* Name of the function around gva, or NULL. Borrowed. */
const char *elf_code_symbol(const struct elf_code *code, uint64_t gva);
/* Address of a function, or 0. */
uint64_t elf_code_find(const struct elf_code *code, const char *name, uint64_t *bytes_ret);
#endif
