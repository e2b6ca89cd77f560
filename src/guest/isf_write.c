/* How BTF becomes ISF:
 *
 *   INT, FLOAT            base_types, by name
 *   STRUCT, UNION         user_types; unnamed ones are called unnamed_ID, second ones of a name
 *                         NAME__ID, and unnamed members unnamed_field_N, marked anonymous
 *   ENUM, ENUM64          enums
 *   TYPEDEF, CONST, ..    followed to what they name: ISF has none
 *   VAR                   type of a per-CPU symbol
 *
 * BTF has no types for other variables; for those that tools ask for, a table here names them.
 */
#include "guest/isf_write.h"

#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/own.h"
#include "base/vec.h"
#include "guest/btf.h"
#include "guest/field.h"
#include "guest/guest.h"
#include "guest/internal.h"
#include "guest/isf_sink.h"
#include "guest/symtab.h"

/* Symbol and its type: a name, "*" in front for a pointer, "[]" behind for an array that goes
 * up to the next symbol. */
static const char *const typed_symbols[][2] = {
	{ "__per_cpu_offset", "long unsigned int[]" },
	{ "boot_cpu_data", "cpuinfo_x86" },
	{ "bpf_kallsyms", "list_head" },
	{ "btf_modules", "list_head" },
	{ "cap_last_cap", "int" },
	{ "chrdevs", "*char_device_struct[]" },
	{ "ftrace_list_end", "ftrace_ops" },
	{ "ftrace_mod_maps", "list_head" },
	{ "ftrace_ops_list", "*ftrace_ops" },
	{ "ftrace_ops_trampoline_list", "list_head" },
	{ "idt_table", "gate_struct[]" },
	{ "init_cred", "cred" },
	{ "init_files", "files_struct" },
	{ "init_mm", "mm_struct" },
	{ "init_net", "net" },
	{ "init_nsproxy", "nsproxy" },
	{ "init_pid_ns", "pid_namespace" },
	{ "init_task", "task_struct" },
	{ "init_user_ns", "user_namespace" },
	{ "init_uts_ns", "uts_namespace" },
	{ "iomem_resource", "resource" },
	{ "ioport_resource", "resource" },
	{ "jiffies_64", "long unsigned int" },
	{ "kallsyms_num_syms", "unsigned int" },
	{ "kallsyms_relative_base", "long unsigned int" },
	{ "keyboard_notifier_list", "atomic_notifier_head" },
	{ "mem_section", "*mem_section" },
	{ "mod_tree", "mod_tree_root" },
	{ "module_addr_max", "long unsigned int" },
	{ "module_addr_min", "long unsigned int" },
	{ "module_kset", "*kset" },
	{ "modules", "list_head" },
	{ "net_namespace_list", "list_head" },
	{ "nf_hooks_lwtunnel_enabled", "static_key_false" },
	{ "num_registered_fb", "int" },
	{ "page_offset_base", "long unsigned int" },
	{ "phys_base", "long unsigned int" },
	{ "prb", "*printk_ringbuffer" },
	{ "printk_rb_static", "printk_ringbuffer" },
	{ "prog_idr", "idr" },
	{ "registered_fb", "*fb_info[]" },
	{ "saved_command_line", "*char" },
	{ "slab_caches", "list_head" },
	{ "socket_file_ops", "file_operations" },
	{ "sockfs_dentry_operations", "dentry_operations" },
	{ "super_blocks", "list_head" },
	{ "sys_call_table", "long unsigned int[]" },
	{ "taint_flags", "taint_flag[]" },
	{ "tcp4_seq_ops", "seq_operations" },
	{ "tcp6_seq_ops", "seq_operations" },
	{ "tcp_hashinfo", "inet_hashinfo" },
	{ "totalram_pages", "long unsigned int" },
	{ "_totalram_pages", "atomic_long_t" },
	{ "tty_drivers", "list_head" },
	{ "udp_seq_ops", "seq_operations" },
	{ "udp6_seq_ops", "seq_operations" },
	{ "raw_seq_ops", "seq_operations" },
	{ "raw6_seq_ops", "seq_operations" },
	{ "udp_table", "udp_table" },
	{ "vmalloc_base", "long unsigned int" },
	{ "vmap_area_list", "list_head" },
	{ "vmap_area_root", "rb_root" },
	{ "vmemmap_base", "long unsigned int" },
	{ "vm_zone_stat", "atomic_long_t[]" },
	{ "wall_to_monotonic", "timespec64" },
	{ "_text", "char[]" },
	{ "_stext", "char[]" },
	{ "_etext", "char[]" },
	{ "_sdata", "char[]" },
	{ "_edata", "char[]" },
	{ "_end", "char[]" },
};

struct writer {
	struct guest *guest;
	struct btf *btf;
	struct symtab *symbols;
	struct isf_sink *sink;
	struct guest_summary summary;
	char *banner;
	struct isf_written counts;
	VEC(struct btf_type) vars; /* per-CPU variables, by name */
	uint32_t timekeeper_core; /* id of the unnamed struct of tk_core; 0 unknown */
};

static bool is_first_of_name(struct writer *w, const struct btf_type *type)
{
	char name[512];
	const char *kind = type->kind == BTF_STRUCT  ? "struct "
			   : type->kind == BTF_UNION ? "union "
						     : "enum ";
	snprintf(name, sizeof(name), "%s%s", kind, type->name);
	if (btf_find(w->btf, name) != type->id)
		return false;
	/* Structs and unions share one set of names in ISF. */
	if (type->kind != BTF_UNION)
		return true;
	snprintf(name, sizeof(name), "struct %s", type->name);
	return btf_find(w->btf, name) == 0;
}

static void type_label(struct writer *w, const struct btf_type *type, char *text, size_t size)
{
	if (!*type->name)
		snprintf(text, size, "unnamed_%u", type->id);
	else if (is_first_of_name(w, type))
		snprintf(text, size, "%s", type->name);
	else
		snprintf(text, size, "%s__%u", type->name, type->id);
}

static const char *kind_word(const struct btf_type *type)
{
	bool is_union = type->kind == BTF_UNION || (type->kind == BTF_FWD && type->flag);
	return type->kind == BTF_ENUM || type->kind == BTF_ENUM64 ? "enum"
	       : is_union					  ? "union"
								  : "struct";
}

static void put_base(struct writer *w, const char *name)
{
	isf_put_text(w->sink, "{\"kind\":\"base\",\"name\":");
	isf_put_string(w->sink, name);
	isf_put_text(w->sink, "}");
}

static void put_named(struct writer *w, const struct btf_type *type)
{
	char label[512];
	if (type->kind == BTF_FWD)
		snprintf(label, sizeof(label), "%s", type->name);
	else
		type_label(w, type, label, sizeof(label));
	isf_put_format(w->sink, "{\"kind\":\"%s\",\"name\":", kind_word(type));
	isf_put_string(w->sink, label);
	isf_put_text(w->sink, "}");
}

enum { TYPE_DEPTH_MAX = 32 };

/* A reference to a type, as fields and symbols have it. */
static void put_type(struct writer *w, uint32_t id, int depth)
{
	struct btf_type type;
	id = btf_resolve(w->btf, id);
	if (!id || depth > TYPE_DEPTH_MAX || !btf_type(w->btf, id, &type)) {
		put_base(w, "void");
		return;
	}
	uint32_t element, count;
	switch (type.kind) {
	case BTF_INT:
	case BTF_FLOAT:
		put_base(w, type.name);
		break;
	case BTF_PTR:
		isf_put_text(w->sink, "{\"kind\":\"pointer\",\"subtype\":");
		put_type(w, type.target, depth + 1);
		isf_put_text(w->sink, "}");
		break;
	case BTF_ARRAY:
		btf_array(&type, &element, &count);
		isf_put_format(w->sink, "{\"kind\":\"array\",\"count\":%u,\"subtype\":", count);
		put_type(w, element, depth + 1);
		isf_put_text(w->sink, "}");
		break;
	case BTF_FUNC:
	case BTF_FUNC_PROTO:
		isf_put_text(w->sink, "{\"kind\":\"function\"}");
		break;
	case BTF_STRUCT:
	case BTF_UNION:
	case BTF_ENUM:
	case BTF_ENUM64:
	case BTF_FWD:
		put_named(w, &type);
		break;
	default:
		put_base(w, "void");
	}
}

static bool is_base(const struct btf_type *type)
{
	return (type->kind == BTF_INT || type->kind == BTF_FLOAT) && *type->name;
}

/* BTF says "char" with the encoding of a number; ISF wants to know that it is a character. */
static void put_base_type(struct writer *w, const struct btf_type *type)
{
	uint8_t encoding = type->kind == BTF_INT ? type->extra[3] & 0xf : 0;
	bool is_char = type->size_bytes == 1 && strstr(type->name, "char");
	const char *kind = type->kind == BTF_FLOAT ? "float"
			   : encoding & 4	   ? "bool"
			   : is_char		   ? "char"
						   : "int";
	isf_put_string(w->sink, type->name);
	isf_put_format(w->sink,
		       ":{\"size\":%u,\"signed\":%s,\"kind\":\"%s\",\"endian\":\"little\"}",
		       type->size_bytes, encoding & 1 ? "true" : "false", kind);
	w->counts.base_types++;
}

static void put_base_types(struct writer *w)
{
	struct btf_type type;
	unsigned word = guest_word_bytes(w->guest);
	isf_put_format(
		w->sink,
		"\"base_types\":{\"void\":{\"size\":0,\"signed\":false,\"kind\":\"void\","
		"\"endian\":\"little\"},\"pointer\":{\"size\":%u,\"signed\":false,"
		"\"kind\":\"int\",\"endian\":\"little\"}",
		word);
	w->counts.base_types = 2;
	for (uint32_t id = 1; id < btf_count(w->btf); id++) {
		if (!btf_type(w->btf, id, &type) || !is_base(&type) ||
		    btf_find(w->btf, type.name) != id)
			continue;
		isf_put_text(w->sink, ",");
		put_base_type(w, &type);
	}
	isf_put_text(w->sink, "}");
}

/* A bitfield sits in a unit of its declared type; the unit's offset is the field's. */
static void put_bitfield(struct writer *w, const struct btf_member *member)
{
	uint64_t unit_bits = btf_size(w->btf, member->type) * 8;
	uint32_t unit = unit_bits ? (uint32_t)(member->bit_offset / unit_bits * unit_bits) : 0;
	if (!unit_bits || member->bit_offset + member->bit_size > unit + unit_bits)
		unit = member->bit_offset / 8 * 8; /* packed across units */
	isf_put_format(w->sink,
		       ":{\"offset\":%u,\"type\":{\"kind\":\"bitfield\",\"bit_position\":%u,"
		       "\"bit_length\":%u,\"type\":",
		       unit / 8, member->bit_offset - unit, member->bit_size);
	put_type(w, member->type, 0);
	isf_put_text(w->sink, "}}");
}

static void put_field(struct writer *w, const struct btf_member *member, uint32_t n)
{
	struct btf_type inner;
	bool unnamed = !*member->name;
	char label[32];
	snprintf(label, sizeof(label), "unnamed_field_%u", n);
	isf_put_string(w->sink, unnamed ? label : member->name);
	if (member->bit_size) {
		put_bitfield(w, member);
		return;
	}
	isf_put_text(w->sink, ":{\"type\":");
	put_type(w, member->type, 0);
	bool anonymous = unnamed &&
			 btf_type(w->btf, btf_resolve(w->btf, member->type), &inner) &&
			 (inner.kind == BTF_STRUCT || inner.kind == BTF_UNION);
	isf_put_format(w->sink, ",\"offset\":%u%s}", member->bit_offset / 8,
		       anonymous ? ",\"anonymous\":true" : "");
}

/* The struct of tk_core has no name: it is the one with a timekeeper behind a counter. */
static void note_timekeeper(struct writer *w, const struct btf_type *type)
{
	struct btf_place place;
	if (*type->name || type->kind != BTF_STRUCT || type->count < 2 || w->timekeeper_core)
		return;
	if (btf_place(w->btf, type->id, "seq", &place) &&
	    btf_place(w->btf, type->id, "timekeeper", &place))
		w->timekeeper_core = type->id;
}

/* In 7.x every taint is shown for modules and taint_flag.module is gone; Volatility 3 asks for
 * it. The flag's letter, which is never zero, says the same. */
static void put_lost_members(struct writer *w, const struct btf_type *type)
{
	struct btf_place place;
	if (strcmp(type->name, "taint_flag") || btf_place(w->btf, type->id, "module", &place) ||
	    !btf_place(w->btf, type->id, "c_true", &place))
		return;
	isf_put_text(w->sink, ",\"module\":{\"type\":");
	put_type(w, place.type, 0);
	isf_put_format(w->sink, ",\"offset\":%u}", (unsigned)(place.bit_offset / 8));
}

static void put_user_type(struct writer *w, const struct btf_type *type)
{
	char label[512];
	type_label(w, type, label, sizeof(label));
	isf_put_string(w->sink, label);
	isf_put_format(w->sink, ":{\"kind\":\"%s\",\"size\":%u,\"fields\":{", kind_word(type),
		       type->size_bytes);
	bool first = true;
	for (uint32_t n = 0; n < type->count; n++) {
		struct btf_member member;
		btf_member(type, w->btf, n, &member);
		/* A bitfield without a name is padding. */
		if (!*member.name && member.bit_size)
			continue;
		isf_put_text(w->sink, first ? "" : ",");
		first = false;
		put_field(w, &member, n);
	}
	put_lost_members(w, type);
	isf_put_text(w->sink, "}}");
	note_timekeeper(w, type);
	w->counts.user_types++;
}

static void put_user_types(struct writer *w)
{
	struct btf_type type;
	isf_put_text(w->sink, "\"user_types\":{");
	for (uint32_t id = 1; id < btf_count(w->btf); id++) {
		if (!btf_type(w->btf, id, &type) ||
		    (type.kind != BTF_STRUCT && type.kind != BTF_UNION))
			continue;
		isf_put_text(w->sink, w->counts.user_types ? "," : "");
		put_user_type(w, &type);
	}
	isf_put_text(w->sink, "}");
}

static void put_enum(struct writer *w, const struct btf_type *type)
{
	static const char *const bases[2][2] = { { "unsigned int", "int" },
						 { "long unsigned int", "long int" } };
	char label[512];
	const char *name;
	int64_t value;
	type_label(w, type, label, sizeof(label));
	isf_put_string(w->sink, label);
	isf_put_format(w->sink, ":{\"size\":%u,\"base\":\"%s\",\"constants\":{",
		       type->size_bytes,
		       type->size_bytes == 1 ? "unsigned char"
					     : bases[type->size_bytes == 8][type->flag]);
	for (uint32_t n = 0; btf_enum_value(w->btf, type, n, &name, &value); n++) {
		isf_put_text(w->sink, n ? "," : "");
		isf_put_string(w->sink, name);
		isf_put_format(w->sink, ":%" PRId64, value);
	}
	isf_put_text(w->sink, "}}");
	w->counts.enums++;
}

static void put_enums(struct writer *w)
{
	struct btf_type type;
	isf_put_text(w->sink, "\"enums\":{");
	for (uint32_t id = 1; id < btf_count(w->btf); id++) {
		if (!btf_type(w->btf, id, &type) ||
		    (type.kind != BTF_ENUM && type.kind != BTF_ENUM64))
			continue;
		isf_put_text(w->sink, w->counts.enums ? "," : "");
		put_enum(w, &type);
	}
	isf_put_text(w->sink, "}");
}

/* Bytes from a symbol to the next one above it: the size of what it names, or a little more. */
static uint64_t room_of(struct writer *w, uint64_t address)
{
	size_t low = 0, high = symtab_count(w->symbols);
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		size_t at = symtab_sorted(w->symbols, middle);
		if (symtab_get(w->symbols, at).address <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == symtab_count(w->symbols))
		return 0;
	return symtab_get(w->symbols, symtab_sorted(w->symbols, low)).address - address;
}

/* Writes a type of the table above; false when this kernel has no such type. */
static bool put_typed(struct writer *w, const char *words, uint64_t address)
{
	char name[128];
	bool pointer = *words == '*';
	snprintf(name, sizeof(name), "%s", words + pointer);
	size_t length = strlen(name);
	bool array = length > 2 && !strcmp(name + length - 2, "[]");
	if (array)
		name[length - 2] = 0;
	uint32_t id = btf_find(w->btf, name);
	uint64_t size = pointer ? guest_word_bytes(w->guest) : btf_size(w->btf, id);
	if (!id || !size)
		return false;
	if (array)
		isf_put_format(w->sink,
			       "{\"kind\":\"array\",\"count\":%" PRIu64 ",\"subtype\":",
			       room_of(w, address) / size);
	isf_put_text(w->sink, pointer ? "{\"kind\":\"pointer\",\"subtype\":" : "");
	put_type(w, id, 0);
	isf_put_text(w->sink, pointer ? "}" : "");
	isf_put_text(w->sink, array ? "}" : "");
	return true;
}

static int by_name(const void *a, const void *b)
{
	const struct btf_type *left = a, *right = b;
	return strcmp(left->name, right->name);
}

static struct error *collect_vars(struct writer *w)
{
	struct btf_type type;
	for (uint32_t id = 1; id < btf_count(w->btf); id++)
		if (btf_type(w->btf, id, &type) && type.kind == BTF_VAR &&
		    !VEC_PUSH(&w->vars, type))
			return error_create(ERR_MEMORY, "no memory for a list of variables");
	if (w->vars.count)
		qsort(w->vars.items, w->vars.count, sizeof(type), by_name);
	return NULL;
}

static const struct btf_type *find_var(const struct writer *w, const char *name)
{
	struct btf_type key = { .name = name };
	return w->vars.count ? bsearch(&key, w->vars.items, w->vars.count, sizeof(key), by_name)
			     : NULL;
}

static void put_symbol_type(struct writer *w, const struct symbol *symbol)
{
	const struct btf_type *var = find_var(w, symbol->name);
	if (!strcmp(symbol->name, "linux_banner")) {
		isf_put_format(w->sink, "{\"kind\":\"array\",\"count\":%zu,\"subtype\":",
			       strlen(w->banner) + 1);
		put_base(w, "char");
		isf_put_text(w->sink, "}");
		return;
	}
	if (!strcmp(symbol->name, "tk_core") && w->timekeeper_core) {
		put_type(w, w->timekeeper_core, 0);
		return;
	}
	for (size_t i = 0; i < sizeof(typed_symbols) / sizeof(typed_symbols[0]); i++)
		if (!strcmp(symbol->name, typed_symbols[i][0]) &&
		    put_typed(w, typed_symbols[i][1], symbol->address))
			return;
	if (var)
		put_type(w, var->target, 0);
	else if (symbol->type == 't' || symbol->type == 'T')
		isf_put_text(w->sink, "{\"kind\":\"function\"}");
	else
		put_base(w, "void");
}

/* The address the kernel was linked at. Per-CPU symbols are small numbers and stay. */
static uint64_t linked_address(const struct writer *w, uint64_t address)
{
	return address >= w->summary.image_gva ? address - w->summary.kernel_offset : address;
}

static void put_symbol(struct writer *w, const struct symbol *symbol)
{
	isf_put_text(w->sink, w->counts.symbols++ ? "," : "");
	isf_put_string(w->sink, symbol->name);
	isf_put_text(w->sink, ":{\"type\":");
	put_symbol_type(w, symbol);
	isf_put_format(w->sink, ",\"address\":%" PRIu64, linked_address(w, symbol->address));
	if (!strcmp(symbol->name, "linux_banner") && w->banner) {
		isf_put_text(w->sink, ",\"constant_data\":\"");
		isf_put_base64(w->sink, w->banner, strlen(w->banner) + 1);
		isf_put_text(w->sink, "\"");
	}
	isf_put_text(w->sink, "}");
}

/* Kernels before 6.12 do not list the symbols of the table itself. */
static void put_table_symbols(struct writer *w)
{
	const struct guest *guest = w->guest;
	const struct kallsyms *k = &guest->kallsyms;
	uint64_t base = guest->kallsyms_gpa - guest->image_delta, found;
	uint64_t after = align_up(k->offsets + 4ull * k->count, 8);
	const struct {
		const char *name;
		uint64_t offset;
		bool exists;
	} tables[] = {
		{ "kallsyms_num_syms", k->num_syms, true },
		{ "kallsyms_names", k->names, true },
		{ "kallsyms_markers", k->markers, true },
		{ "kallsyms_token_table", k->token_table, true },
		{ "kallsyms_token_index", k->token_index, true },
		{ "kallsyms_offsets", k->offsets, k->addressing != KALLSYMS_ABSOLUTE },
		{ "kallsyms_relative_base", after, k->relative_base != 0 },
	};
	for (size_t i = 0; guest->has_kallsyms && i < sizeof(tables) / sizeof(tables[0]); i++)
		if (tables[i].exists && !symtab_find(w->symbols, tables[i].name, &found))
			put_symbol(w, &(struct symbol){ .name = tables[i].name,
							.address = base + tables[i].offset,
							.type = 'r' });
}

/* Only the first symbol of a name: a JSON object has each key once. */
static void put_symbols(struct writer *w)
{
	isf_put_text(w->sink, "\"symbols\":{");
	for (size_t i = 0; i < symtab_count(w->symbols); i++) {
		struct symbol symbol = symtab_get(w->symbols, i);
		uint64_t first;
		if (symtab_find(w->symbols, symbol.name, &first) && first == symbol.address)
			put_symbol(w, &symbol);
	}
	put_table_symbols(w);
	isf_put_text(w->sink, "}");
}

/* The banner in memory ends with a newline that the summary may lack; tools compare all of it.
 */
static struct error *read_banner(struct writer *w)
{
	uint64_t gva;
	char text[1024];
	TRY(error_alloc(1, sizeof(text), &w->banner));
	if (!guest_symbol(w->guest, "linux_banner", &gva) ||
	    !guest_read_text(w->guest, gva, text, sizeof(text)))
		snprintf(text, sizeof(text), "%s\n",
			 w->summary.banner ? w->summary.banner : "");
	memcpy(w->banner, text, sizeof(text));
	return NULL;
}

static struct error *write_all(struct writer *w)
{
	isf_put_text(w->sink, "{\"metadata\":{\"linux\":{\"symbols\":[],\"types\":[]},"
			      "\"producer\":{\"name\":\"glassbox\",\"version\":\"0.1.0\"},"
			      "\"format\":\"6.2.0\"},");
	put_base_types(w);
	isf_put_text(w->sink, ",");
	put_user_types(w);
	isf_put_text(w->sink, ",");
	put_enums(w);
	isf_put_text(w->sink, ",");
	put_symbols(w);
	isf_put_text(w->sink, "}\n");
	return isf_sink_finish(w->sink, &w->counts.json_bytes);
}

struct error *isf_write(struct guest *guest, const char *path, struct isf_written *ret)
{
	AUTO(own_isf_sink) struct isf_sink *sink = NULL;
	AUTO(own_free) char *banner = NULL;
	struct writer w = { .guest = guest,
			    .btf = guest_types(guest),
			    .symbols = guest_symtab(guest) };
	if (!w.btf || !w.symbols)
		return error_hint(error_create(ERR_NOT_FOUND, "this kernel's %s are not known",
					       w.btf ? "symbols" : "types"),
				  "give them with --symbols FILE");
	guest_summary(guest, &w.summary);
	struct error *err = read_banner(&w);
	banner = w.banner;
	if (err)
		return err;
	TRY(isf_sink_create(path, &sink));
	w.sink = sink;
	err = collect_vars(&w);
	if (!err)
		err = write_all(&w);
	VEC_FREE(&w.vars);
	TRY(err);
	*ret = w.counts;
	return NULL;
}
