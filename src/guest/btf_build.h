/* Makes a BTF blob out of types that come from elsewhere (ISF, DWARF), so that the rest of the
 * room knows one form only. Types may be referred to by name before they are defined. Thread:
 * one. */
#ifndef GUEST_BTF_BUILD_H
#define GUEST_BTF_BUILD_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/own.h"
#include "guest/btf.h"
struct btf_builder;
struct error;

struct error *btf_builder_create(struct btf_builder **ret);
void btf_builder_destroy(struct btf_builder *builder);
OWN_DECLARE(own_btf_builder, struct btf_builder *, btf_builder_destroy)

/* Every function below gives the id of the type; 0 is void. Without memory, or with too much of
 * anything, the builder remembers it and finish reports it. */
uint32_t btf_build_int(struct btf_builder *builder, const char *name, uint32_t size_bytes,
		       bool is_signed, bool is_bool);
uint32_t btf_build_float(struct btf_builder *builder, const char *name, uint32_t size_bytes);
uint32_t btf_build_pointer(struct btf_builder *builder, uint32_t target);
uint32_t btf_build_array(struct btf_builder *builder, uint32_t element, uint32_t count);
uint32_t btf_build_function(struct btf_builder *builder);
uint32_t btf_build_typedef(struct btf_builder *builder, const char *name, uint32_t target);

/* A struct, union or enum by its label, defined before, later or never (then it is opaque). */
uint32_t btf_build_reference(struct btf_builder *builder, enum btf_kind kind,
			     const char *label);
bool btf_build_is_defined(struct btf_builder *builder, enum btf_kind kind, const char *label);

/* Makes the label mean the type id, for types that are made in another way. */
void btf_build_alias(struct btf_builder *builder, enum btf_kind kind, const char *label,
		     uint32_t id);

/* begin, members, end. Other types may be made in between, but not another struct. The label is
 * what references use, the name what stays ("" for unnamed types). */
void btf_build_struct_begin(struct btf_builder *builder, bool is_union, const char *label,
			    const char *name, uint32_t size_bytes);
void btf_build_member(struct btf_builder *builder, const char *name, uint32_t type,
		      uint64_t bit_offset, uint32_t bit_size);
uint32_t btf_build_struct_end(struct btf_builder *builder);

void btf_build_enum_begin(struct btf_builder *builder, const char *label, const char *name,
			  uint32_t size_bytes);
void btf_build_enumerator(struct btf_builder *builder, const char *name, int64_t value);
uint32_t btf_build_enum_end(struct btf_builder *builder);

/* Resolves references and checks the whole. Caller owns *ret. ERR_MEMORY, ERR_LIMIT,
 * ERR_BAD_DATA. */
struct error *btf_builder_finish(struct btf_builder *builder, unsigned pointer_bytes,
				 struct btf **ret);
#endif
