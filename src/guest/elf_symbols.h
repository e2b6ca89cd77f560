/* Symbols and types out of a vmlinux: the symbol table, and BTF or else DWARF. Thread: one. */
#ifndef GUEST_ELF_SYMBOLS_H
#define GUEST_ELF_SYMBOLS_H
struct btf;
struct error;
struct symtab;

/* Caller owns both; either may be NULL when the file lacks it, not both. Fails: ERR_SYSTEM,
 * ERR_BAD_DATA. */
struct error *elf_symbols_read(const char *path, struct symtab **symbols_ret,
			       struct btf **types_ret);
#endif
