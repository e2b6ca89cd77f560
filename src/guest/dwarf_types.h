/* Types out of DWARF, as BTF. Thread: one. */
#ifndef GUEST_DWARF_TYPES_H
#define GUEST_DWARF_TYPES_H
#include <libelf.h>
struct btf;
struct error;

/* *ret stays NULL when the file has no DWARF. Caller owns *ret. Fails: ERR_LIMIT, ERR_MEMORY.
 */
struct error *dwarf_types_read(Elf *elf, unsigned word_bytes, struct btf **ret);
#endif
