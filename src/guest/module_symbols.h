/* The symbols of loaded modules, as /proc/kallsyms lists them, and the one lookup that knows
 * the kernel's symbols and theirs. Thread: that of the guest. */
#ifndef GUEST_MODULE_SYMBOLS_H
#define GUEST_MODULE_SYMBOLS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest/symtab.h"
struct guest;
struct module_symbols;

/* Read once for each question, since modules come and go. Borrowed until guest_begin; NULL
 * without memory. */
struct module_symbols *guest_module_symbols(struct guest *guest);
void module_symbols_destroy(struct module_symbols *symbols);
size_t module_symbols_count(const struct module_symbols *symbols);
/* The nth, with the name of its module; both borrowed. */
struct symbol module_symbols_get(const struct module_symbols *symbols, size_t n,
				 const char **module_ret);
/* First symbol of that name in any module. */
bool module_symbols_find(struct module_symbols *symbols, const char *name,
			 uint64_t *address_ret);

/* The symbol of the kernel image or of a module in whose range gva lies; *module_ret is NULL
 * for the image. False when nothing near has a name. */
bool guest_symbol_near(struct guest *guest, uint64_t gva, struct symbol *ret,
		       const char **module_ret, uint64_t *offset_ret);
#endif
