#include "guest/isf_read.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/own.h"
#include "guest/btf_build.h"
#include "guest/json_scan.h"
#include "guest/symtab.h"

/* Base types are referred to by name and may come last in the file, so each use is a typedef of
 * a label that the base type defines at the end, as structs do. */
enum { NAME_BYTES = 512, TYPE_DEPTH_MAX = 32 };

struct reader {
	struct json_scan scan;
	struct btf_builder *builder;
	struct symtab *symbols;
	unsigned pointer_bytes;
	struct error *err; /* of symtab_add */
};

/* What a type descriptor says, before it is made into a type. */
struct descriptor {
	char kind[16], name[NAME_BYTES];
	uint32_t subtype;
	uint64_t count, bit_position, bit_length;
};

static void copy_text(struct reader *r, char *to, size_t size)
{
	if (json_scan_string(&r->scan))
		snprintf(to, size, "%s", r->scan.text);
}

static uint32_t read_type(struct reader *r, int depth, uint64_t *bit_position,
			  uint64_t *bit_length);

static void read_descriptor(struct reader *r, int depth, struct descriptor *d)
{
	struct json_scan *scan = &r->scan;
	if (!json_scan_open(scan, '{'))
		return;
	while (json_scan_key(scan)) {
		if (!strcmp(scan->text, "kind"))
			copy_text(r, d->kind, sizeof(d->kind));
		else if (!strcmp(scan->text, "name"))
			copy_text(r, d->name, sizeof(d->name));
		else if (!strcmp(scan->text, "count"))
			json_scan_number(scan, &d->count);
		else if (!strcmp(scan->text, "bit_position"))
			json_scan_number(scan, &d->bit_position);
		else if (!strcmp(scan->text, "bit_length"))
			json_scan_number(scan, &d->bit_length);
		else if (!strcmp(scan->text, "subtype") || !strcmp(scan->text, "type"))
			d->subtype = read_type(r, depth + 1, NULL, NULL);
		else
			json_scan_skip(scan);
	}
}

/* The label of a base type cannot clash with a struct's: names of types have no colon. */
static uint32_t base_reference(struct reader *r, const char *name)
{
	char label[NAME_BYTES + 8];
	if (!strcmp(name, "void"))
		return 0;
	if (!strcmp(name, "pointer"))
		return btf_build_pointer(r->builder, 0);
	snprintf(label, sizeof(label), "base:%s", name);
	return btf_build_reference(r->builder, BTF_ENUM, label);
}

static uint32_t read_type(struct reader *r, int depth, uint64_t *bit_position,
			  uint64_t *bit_length)
{
	struct descriptor d = { 0 };
	if (depth > TYPE_DEPTH_MAX) {
		json_scan_skip(&r->scan);
		return 0;
	}
	read_descriptor(r, depth, &d);
	if (!strcmp(d.kind, "pointer"))
		return btf_build_pointer(r->builder, d.subtype);
	if (!strcmp(d.kind, "array"))
		return btf_build_array(r->builder, d.subtype, (uint32_t)d.count);
	if (!strcmp(d.kind, "function"))
		return btf_build_function(r->builder);
	if (!strcmp(d.kind, "bitfield")) {
		if (bit_position) {
			*bit_position = d.bit_position;
			*bit_length = d.bit_length;
		}
		return d.subtype;
	}
	if (!strcmp(d.kind, "base"))
		return base_reference(r, d.name);
	if (!strcmp(d.kind, "enum"))
		return btf_build_reference(r->builder, BTF_ENUM, d.name);
	return btf_build_reference(r->builder,
				   !strcmp(d.kind, "union") ? BTF_UNION : BTF_STRUCT, d.name);
}

static void read_field(struct reader *r, const char *name)
{
	struct json_scan *scan = &r->scan;
	uint64_t offset = 0, bit_position = 0, bit_length = 0;
	uint32_t type = 0;
	bool anonymous = false;
	if (!json_scan_open(scan, '{'))
		return;
	while (json_scan_key(scan)) {
		if (!strcmp(scan->text, "offset"))
			json_scan_number(scan, &offset);
		else if (!strcmp(scan->text, "type"))
			type = read_type(r, 0, &bit_position, &bit_length);
		else if (!strcmp(scan->text, "anonymous"))
			json_scan_bool(scan, &anonymous);
		else
			json_scan_skip(scan);
	}
	if (offset > UINT32_MAX / 8 || bit_position > 64 || bit_length > 64)
		scan->failed = true;
	else if (!scan->failed)
		btf_build_member(r->builder, anonymous ? "" : name, type,
				 offset * 8 + bit_position, (uint32_t)bit_length);
}

/* Size and kind may come behind the fields, so the value is read twice. */
static void read_shape(struct json_scan scan, bool *is_union, uint64_t *size)
{
	scan.text = NULL;
	scan.room = 0;
	if (json_scan_open(&scan, '{'))
		while (json_scan_key(&scan)) {
			if (!strcmp(scan.text, "size"))
				json_scan_number(&scan, size);
			else if (!strcmp(scan.text, "kind"))
				*is_union =
					json_scan_string(&scan) && !strcmp(scan.text, "union");
			else
				json_scan_skip(&scan);
		}
	json_scan_deinit(&scan);
}

static const char *name_of_label(const char *label)
{
	return strncmp(label, "unnamed_", 8) ? label : "";
}

static void read_user_type(struct reader *r, const char *label)
{
	struct json_scan *scan = &r->scan;
	bool is_union = false;
	uint64_t size = 0;
	read_shape(*scan, &is_union, &size);
	btf_build_struct_begin(r->builder, is_union, label, name_of_label(label),
			       (uint32_t)size);
	if (json_scan_open(scan, '{'))
		while (json_scan_key(scan)) {
			if (strcmp(scan->text, "fields")) {
				json_scan_skip(scan);
				continue;
			}
			if (json_scan_open(scan, '{'))
				while (json_scan_key(scan)) {
					char name[NAME_BYTES];
					snprintf(name, sizeof(name), "%s", scan->text);
					read_field(r, name);
				}
		}
	btf_build_struct_end(r->builder);
}

static void read_enum(struct reader *r, const char *label)
{
	struct json_scan *scan = &r->scan;
	bool unused = false;
	uint64_t size = 4, value = 0;
	read_shape(*scan, &unused, &size);
	btf_build_enum_begin(r->builder, label, name_of_label(label), (uint32_t)size);
	if (json_scan_open(scan, '{'))
		while (json_scan_key(scan)) {
			if (strcmp(scan->text, "constants")) {
				json_scan_skip(scan);
				continue;
			}
			if (json_scan_open(scan, '{'))
				while (json_scan_key(scan)) {
					char name[NAME_BYTES];
					snprintf(name, sizeof(name), "%s", scan->text);
					if (json_scan_number(scan, &value))
						btf_build_enumerator(r->builder, name,
								     (int64_t)value);
				}
		}
	btf_build_enum_end(r->builder);
}

static void read_base_type(struct reader *r, const char *name)
{
	struct json_scan *scan = &r->scan;
	char kind[16] = "", label[NAME_BYTES + 8];
	uint64_t size = 0;
	bool is_signed = false;
	if (json_scan_open(scan, '{'))
		while (json_scan_key(scan)) {
			if (!strcmp(scan->text, "size"))
				json_scan_number(scan, &size);
			else if (!strcmp(scan->text, "kind"))
				copy_text(r, kind, sizeof(kind));
			else if (!strcmp(scan->text, "signed"))
				json_scan_bool(scan, &is_signed);
			else
				json_scan_skip(scan);
		}
	if (!strcmp(name, "pointer"))
		r->pointer_bytes = size == 4 ? 4 : 8;
	if (!strcmp(name, "void") || !strcmp(name, "pointer") || size == 0 || size > 16)
		return;
	uint32_t id = !strcmp(kind, "float") ? btf_build_float(r->builder, name, (uint32_t)size)
					     : btf_build_int(r->builder, name, (uint32_t)size,
							     is_signed, !strcmp(kind, "bool"));
	snprintf(label, sizeof(label), "base:%s", name);
	btf_build_alias(r->builder, BTF_ENUM, label, id);
}

static void read_symbol(struct reader *r, const char *name)
{
	struct json_scan *scan = &r->scan;
	uint64_t address = 0;
	struct descriptor d = { 0 };
	if (json_scan_open(scan, '{'))
		while (json_scan_key(scan)) {
			if (!strcmp(scan->text, "address"))
				json_scan_number(scan, &address);
			else if (!strcmp(scan->text, "type"))
				read_descriptor(r, 0, &d);
			else
				json_scan_skip(scan);
		}
	if (!scan->failed && !r->err)
		r->err = symtab_add(r->symbols, address, strcmp(d.kind, "function") ? 'D' : 'T',
				    name, strlen(name));
}

static void each(struct reader *r, void (*read)(struct reader *, const char *))
{
	if (!json_scan_open(&r->scan, '{'))
		return;
	while (json_scan_key(&r->scan) && !r->err) {
		char name[NAME_BYTES];
		snprintf(name, sizeof(name), "%s", r->scan.text);
		read(r, name);
	}
}

static void read_file(struct reader *r)
{
	static const struct {
		const char *section;
		void (*read)(struct reader *, const char *);
	} sections[] = { { "base_types", read_base_type },
			 { "user_types", read_user_type },
			 { "enums", read_enum },
			 { "symbols", read_symbol } };
	if (!json_scan_open(&r->scan, '{'))
		return;
	while (json_scan_key(&r->scan) && !r->err) {
		size_t i = 0, n = sizeof(sections) / sizeof(sections[0]);
		while (i < n && strcmp(r->scan.text, sections[i].section))
			i++;
		if (i < n)
			each(r, sections[i].read);
		else
			json_scan_skip(&r->scan);
	}
}

OWN_DECLARE(own_symtab, struct symtab *, symtab_destroy)

struct error *isf_read(const char *bytes, size_t length_bytes, struct symtab **symbols_ret,
		       struct btf **types_ret)
{
	AUTO(own_btf_builder) struct btf_builder *builder = NULL;
	AUTO(own_symtab) struct symtab *symbols = NULL;
	TRY(btf_builder_create(&builder));
	TRY(symtab_create(&symbols));
	struct reader r = { .builder = builder, .symbols = symbols, .pointer_bytes = 8 };
	json_scan_init(&r.scan, bytes, length_bytes);
	read_file(&r);
	size_t offset = (size_t)(r.scan.at - r.scan.start);
	json_scan_deinit(&r.scan);
	TRY(r.err);
	if (r.scan.failed)
		return error_create(ERR_BAD_DATA, "not an ISF file: offset %zu makes no sense",
				    offset);
	if (!symtab_count(symbols))
		return error_create(ERR_BAD_DATA, "the ISF file names no symbols");
	TRY(btf_builder_finish(builder, r.pointer_bytes, types_ret));
	*symbols_ret = TAKE(symbols);
	return NULL;
}
