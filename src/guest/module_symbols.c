#include "guest/module_symbols.h"

#include <ctype.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "guest/internal.h"
#include "guest/kernel_area.h"
#include "guest/module.h"

enum {
	SYMBOLS_PER_MODULE_MAX = 1 << 20,
	EXPORTS_MAX = 1 << 16,
	PIECE_SYMBOLS = 128,
	NAME_BYTES = 512, /* KSYM_NAME_LEN */
	ELF_SYMBOL_64_BYTES = 24,
	ELF_SYMBOL_32_BYTES = 16,
	FUNCTION_BYTES_MAX = 1 << 20, /* farther from its start is no part of anything */
};

/* Where one module's symbols end in the table, and its name. */
struct part {
	size_t end;
	char name[64];
};

struct module_symbols {
	struct symtab *table; /* all modules, one after the other */
	VEC(struct part) parts;
};

struct export
{
	uint64_t value, name_gva;
};

struct module_reader {
	struct guest *guest;
	struct module_symbols *symbols;
	struct field tables, symtab, count, strtab, typetab; /* module, mod_kallsyms */
	struct field exports, n_exports;
	struct field value_offset, name_offset; /* kernel_symbol */
	uint64_t export_bytes;
	VEC(struct export) exported; /* of the module that is being read */
	bool no_memory;
};

/* Entries say where their words' targets lie relative to themselves. */
static void collect_exports(struct module_reader *r, uint64_t array, uint64_t n)
{
	struct guest *guest = r->guest;
	if (!array || !r->value_offset.found || !r->export_bytes)
		return;
	for (uint64_t i = 0; i < n && i < EXPORTS_MAX && guest_step(guest); i++) {
		uint64_t at = array + i * r->export_bytes;
		struct export export = {
			.value = at + r->value_offset.offset +
				 guest_load(guest, at, r->value_offset),
			.name_gva = at + r->name_offset.offset +
				    guest_load(guest, at, r->name_offset),
		};
		if (!VEC_PUSH(&r->exported, export))
			return;
	}
}

static bool is_exported(struct module_reader *r, uint64_t value, const char *name)
{
	char other[NAME_BYTES];
	for (size_t i = 0; i < r->exported.count; i++) {
		if (r->exported.items[i].value != value)
			continue;
		guest_read_text(r->guest, r->exported.items[i].name_gva, other, sizeof(other));
		if (!strcmp(other, name))
			return true;
	}
	return false;
}

/* As the kernel prints it: capital when other modules may use the symbol. Symbols for GPL
 * modules alone count only since they are in the same array (7.x). */
static char type_letter(struct module_reader *r, uint8_t type, uint64_t value, const char *name)
{
	int letter = isalpha(type) ? type : '?';
	return (char)(is_exported(r, value, name) ? toupper(letter) : tolower(letter));
}

static bool add_symbol(struct module_reader *r, const uint8_t *elf, uint8_t type,
		       uint64_t strtab)
{
	char name[NAME_BYTES];
	bool is_64 = r->guest->word_bytes == 8;
	uint64_t value = is_64 ? load_u64(elf + 8) : load_u32(elf + 4);
	size_t length = guest_read_text(r->guest, strtab + load_u32(elf), name, sizeof(name));
	if (!length)
		return true; /* the first one, and debugging symbols */
	struct error *err = symtab_add(r->symbols->table, value,
				       type_letter(r, type, value, name), name, length);
	r->no_memory = err != NULL;
	error_destroy(err);
	return !r->no_memory;
}

static void read_symbols(struct module_reader *r, uint64_t tables)
{
	struct guest *guest = r->guest;
	uint64_t symtab = guest_load(guest, tables, r->symtab);
	uint64_t strtab = guest_load(guest, tables, r->strtab);
	uint64_t types = guest_load(guest, tables, r->typetab);
	uint64_t n = guest_load(guest, tables, r->count);
	size_t each = guest->word_bytes == 8 ? ELF_SYMBOL_64_BYTES : ELF_SYMBOL_32_BYTES;
	uint8_t piece[PIECE_SYMBOLS * ELF_SYMBOL_64_BYTES], letters[PIECE_SYMBOLS] = { 0 };
	n = n < SYMBOLS_PER_MODULE_MAX ? n : SYMBOLS_PER_MODULE_MAX;
	for (uint64_t i = 0; symtab && i < n; i += PIECE_SYMBOLS) {
		size_t part = n - i < PIECE_SYMBOLS ? (size_t)(n - i) : PIECE_SYMBOLS;
		if (!guest_read(guest, symtab + i * each, piece, part * each) ||
		    (types && !guest_read(guest, types + i, letters, part)))
			return;
		for (size_t k = 0; k < part && guest_step(guest); k++)
			if (!add_symbol(r, piece + k * each, letters[k], strtab))
				return;
	}
}

static bool read_module(void *user, const struct guest_module *module)
{
	struct module_reader *r = user;
	struct guest *guest = r->guest;
	r->exported.count = 0;
	collect_exports(r, guest_load(guest, module->gva, r->exports),
			guest_load(guest, module->gva, r->n_exports));
	uint64_t tables = guest_load(guest, module->gva, r->tables);
	if (tables)
		read_symbols(r, tables);
	struct part part = { .end = symtab_count(r->symbols->table) };
	memcpy(part.name, module->name, sizeof(part.name));
	return VEC_PUSH(&r->symbols->parts, part) && !r->no_memory;
}

static struct module_symbols *read_all(struct guest *guest)
{
	struct module_symbols *symbols = calloc(1, sizeof(*symbols));
	struct error *err = symbols ? symtab_create(&symbols->table) : NULL;
	if (!symbols || err) {
		error_destroy(err);
		free(symbols);
		return NULL;
	}
	struct module_reader r = {
		.guest = guest,
		.symbols = symbols,
		.tables = guest_field(guest, "module.kallsyms"),
		.symtab = guest_field(guest, "mod_kallsyms.symtab"),
		.count = guest_field(guest, "mod_kallsyms.num_symtab"),
		.strtab = guest_field(guest, "mod_kallsyms.strtab"),
		.typetab = guest_field(guest, "mod_kallsyms.typetab"),
		.exports = guest_field(guest, "module.syms"),
		.n_exports = guest_field(guest, "module.num_syms"),
		.value_offset = guest_field(guest, "kernel_symbol.value_offset"),
		.name_offset = guest_field(guest, "kernel_symbol.name_offset"),
		.export_bytes = guest_sizeof(guest, "struct kernel_symbol"),
	};
	if (r.tables.found && r.symtab.found && r.strtab.found)
		guest_modules_each(guest, read_module, &r);
	VEC_FREE(&r.exported);
	return symbols;
}

struct module_symbols *guest_module_symbols(struct guest *guest)
{
	if (!guest->module_symbols)
		guest->module_symbols = read_all(guest);
	return guest->module_symbols;
}

void module_symbols_destroy(struct module_symbols *symbols)
{
	if (!symbols)
		return;
	symtab_destroy(symbols->table);
	VEC_FREE(&symbols->parts);
	free(symbols);
}

size_t module_symbols_count(const struct module_symbols *symbols)
{
	return symtab_count(symbols->table);
}

struct symbol module_symbols_get(const struct module_symbols *symbols, size_t n,
				 const char **module_ret)
{
	size_t low = 0, high = symbols->parts.count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (symbols->parts.items[middle].end <= n)
			low = middle + 1;
		else
			high = middle;
	}
	*module_ret = symbols->parts.items[low].name;
	return symtab_get(symbols->table, n);
}

bool module_symbols_find(struct module_symbols *symbols, const char *name,
			 uint64_t *address_ret)
{
	return symtab_find(symbols->table, name, address_ret);
}

static bool in_modules(struct guest *guest, uint64_t gva)
{
	struct guest_kernel_areas areas;
	guest_kernel_areas(guest, &areas);
	bool in_vmalloc = areas.modules_first >= areas.modules_end;
	return in_vmalloc ? gva >= areas.vmalloc_first && gva < areas.vmalloc_end
			  : gva >= areas.modules_first && gva < areas.modules_end;
}

bool guest_symbol_near(struct guest *guest, uint64_t gva, struct symbol *ret,
		       const char **module_ret, uint64_t *offset_ret)
{
	struct module_symbols *modules;
	struct symtab *table;
	size_t index;
	uint64_t gpa;
	*module_ret = NULL;
	if (in_modules(guest, gva)) {
		modules = guest_module_symbols(guest);
		if (!modules || !symtab_index_at(modules->table, gva, &index))
			return false;
		*ret = module_symbols_get(modules, index, module_ret);
		*offset_ret = gva - ret->address;
		return *offset_ret < FUNCTION_BYTES_MAX;
	}
	table = guest_symtab(guest);
	return table && guest_image_to_gpa(guest, gva, &gpa) &&
	       symtab_at(table, gva, ret, offset_ret) && *offset_ret < FUNCTION_BYTES_MAX &&
	       guest_is_kernel_pointer(guest, ret->address);
}
