/* BTF, the compact type information that a kernel carries in its image: an index of type ids,
 * lookup of types by name and of members by path. Other sources of types (ISF, DWARF) are
 * turned into the same form. The bytes are a private copy and are checked once, completely,
 * when the index is made; after that every access is in bounds. Thread: one. */
#ifndef GUEST_BTF_H
#define GUEST_BTF_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
struct error;
struct btf;

enum btf_kind {
	BTF_VOID,
	BTF_INT,
	BTF_PTR,
	BTF_ARRAY,
	BTF_STRUCT,
	BTF_UNION,
	BTF_ENUM,
	BTF_FWD,
	BTF_TYPEDEF,
	BTF_VOLATILE,
	BTF_CONST,
	BTF_RESTRICT,
	BTF_FUNC,
	BTF_FUNC_PROTO,
	BTF_VAR,
	BTF_DATASEC,
	BTF_FLOAT,
	BTF_DECL_TAG,
	BTF_TYPE_TAG,
	BTF_ENUM64,
	BTF_N_KINDS,
};

enum { BTF_MAGIC = 0xEB9F, BTF_HEADER_BYTES = 24, BTF_BYTES_MAX = 64 << 20 };

struct btf_type {
	enum btf_kind kind;
	bool flag; /* structs: bitfield sizes are in offsets; enums: signed; FWD: a union */
	uint32_t id, count; /* members, values, parameters */
	uint32_t size_bytes; /* INT, STRUCT, UNION, ENUM, FLOAT, ENUM64 */
	uint32_t target; /* type id for PTR, TYPEDEF, CONST, VAR, FUNC, ... */
	const char *name; /* "" when it has none */
	const uint8_t *extra; /* what follows the record */
};

struct btf_member {
	const char *name;
	uint32_t type;
	uint32_t bit_offset;
	uint32_t bit_size; /* 0: not a bitfield */
};

/* Where a member lies, counted from the start of the outer struct. */
struct btf_place {
	uint64_t bit_offset;
	uint32_t bit_size; /* 0: not a bitfield */
	uint32_t size_bytes;
	uint32_t type; /* after typedefs and qualifiers */
};

/* Length of the whole blob that starts with this header, or 0 if it is not one. */
size_t btf_blob_bytes(const uint8_t *header, size_t available_bytes);

/* Takes bytes (from malloc), also when it fails. base is the kernel's BTF for a module's split
 * BTF (borrowed, must live longer), else NULL; pointer_bytes is 8 or 4. ERR_BAD_DATA. */
struct error *btf_create(uint8_t *bytes, size_t length_bytes, const struct btf *base,
			 unsigned pointer_bytes, struct btf **ret);
void btf_destroy(struct btf *btf);
void btf_set_pointer_bytes(struct btf *btf, unsigned pointer_bytes);

const uint8_t *btf_bytes(const struct btf *btf, size_t *length_ret); /* the blob, borrowed */
uint32_t btf_count(const struct btf *btf); /* ids 1 .. count-1 are valid */

/* False for an id out of range. Id 0 is void. */
bool btf_type(const struct btf *btf, uint32_t id, struct btf_type *ret);

/* The id of the struct, union, enum, typedef, int or float of that name; 0 when there is none.
 * A leading "struct ", "union " or "enum " restricts the kind. */
uint32_t btf_find(struct btf *btf, const char *name);

/* Follows typedefs and qualifiers. */
uint32_t btf_resolve(const struct btf *btf, uint32_t id);
/* Size of an object of that type, 0 when it has none. */
uint64_t btf_size(const struct btf *btf, uint32_t id);

void btf_member(const struct btf_type *type, const struct btf *btf, uint32_t n,
		struct btf_member *ret);

/* Finds the member named by path ("se.exec_start"), looking into unnamed members. */
bool btf_place(const struct btf *btf, uint32_t id, const char *path, struct btf_place *ret);

/* Value of an enumerator of any enum ("PG_slab"). The whole table is searched once, then
 * remembered. */
bool btf_enumerator(struct btf *btf, const char *name, int64_t *ret);

/* The nth value of an enum type. */
bool btf_enum_value(const struct btf *btf, const struct btf_type *type, uint32_t n,
		    const char **name_ret, int64_t *value_ret);

/* Element type and count of an array type. */
void btf_array(const struct btf_type *type, uint32_t *element_ret, uint32_t *count_ret);
#endif
