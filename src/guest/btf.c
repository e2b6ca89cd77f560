/* Layout of a blob, all little-endian:
 *
 *   header  u16 magic, u8 version, u8 flags, u32 hdr_len, type_off, type_len, str_off, str_len
 *   types   { u32 name, u32 info, u32 size_or_type } extra ..     ids count from 1
 *   strings "\0" "name\0" ..
 *
 * info: count in bits 0-23, kind in bits 24-30, flag in bit 31. Kernels before 7.2 use fewer of
 * these bits and leave the others zero, so one decoding serves all.
 */
#include "guest/btf.h"

#include <string.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/vec.h"

enum { RECORD_BYTES = 12, TYPES_MAX = 16 << 20, RESOLVE_STEPS = 64 };

struct btf {
	uint8_t *bytes;
	size_t length_bytes;
	const uint8_t *types, *strings;
	uint32_t types_bytes, strings_bytes;
	uint32_t first_id, first_string; /* 1 and 0, or where a module's continue */
	const struct btf *base;
	unsigned pointer_bytes;
	VEC(uint32_t) offsets; /* of record id - first_id */
	uint32_t *buckets; /* id, open addressing by name */
	size_t n_buckets;
	struct enumerator *enumerators; /* open addressing by name; NULL until needed */
	size_t n_enumerators;
};

struct enumerator {
	const char *name;
	int64_t value;
};

/* Bytes behind the record: fixed, and per counted element. */
static const struct {
	uint8_t fixed, each, known;
} extra_bytes[BTF_N_KINDS] = {
	[BTF_INT] = { 4, 0, 1 },	[BTF_PTR] = { 0, 0, 1 },
	[BTF_ARRAY] = { 12, 0, 1 },	[BTF_STRUCT] = { 0, 12, 1 },
	[BTF_UNION] = { 0, 12, 1 },	[BTF_ENUM] = { 0, 8, 1 },
	[BTF_FWD] = { 0, 0, 1 },	[BTF_TYPEDEF] = { 0, 0, 1 },
	[BTF_VOLATILE] = { 0, 0, 1 },	[BTF_CONST] = { 0, 0, 1 },
	[BTF_RESTRICT] = { 0, 0, 1 },	[BTF_FUNC] = { 0, 0, 1 },
	[BTF_FUNC_PROTO] = { 0, 8, 1 }, [BTF_VAR] = { 4, 0, 1 },
	[BTF_DATASEC] = { 0, 12, 1 },	[BTF_FLOAT] = { 0, 0, 1 },
	[BTF_DECL_TAG] = { 4, 0, 1 },	[BTF_TYPE_TAG] = { 0, 0, 1 },
	[BTF_ENUM64] = { 0, 12, 1 },
};

static uint32_t info_count(uint32_t info)
{
	return info & 0xffffff;
}

static unsigned info_kind(uint32_t info)
{
	return (info >> 24) & 0x7f;
}

size_t btf_blob_bytes(const uint8_t *header, size_t available_bytes)
{
	if (available_bytes < BTF_HEADER_BYTES || load_u16(header) != BTF_MAGIC ||
	    header[2] != 1)
		return 0;
	uint64_t header_length = load_u32(header + 4);
	uint64_t type_end = header_length + load_u32(header + 8) + load_u32(header + 12);
	uint64_t string_end = header_length + load_u32(header + 16) + load_u32(header + 20);
	if (header_length < BTF_HEADER_BYTES || header_length > 4096 ||
	    load_u32(header + 8) % 4)
		return 0;
	uint64_t end = type_end > string_end ? type_end : string_end;
	return end <= BTF_BYTES_MAX ? (size_t)end : 0;
}

static struct error *read_header(struct btf *btf)
{
	size_t blob = btf_blob_bytes(btf->bytes, btf->length_bytes);
	if (!blob || blob > btf->length_bytes)
		return error_create(ERR_BAD_DATA, "not a BTF blob, or cut short");
	const uint8_t *after = btf->bytes + load_u32(btf->bytes + 4);
	btf->types = after + load_u32(btf->bytes + 8);
	btf->types_bytes = load_u32(btf->bytes + 12);
	btf->strings = after + load_u32(btf->bytes + 16);
	btf->strings_bytes = load_u32(btf->bytes + 20);
	if (!btf->strings_bytes || btf->strings[btf->strings_bytes - 1] ||
	    (!btf->base && btf->strings[0]))
		return error_create(ERR_BAD_DATA, "BTF strings do not end");
	return NULL;
}

/* Walks all records once and notes where each starts. */
static struct error *index_types(struct btf *btf)
{
	uint32_t at = 0;
	while (at < btf->types_bytes) {
		if (!range_fits(at, RECORD_BYTES, btf->types_bytes))
			return error_create(ERR_BAD_DATA, "BTF record at %u is cut short", at);
		uint32_t info = load_u32(btf->types + at + 4);
		unsigned kind = info_kind(info);
		if (kind >= BTF_N_KINDS || !extra_bytes[kind].known)
			return error_create(ERR_BAD_DATA, "BTF record at %u has kind %u", at,
					    kind);
		uint64_t extra = extra_bytes[kind].fixed +
				 (uint64_t)extra_bytes[kind].each * info_count(info);
		if (!range_fits(at + RECORD_BYTES, extra, btf->types_bytes))
			return error_create(ERR_BAD_DATA, "BTF record at %u is cut short", at);
		if (btf->offsets.count >= TYPES_MAX)
			return error_create(ERR_LIMIT, "more than %d BTF types", TYPES_MAX);
		if (!VEC_PUSH(&btf->offsets, at))
			return error_create(ERR_MEMORY, "no memory for BTF");
		at += RECORD_BYTES + (uint32_t)extra;
	}
	return NULL;
}

static const char *string_at(const struct btf *btf, uint32_t offset)
{
	if (btf->base && offset < btf->first_string)
		return string_at(btf->base, offset);
	offset -= btf->first_string;
	return offset < btf->strings_bytes ? (const char *)btf->strings + offset : "";
}

bool btf_type(const struct btf *btf, uint32_t id, struct btf_type *ret)
{
	if (!id) {
		*ret = (struct btf_type){ .name = "void", .extra = btf->types };
		return true;
	}
	if (btf->base && id < btf->first_id)
		return btf_type(btf->base, id, ret);
	if (id - btf->first_id >= btf->offsets.count)
		return false;
	const uint8_t *record = btf->types + btf->offsets.items[id - btf->first_id];
	uint32_t info = load_u32(record + 4), size_or_type = load_u32(record + 8);
	*ret = (struct btf_type){ .kind = (enum btf_kind)info_kind(info),
				  .flag = info >> 31,
				  .id = id,
				  .count = info_count(info),
				  .size_bytes = size_or_type,
				  .target = size_or_type,
				  .name = string_at(btf, load_u32(record)),
				  .extra = record + RECORD_BYTES };
	return true;
}

uint32_t btf_count(const struct btf *btf)
{
	return btf->first_id + (uint32_t)btf->offsets.count;
}

const uint8_t *btf_bytes(const struct btf *btf, size_t *length_ret)
{
	*length_ret = btf->length_bytes;
	return btf->bytes;
}

/* ORDER named kinds: the better one wins when two types share a name. */
static int name_rank(const struct btf_type *type)
{
	if (!*type->name)
		return 0;
	switch (type->kind) {
	case BTF_STRUCT:
	case BTF_UNION:
		return 4;
	case BTF_TYPEDEF:
		return 3;
	case BTF_ENUM:
	case BTF_ENUM64:
		return type->count ? 2 : 0;
	case BTF_INT:
	case BTF_FLOAT:
		return 1;
	default:
		return 0;
	}
}

static size_t hash_of(const struct btf *btf, const char *name)
{
	return (size_t)XXH3_64bits_withSeed(name, strlen(name), (uintptr_t)btf);
}

static size_t power_of_two_above(size_t wanted)
{
	size_t n = 256;
	while (n < wanted)
		n *= 2;
	return n;
}

static bool same_kind_name(const struct btf_type *a, const struct btf_type *b)
{
	bool a_compound = a->kind == BTF_STRUCT || a->kind == BTF_UNION;
	bool b_compound = b->kind == BTF_STRUCT || b->kind == BTF_UNION;
	return a_compound == b_compound && name_rank(a) == name_rank(b) &&
	       !strcmp(a->name, b->name);
}

/* Only the first type of each kind and name is kept: as the kernel's own lookup does. */
static void insert_name(struct btf *btf, const struct btf_type *type)
{
	size_t mask = btf->n_buckets - 1, at = hash_of(btf, type->name) & mask;
	for (; btf->buckets[at]; at = (at + 1) & mask) {
		struct btf_type other;
		if (btf_type(btf, btf->buckets[at], &other) && same_kind_name(type, &other))
			return;
	}
	btf->buckets[at] = type->id;
}

static bool build_names(struct btf *btf)
{
	size_t named = 0;
	struct btf_type type;
	for (uint32_t id = btf->first_id; btf_type(btf, id, &type); id++)
		named += name_rank(&type) > 0;
	btf->n_buckets = power_of_two_above(named * 2);
	btf->buckets = calloc(btf->n_buckets, sizeof(*btf->buckets));
	if (!btf->buckets)
		return false;
	for (uint32_t id = btf->first_id; btf_type(btf, id, &type); id++)
		if (name_rank(&type))
			insert_name(btf, &type);
	return true;
}

/* Splits "struct x" into its kind and "x"; -1 is any kind. */
static int wanted_kind(const char **name)
{
	static const struct {
		const char *word;
		int kind;
	} words[] = { { "struct ", BTF_STRUCT },
		      { "union ", BTF_UNION },
		      { "enum ", BTF_ENUM } };
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t length = strlen(words[i].word);
		if (strncmp(*name, words[i].word, length))
			continue;
		*name += length;
		return words[i].kind;
	}
	return -1;
}

uint32_t btf_find(struct btf *btf, const char *name)
{
	int kind = wanted_kind(&name), best_rank = 0;
	uint32_t best = 0;
	if (!btf->buckets && !build_names(btf))
		return 0;
	size_t mask = btf->n_buckets - 1;
	for (size_t at = hash_of(btf, name) & mask; btf->buckets[at]; at = (at + 1) & mask) {
		struct btf_type type;
		if (!btf_type(btf, btf->buckets[at], &type) || strcmp(type.name, name))
			continue;
		bool fits = kind < 0 || kind == (int)type.kind ||
			    (kind == BTF_ENUM && type.kind == BTF_ENUM64);
		if (fits && name_rank(&type) > best_rank) {
			best_rank = name_rank(&type);
			best = type.id;
		}
	}
	return best || !btf->base ? best : btf_find((struct btf *)btf->base, name);
}

uint32_t btf_resolve(const struct btf *btf, uint32_t id)
{
	struct btf_type type;
	for (int step = 0; step < RESOLVE_STEPS && btf_type(btf, id, &type); step++) {
		switch (type.kind) {
		case BTF_TYPEDEF:
		case BTF_VOLATILE:
		case BTF_CONST:
		case BTF_RESTRICT:
		case BTF_TYPE_TAG:
			id = type.target;
			break;
		default:
			return id;
		}
	}
	return 0;
}

void btf_array(const struct btf_type *type, uint32_t *element_ret, uint32_t *count_ret)
{
	*element_ret = load_u32(type->extra);
	*count_ret = load_u32(type->extra + 8);
}

uint64_t btf_size(const struct btf *btf, uint32_t id)
{
	struct btf_type type;
	uint64_t factor = 1;
	for (int step = 0; step < RESOLVE_STEPS; step++) {
		if (!btf_type(btf, btf_resolve(btf, id), &type))
			return 0;
		if (type.kind == BTF_PTR)
			return factor * btf->pointer_bytes;
		if (type.kind != BTF_ARRAY)
			break;
		uint32_t count;
		btf_array(&type, &id, &count);
		if (__builtin_mul_overflow(factor, (uint64_t)count, &factor) ||
		    factor > UINT32_MAX)
			return 0;
	}
	bool sized = type.kind == BTF_INT || type.kind == BTF_STRUCT ||
		     type.kind == BTF_UNION || type.kind == BTF_ENUM ||
		     type.kind == BTF_FLOAT || type.kind == BTF_ENUM64;
	return sized ? factor * type.size_bytes : 0;
}

void btf_set_pointer_bytes(struct btf *btf, unsigned pointer_bytes)
{
	btf->pointer_bytes = pointer_bytes;
}

/* Members of structs, and of arrays of nothing else: 12 bytes {name, type, offset}. */
void btf_member(const struct btf_type *type, const struct btf *btf, uint32_t n,
		struct btf_member *ret)
{
	const uint8_t *raw = type->extra + (size_t)12 * n;
	uint32_t offset = load_u32(raw + 8);
	*ret = (struct btf_member){ .name = string_at(btf, load_u32(raw)),
				    .type = load_u32(raw + 4),
				    .bit_offset = type->flag ? offset & 0xffffff : offset,
				    .bit_size = type->flag ? offset >> 24 : 0 };
}

bool btf_enum_value(const struct btf *btf, const struct btf_type *type, uint32_t n,
		    const char **name_ret, int64_t *value_ret)
{
	if (n >= type->count)
		return false;
	bool wide = type->kind == BTF_ENUM64;
	const uint8_t *raw = type->extra + (size_t)(wide ? 12 : 8) * n;
	*name_ret = string_at(btf, load_u32(raw));
	if (wide)
		*value_ret = (int64_t)((uint64_t)load_u32(raw + 8) << 32 | load_u32(raw + 4));
	else
		*value_ret = type->flag ? load_s32(raw + 4) : (int64_t)load_u32(raw + 4);
	return true;
}

static void insert_enumerator(struct btf *btf, const char *name, int64_t value)
{
	size_t mask = btf->n_enumerators - 1, at = hash_of(btf, name) & mask;
	while (btf->enumerators[at].name) {
		if (!strcmp(btf->enumerators[at].name, name))
			return;
		at = (at + 1) & mask;
	}
	btf->enumerators[at] = (struct enumerator){ .name = name, .value = value };
}

static bool build_enumerators(struct btf *btf)
{
	size_t total = 0;
	struct btf_type type;
	for (uint32_t id = btf->first_id; btf_type(btf, id, &type); id++)
		if (type.kind == BTF_ENUM || type.kind == BTF_ENUM64)
			total += type.count;
	btf->n_enumerators = power_of_two_above(total * 2);
	btf->enumerators = calloc(btf->n_enumerators, sizeof(*btf->enumerators));
	if (!btf->enumerators)
		return false;
	for (uint32_t id = btf->first_id; btf_type(btf, id, &type); id++) {
		const char *name;
		int64_t value;
		if (type.kind != BTF_ENUM && type.kind != BTF_ENUM64)
			continue;
		for (uint32_t n = 0; btf_enum_value(btf, &type, n, &name, &value); n++)
			insert_enumerator(btf, name, value);
	}
	return true;
}

bool btf_enumerator(struct btf *btf, const char *name, int64_t *ret)
{
	if (!btf->enumerators && !build_enumerators(btf))
		return false;
	size_t mask = btf->n_enumerators - 1;
	for (size_t at = hash_of(btf, name) & mask; btf->enumerators[at].name;
	     at = (at + 1) & mask) {
		if (strcmp(btf->enumerators[at].name, name))
			continue;
		*ret = btf->enumerators[at].value;
		return true;
	}
	return false;
}

static struct error *btf_fill(struct btf *btf)
{
	TRY(read_header(btf));
	return index_types(btf);
}

struct error *btf_create(uint8_t *bytes, size_t length_bytes, const struct btf *base,
			 unsigned pointer_bytes, struct btf **ret)
{
	struct btf *btf = NULL;
	struct error *err = error_alloc(1, sizeof(*btf), &btf);
	if (err) {
		free(bytes);
		return err;
	}
	btf->bytes = bytes;
	btf->length_bytes = length_bytes;
	btf->base = base;
	btf->first_id = base ? btf_count(base) : 1;
	btf->first_string = base ? base->first_string + base->strings_bytes : 0;
	btf->pointer_bytes = pointer_bytes;
	err = btf_fill(btf);
	if (err) {
		btf_destroy(btf);
		return err;
	}
	*ret = btf;
	return NULL;
}

void btf_destroy(struct btf *btf)
{
	if (!btf)
		return;
	free(btf->bytes);
	VEC_FREE(&btf->offsets);
	free(btf->buckets);
	free(btf->enumerators);
	free(btf);
}
