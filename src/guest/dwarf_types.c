/* Each unit of a kernel repeats the types it uses. A named struct, union or enum is taken from
 * the first unit that defines it; everything else refers to it by name. Unnamed ones are made
 * where they are used. */
#include "guest/dwarf_types.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/vec.h"
#include "guest/btf_build.h"

enum { TYPE_DEPTH_MAX = 32, UNNAMED_DEPTH_MAX = 16 };

struct reader {
	struct btf_builder *builder;
	uint64_t n_unnamed;
};

static uint32_t type_of(struct reader *r, Dwarf_Die *die, int depth);

static uint64_t number_of(Dwarf_Die *die, unsigned name, uint64_t otherwise)
{
	Dwarf_Attribute attribute;
	Dwarf_Word value;
	if (!dwarf_attr_integrate(die, name, &attribute) || dwarf_formudata(&attribute, &value))
		return otherwise;
	return value;
}

static bool has_children_defined(Dwarf_Die *die)
{
	Dwarf_Attribute attribute;
	return !dwarf_attr(die, DW_AT_declaration, &attribute);
}

static enum btf_kind kind_of(Dwarf_Die *die)
{
	int tag = dwarf_tag(die);
	return tag == DW_TAG_union_type		? BTF_UNION
	       : tag == DW_TAG_enumeration_type ? BTF_ENUM
						: BTF_STRUCT;
}

/* Bit offset of a member: newer DWARF counts from the start of the struct, older from the big
 * end of the storage unit. */
static uint64_t bit_offset_of(Dwarf_Die *member, uint64_t bits)
{
	uint64_t bytes = number_of(member, DW_AT_data_member_location, 0);
	uint64_t direct = number_of(member, DW_AT_data_bit_offset, UINT64_MAX);
	uint64_t from_top = number_of(member, DW_AT_bit_offset, UINT64_MAX);
	if (direct != UINT64_MAX)
		return direct;
	if (from_top == UINT64_MAX)
		return bytes * 8;
	Dwarf_Die type;
	Dwarf_Attribute attribute;
	uint64_t unit = number_of(member, DW_AT_byte_size, 0);
	if (!unit && dwarf_attr_integrate(member, DW_AT_type, &attribute) &&
	    dwarf_formref_die(&attribute, &type))
		unit = (uint64_t)dwarf_bytesize(&type);
	return bytes * 8 + (unit * 8 - from_top - bits);
}

/* A struct is open while its members are added, and only one can be: so the types of all
 * members are made first. */
static void define_struct(struct reader *r, Dwarf_Die *die, const char *label, const char *name,
			  int depth)
{
	struct member {
		const char *name;
		uint32_t type;
		uint64_t offset, bits;
	};
	VEC(struct member) members = { 0 };
	Dwarf_Die child;
	for (int status = dwarf_child(die, &child); !status;
	     status = dwarf_siblingof(&child, &child)) {
		if (dwarf_tag(&child) != DW_TAG_member || members.count >= 0xffff)
			continue;
		struct member member = { .name = dwarf_diename(&child),
					 .bits = number_of(&child, DW_AT_bit_size, 0) };
		member.offset = bit_offset_of(&child, member.bits);
		member.type = type_of(r, &child, depth + 1);
		if (!VEC_PUSH(&members, member))
			break;
	}
	int size = dwarf_bytesize(die);
	btf_build_struct_begin(r->builder, dwarf_tag(die) == DW_TAG_union_type, label, name,
			       size > 0 ? (uint32_t)size : 0);
	for (size_t i = 0; i < members.count; i++)
		btf_build_member(r->builder, members.items[i].name ? members.items[i].name : "",
				 members.items[i].type, members.items[i].offset,
				 (uint32_t)members.items[i].bits);
	btf_build_struct_end(r->builder);
	VEC_FREE(&members);
}

static void define_enum(struct reader *r, Dwarf_Die *die, const char *label, const char *name)
{
	Dwarf_Die child;
	int size = dwarf_bytesize(die);
	btf_build_enum_begin(r->builder, label, name, size == 8 ? 8 : 4);
	for (int status = dwarf_child(die, &child); !status;
	     status = dwarf_siblingof(&child, &child)) {
		Dwarf_Attribute attribute;
		Dwarf_Sword value;
		const char *word = dwarf_diename(&child);
		if (dwarf_tag(&child) == DW_TAG_enumerator && word &&
		    dwarf_attr(&child, DW_AT_const_value, &attribute) &&
		    !dwarf_formsdata(&attribute, &value))
			btf_build_enumerator(r->builder, word, value);
	}
	btf_build_enum_end(r->builder);
}

static void define(struct reader *r, Dwarf_Die *die, const char *label, const char *name,
		   int depth)
{
	if (kind_of(die) == BTF_ENUM)
		define_enum(r, die, label, name);
	else
		define_struct(r, die, label, name, depth);
}

static uint32_t compound_type(struct reader *r, Dwarf_Die *die, int depth)
{
	const char *name = dwarf_diename(die);
	char label[32];
	if (name)
		return btf_build_reference(r->builder, kind_of(die), name);
	if (depth > UNNAMED_DEPTH_MAX)
		return 0;
	snprintf(label, sizeof(label), "unnamed_%llx",
		 (unsigned long long)dwarf_dieoffset(die));
	if (!btf_build_is_defined(r->builder, kind_of(die), label))
		define(r, die, label, "", depth);
	return btf_build_reference(r->builder, kind_of(die), label);
}

static uint32_t base_type(struct reader *r, Dwarf_Die *die)
{
	const char *name = dwarf_diename(die);
	char label[128];
	uint64_t encoding = number_of(die, DW_AT_encoding, DW_ATE_unsigned);
	int size = dwarf_bytesize(die);
	if (!name || size <= 0 || size > 16)
		return 0;
	snprintf(label, sizeof(label), "base:%s", name);
	if (!btf_build_is_defined(r->builder, BTF_ENUM, label)) {
		bool is_signed = encoding == DW_ATE_signed || encoding == DW_ATE_signed_char;
		uint32_t id = encoding == DW_ATE_float
				      ? btf_build_float(r->builder, name, (uint32_t)size)
				      : btf_build_int(r->builder, name, (uint32_t)size,
						      is_signed, encoding == DW_ATE_boolean);
		btf_build_alias(r->builder, BTF_ENUM, label, id);
	}
	return btf_build_reference(r->builder, BTF_ENUM, label);
}

/* Dimensions from the last to the first: the last is the innermost. */
static uint32_t array_type(struct reader *r, Dwarf_Die *die, int depth)
{
	uint32_t counts[8], n = 0, id = type_of(r, die, depth + 1);
	Dwarf_Die child;
	for (int status = dwarf_child(die, &child); !status && n < 8;
	     status = dwarf_siblingof(&child, &child)) {
		if (dwarf_tag(&child) != DW_TAG_subrange_type)
			continue;
		uint64_t last = number_of(&child, DW_AT_upper_bound, UINT64_MAX);
		counts[n++] = (uint32_t)number_of(&child, DW_AT_count, last + 1);
	}
	while (n--)
		id = btf_build_array(r->builder, id, counts[n]);
	return id;
}

/* The type that die's DW_AT_type names; void without one. */
static uint32_t type_of(struct reader *r, Dwarf_Die *die, int depth)
{
	Dwarf_Attribute attribute;
	Dwarf_Die type;
	if (depth > TYPE_DEPTH_MAX || !dwarf_attr_integrate(die, DW_AT_type, &attribute) ||
	    !dwarf_formref_die(&attribute, &type))
		return 0;
	switch (dwarf_tag(&type)) {
	case DW_TAG_base_type:
		return base_type(r, &type);
	case DW_TAG_pointer_type:
		return btf_build_pointer(r->builder, type_of(r, &type, depth + 1));
	case DW_TAG_array_type:
		return array_type(r, &type, depth);
	case DW_TAG_subroutine_type:
		return btf_build_function(r->builder);
	case DW_TAG_structure_type:
	case DW_TAG_union_type:
	case DW_TAG_enumeration_type:
		return compound_type(r, &type, depth);
	default: /* typedef, const, volatile, ... */
		return type_of(r, &type, depth + 1);
	}
}

/* Named types, and typedefs of unnamed structs, at the top of a unit. */
static void read_unit(struct reader *r, Dwarf_Die *unit)
{
	Dwarf_Die die;
	for (int status = dwarf_child(unit, &die); !status;
	     status = dwarf_siblingof(&die, &die)) {
		const char *name = dwarf_diename(&die);
		int tag = dwarf_tag(&die);
		if (!name)
			continue;
		if (tag == DW_TAG_structure_type || tag == DW_TAG_union_type ||
		    tag == DW_TAG_enumeration_type) {
			if (has_children_defined(&die) &&
			    !btf_build_is_defined(r->builder, kind_of(&die), name))
				define(r, &die, name, name, 0);
			continue;
		}
		char label[256];
		snprintf(label, sizeof(label), "typedef:%s", name);
		if (tag == DW_TAG_typedef &&
		    !btf_build_is_defined(r->builder, BTF_ENUM, label)) {
			uint32_t id = btf_build_typedef(r->builder, name, type_of(r, &die, 0));
			btf_build_alias(r->builder, BTF_ENUM, label, id);
		}
	}
}

static void own_dwarf(Dwarf **dwarf)
{
	dwarf_end(*dwarf);
}

struct error *dwarf_types_read(Elf *elf, unsigned word_bytes, struct btf **ret)
{
	AUTO(own_dwarf) Dwarf *dwarf = dwarf_begin_elf(elf, DWARF_C_READ, NULL);
	AUTO(own_btf_builder) struct btf_builder *builder = NULL;
	if (!dwarf)
		return NULL;
	TRY(btf_builder_create(&builder));
	struct reader r = { .builder = builder };
	Dwarf_CU *unit = NULL;
	Dwarf_Die die;
	uint8_t kind;
	while (!dwarf_get_units(dwarf, unit, &unit, NULL, &kind, &die, NULL))
		if (kind == DW_UT_compile || kind == DW_UT_partial || kind == DW_UT_type)
			read_unit(&r, &die);
	return btf_builder_finish(builder, word_bytes, ret);
}
