/* symbols, type, vtop. */
#include <fnmatch.h>
#include <string.h>

#include "base/error.h"
#include "box/calls.h"
#include "box/guest_call.h"
#include "guest/btf.h"
#include "guest/guest.h"
#include "guest/space.h"
#include "guest/module_symbols.h"
#include "guest/task.h"
#include "guest/type_print.h"

/* --- symbols --------------------------------------------------------------------------- */

static json_t *symbol_row(const struct symbol *symbol, const char *module)
{
	char type[2] = { symbol->type, 0 };
	return json_pack("{s:o,s:o,s:o,s:o}", "name", json_guest_text(symbol->name, SIZE_MAX),
			 "address", call_hex(symbol->address), "type", json_guest_text(type, 1),
			 "module", module ? json_guest_text(module, SIZE_MAX) : json_null());
}

static struct error *add_symbol(const struct symbol *symbol, const char *module,
				const char *pattern, json_t *rows)
{
	if (pattern && fnmatch(pattern, symbol->name, 0))
		return NULL;
	return json_list_add(rows, symbol_row(symbol, module));
}

static struct error *run_symbols(struct call_context *context, json_t **ret)
{
	struct guest *guest = NULL;
	TRY(call_guest(context, &guest));
	struct symtab *table = guest_symtab(guest);
	if (!table)
		return error_create(ERR_NOT_FOUND, "no symbols in this memory: %s",
				    guest_doubt(guest, 0) ? guest_doubt(guest, 0) : "unknown");
	const struct module_symbols *modules = guest_module_symbols(guest);
	const char *pattern = call_string(context, "pattern"), *module = NULL;
	AUTO(own_json) json_t *rows = json_array();
	for (size_t i = 0; i < symtab_count(table); i++) {
		struct symbol symbol = symtab_get(table, i);
		TRY(add_symbol(&symbol, NULL, pattern, rows));
	}
	for (size_t i = 0; modules && i < module_symbols_count(modules); i++) {
		struct symbol symbol = module_symbols_get(modules, i, &module);
		TRY(add_symbol(&symbol, module, pattern, rows));
	}
	if (pattern && !json_array_size(rows))
		return error_hint(
			error_create(ERR_NOT_FOUND, "no symbol is called '%s'", pattern),
			"patterns may have wildcards: '*%s*'", pattern);
	*ret = TAKE(rows);
	return NULL;
}

static const struct call_param symbols_params[] = {
	{ "pattern", CALL_STRING, .positional = true, .placeholder = "PATTERN",
	  .help = "name, or a pattern with * ? [a-z]; all symbols if not given" },
	{ 0 },
};

static const struct call_column symbols_columns[] = {
	{ "address", "ADDRESS", COLUMN_LEFT },
	{ "type", "T", COLUMN_LEFT },
	{ "name", "NAME", COLUMN_LEFT },
	{ "module", "MODULE", COLUMN_LEFT },
	{ 0 },
};

const struct call call_symbols = {
	.name = "symbols",
	.group = "addresses and bytes",
	.summary = "list the symbols of the kernel and its modules",
	.examples = "  glassbox symbols demo init_task\n  glassbox symbols demo 'tcp_*'",
	.flags = CALL_TARGET,
	.params = symbols_params,
	.columns = symbols_columns,
	.run = run_symbols,
};

/* --- type ------------------------------------------------------------------------------ */

static const char *kind_text(const struct btf_type *type)
{
	switch (type->kind) {
	case BTF_STRUCT:
		return "struct";
	case BTF_UNION:
		return "union";
	case BTF_ENUM:
	case BTF_ENUM64:
		return "enum";
	case BTF_TYPEDEF:
		return "typedef";
	default:
		return "base";
	}
}

static json_t *member_row(const struct btf *btf, const struct btf_member *member)
{
	char type[512];
	type_name_text(btf, member->type, type, sizeof(type));
	json_t *row =
		json_pack("{s:o,s:o,s:I,s:I}", "name",
			  *member->name ? json_guest_text(member->name, SIZE_MAX) : json_null(),
			  "type", json_guest_text(type, sizeof(type)), "offset",
			  (json_int_t)(member->bit_offset / 8), "size",
			  (json_int_t)btf_size(btf, member->type));
	if (row && member->bit_size) {
		json_object_set_new(row, "bit", json_integer(member->bit_offset % 8));
		json_object_set_new(row, "bits", json_integer(member->bit_size));
	}
	return row;
}

static struct error *add_parts(const struct btf *btf, const struct btf_type *type, json_t *ret)
{
	AUTO(own_json) json_t *parts = json_array();
	bool is_struct = type->kind == BTF_STRUCT || type->kind == BTF_UNION;
	bool is_enum = type->kind == BTF_ENUM || type->kind == BTF_ENUM64;
	for (uint32_t n = 0; is_struct && n < type->count; n++) {
		struct btf_member member;
		btf_member(type, btf, n, &member);
		TRY(json_list_add(parts, member_row(btf, &member)));
	}
	const char *name;
	int64_t value;
	for (uint32_t n = 0; is_enum && btf_enum_value(btf, type, n, &name, &value); n++)
		TRY(json_list_add(parts, json_pack("{s:o,s:I}", "name",
						   json_guest_text(name, SIZE_MAX), "value",
						   (json_int_t)value)));
	if (is_struct || is_enum)
		json_object_set(ret, is_enum ? "values" : "members", parts);
	return NULL;
}

static json_t *layout_text(const struct btf *btf, uint32_t id)
{
	AUTO(own_free) char *text = NULL;
	size_t length = 0;
	FILE *to = open_memstream(&text, &length);
	if (!to)
		return NULL;
	type_print(btf, id, to);
	if (fclose(to))
		return NULL;
	return json_guest_text(text, length);
}

static struct error *run_type(struct call_context *context, json_t **ret)
{
	struct guest *guest = NULL;
	const char *name = call_string(context, "name");
	TRY(call_guest(context, &guest));
	struct btf *btf = guest_types(guest);
	if (!btf)
		return error_hint(error_create(ERR_NOT_FOUND, "this kernel carries no types"),
				  "give them with --symbols FILE");
	uint32_t id = btf_find(btf, name);
	struct btf_type named, type;
	if (!id || !btf_type(btf, id, &named) || !btf_type(btf, btf_resolve(btf, id), &type))
		return error_create(ERR_NOT_FOUND, "this kernel has no type '%s'", name);
	AUTO(own_json)
	json_t *object =
		json_pack("{s:s,s:s,s:I,s:o}", "name", name, "kind", kind_text(&named), "size",
			  (json_int_t)btf_size(btf, id), "text", layout_text(btf, id));
	if (!object)
		return error_create(ERR_MEMORY, "no memory for an answer");
	TRY(add_parts(btf, &type, object));
	*ret = TAKE(object);
	return NULL;
}

static const struct call_param type_params[] = {
	{ "name", CALL_STRING, .positional = true, .required = true, .placeholder = "NAME",
	  .help = "task_struct, 'enum pageflags', atomic_t" },
	{ 0 },
};

const struct call call_type = {
	.name = "type",
	.group = "addresses and bytes",
	.summary = "show the layout of a kernel type",
	.examples = "  glassbox type demo list_head",
	.flags = CALL_TARGET | CALL_TEXT,
	.params = type_params,
	.run = run_type,
};

/* --- vtop ------------------------------------------------------------------------------ */

static json_t *flag_names(uint64_t flags)
{
	static const struct {
		uint64_t bit;
		const char *name;
	} names[] = {
		{ GUEST_PTE_PRESENT, "present" }, { GUEST_PTE_WRITE, "write" },
		{ GUEST_PTE_USER, "user" },	  { GUEST_PTE_ACCESSED, "accessed" },
		{ GUEST_PTE_DIRTY, "dirty" },	  { GUEST_PTE_GLOBAL, "global" },
		{ GUEST_PTE_NX, "nx" },
	};
	json_t *list = json_array();
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (flags & names[i].bit)
			json_array_append_new(list, json_string(names[i].name));
	return list;
}

struct error *call_space(struct call_context *context, struct guest *guest,
			 struct guest_space *ret)
{
	*ret = *guest_kernel_space(guest);
	if (!call_has(context, "pid"))
		return NULL;
	struct guest_task task;
	TRY(call_task(context, guest, &task));
	if (!guest_task_space(guest, &task, ret))
		return error_create(ERR_NOT_FOUND,
				    "process %d has no memory of its own: a kernel thread or "
				    "ended",
				    task.pid);
	return NULL;
}

/* In the kernel first, then in its modules. */
static bool find_symbol(struct guest *guest, const char *name, uint64_t *gva_ret)
{
	struct module_symbols *modules;
	if (guest_symbol(guest, name, gva_ret))
		return true;
	modules = guest_module_symbols(guest);
	return modules && module_symbols_find(modules, name, gva_ret);
}

struct error *call_address(struct call_context *context, struct guest *guest, const char *name,
			   uint64_t *gva_ret)
{
	const char *text = call_string(context, name);
	char *end;
	unsigned long long value = strtoull(text, &end, 0);
	if (*text >= '0' && *text <= '9' && !*end) {
		*gva_ret = value;
		return NULL;
	}
	char symbol[256];
	size_t length = strcspn(text, "+");
	uint64_t base;
	if (length < sizeof(symbol)) {
		memcpy(symbol, text, length);
		symbol[length] = 0;
		unsigned long long offset =
			text[length] ? strtoull(text + length + 1, &end, 0) : 0;
		if ((!text[length] || (text[length + 1] && !*end)) &&
		    find_symbol(guest, symbol, &base)) {
			*gva_ret = base + offset;
			return NULL;
		}
	}
	return error_hint(error_create(ERR_USAGE, "'%s' is no address and no symbol", text),
			  "use 0x..., a symbol, or symbol+0x10");
}

static struct error *run_vtop(struct call_context *context, json_t **ret)
{
	struct guest *guest = NULL;
	struct guest_space space;
	struct guest_mapping mapping;
	uint64_t gva;
	TRY(call_guest(context, &guest));
	TRY(call_address(context, guest, "address", &gva));
	TRY(call_space(context, guest, &space));
	enum guest_walk status = guest_space_walk(&space, gva, &mapping);
	if (status != GUEST_WALK_OK)
		return error_create(ERR_FAULT, "address 0x%llx: %s", (unsigned long long)gva,
				    guest_walk_text(status));
	*ret = json_pack("{s:o,s:o,s:I,s:o}", "virtual", call_hex(gva), "physical",
			 call_hex(mapping.gpa), "page_size", (json_int_t)mapping.page_bytes,
			 "flags", flag_names(mapping.flags));
	return *ret ? NULL : error_create(ERR_MEMORY, "no memory for an answer");
}

static const struct call_param vtop_params[] = {
	{ "address", CALL_STRING, .positional = true, .required = true, .placeholder = "ADDR",
	  .help = "virtual address, symbol, or symbol+0x10" },
	{ "pid", CALL_INTEGER, .letter = 'p', .placeholder = "PID",
	  .help = "in the address space of this process; the kernel's if not given" },
	{ 0 },
};

const struct call call_vtop = {
	.name = "vtop",
	.group = "addresses and bytes",
	.summary = "translate a virtual address to a physical one",
	.examples = "  glassbox vtop demo init_task\n  glassbox vtop demo 0x7ffd0000 --pid 1",
	.flags = CALL_TARGET,
	.params = vtop_params,
	.run = run_vtop,
};
