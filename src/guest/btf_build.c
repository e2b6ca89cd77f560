#include "guest/btf_build.h"

#include <string.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/vec.h"

/* A reference is a TYPE_TAG record whose target is filled in at the end, or that becomes a FWD:
 *
 *   struct a { struct b *p; }     [1] TYPE_TAG -> ?   [2] PTR -> 1   [3] STRUCT a { p: 2 }
 *   struct b { .. }               [4] STRUCT b
 *   finish                        [1] TYPE_TAG -> 4
 *
 * Readers look through TYPE_TAG, so nothing else changes. */
struct label {
	enum btf_kind kind;
	char *text;
	uint32_t reference; /* id of the TYPE_TAG, 0: not referred to */
	size_t reference_at; /* where its record is */
	uint32_t definition; /* 0: none yet */
};

struct part {
	uint32_t name, type, offset; /* member */
	uint32_t bit_size;
	int64_t value; /* enumerator */
};

struct btf_builder {
	VEC(uint8_t) types;
	VEC(char) strings;
	VEC(struct label) labels;
	uint32_t *buckets; /* index + 1 of labels, open addressing */
	size_t n_buckets;
	uint32_t n_types;
	VEC(struct part) parts; /* of the struct or enum that is being made */
	struct {
		enum btf_kind kind;
		uint32_t name, size_bytes;
		char *label;
	} open;
	uint32_t int_id; /* index type of arrays */
	bool no_memory, too_much;
};

static uint32_t add_string(struct btf_builder *builder, const char *text)
{
	size_t length = strlen(text) + 1, at = builder->strings.count;
	if (!*text)
		return 0;
	if (at + length > BTF_BYTES_MAX) {
		builder->too_much = true;
		return 0;
	}
	if (!VEC_RESERVE(&builder->strings, at + length)) {
		builder->no_memory = true;
		return 0;
	}
	memcpy(builder->strings.items + at, text, length);
	builder->strings.count += length;
	return (uint32_t)at;
}

struct error *btf_builder_create(struct btf_builder **ret)
{
	AUTO(own_btf_builder) struct btf_builder *builder = NULL;
	TRY(error_alloc(1, sizeof(*builder), &builder));
	if (!VEC_PUSH(&builder->strings, 0))
		return error_create(ERR_MEMORY, "no memory for types");
	builder->int_id = btf_build_int(builder, "__array_index", 4, false, false);
	*ret = TAKE(builder);
	return NULL;
}

void btf_builder_destroy(struct btf_builder *builder)
{
	if (!builder)
		return;
	for (size_t i = 0; i < builder->labels.count; i++)
		free(builder->labels.items[i].text);
	free(builder->open.label);
	free(builder->buckets);
	VEC_FREE(&builder->types);
	VEC_FREE(&builder->strings);
	VEC_FREE(&builder->labels);
	VEC_FREE(&builder->parts);
	free(builder);
}

static void put_u32(struct btf_builder *builder, uint32_t value)
{
	size_t at = builder->types.count;
	if (at + 4 > BTF_BYTES_MAX / 2) {
		builder->too_much = true;
		return;
	}
	if (!VEC_RESERVE(&builder->types, at + 4)) {
		builder->no_memory = true;
		return;
	}
	memcpy(builder->types.items + at, &value, 4);
	builder->types.count += 4;
}

static uint32_t put_record(struct btf_builder *builder, uint32_t name, enum btf_kind kind,
			   bool flag, uint32_t count, uint32_t size_or_type)
{
	put_u32(builder, name);
	put_u32(builder, (uint32_t)flag << 31 | (uint32_t)kind << 24 | count);
	put_u32(builder, size_or_type);
	return ++builder->n_types;
}

uint32_t btf_build_int(struct btf_builder *builder, const char *name, uint32_t size_bytes,
		       bool is_signed, bool is_bool)
{
	uint32_t id =
		put_record(builder, add_string(builder, name), BTF_INT, false, 0, size_bytes);
	uint32_t encoding = (is_signed ? 1u : 0) | (is_bool ? 4u : 0);
	put_u32(builder, encoding << 24 | (size_bytes * 8 & 0xff));
	return id;
}

uint32_t btf_build_float(struct btf_builder *builder, const char *name, uint32_t size_bytes)
{
	return put_record(builder, add_string(builder, name), BTF_FLOAT, false, 0, size_bytes);
}

uint32_t btf_build_pointer(struct btf_builder *builder, uint32_t target)
{
	return put_record(builder, 0, BTF_PTR, false, 0, target);
}

uint32_t btf_build_typedef(struct btf_builder *builder, const char *name, uint32_t target)
{
	return put_record(builder, add_string(builder, name), BTF_TYPEDEF, false, 0, target);
}

uint32_t btf_build_array(struct btf_builder *builder, uint32_t element, uint32_t count)
{
	uint32_t id = put_record(builder, 0, BTF_ARRAY, false, 0, 0);
	put_u32(builder, element);
	put_u32(builder, builder->int_id);
	put_u32(builder, count);
	return id;
}

uint32_t btf_build_function(struct btf_builder *builder)
{
	return put_record(builder, 0, BTF_FUNC_PROTO, false, 0, 0);
}

/* Structs and unions share their labels; enums have their own. */
static bool label_fits(const struct label *label, enum btf_kind kind, const char *text)
{
	bool is_enum = kind == BTF_ENUM || kind == BTF_ENUM64;
	bool label_is_enum = label->kind == BTF_ENUM || label->kind == BTF_ENUM64;
	return is_enum == label_is_enum && !strcmp(label->text, text);
}

static size_t bucket_of(const struct btf_builder *builder, enum btf_kind kind, const char *text)
{
	size_t mask = builder->n_buckets - 1;
	size_t at = (size_t)XXH3_64bits(text, strlen(text)) & mask;
	while (builder->buckets[at] &&
	       !label_fits(&builder->labels.items[builder->buckets[at] - 1], kind, text))
		at = (at + 1) & mask;
	return at;
}

static bool grow_buckets(struct btf_builder *builder)
{
	if (builder->labels.count * 2 < builder->n_buckets)
		return true;
	size_t n = builder->n_buckets ? builder->n_buckets * 2 : 4096;
	uint32_t *buckets = calloc(n, sizeof(*buckets));
	if (!buckets) {
		builder->no_memory = true;
		return false;
	}
	free(builder->buckets);
	builder->buckets = buckets;
	builder->n_buckets = n;
	for (size_t i = 0; i < builder->labels.count; i++) {
		const struct label *label = &builder->labels.items[i];
		buckets[bucket_of(builder, label->kind, label->text)] = (uint32_t)i + 1;
	}
	return true;
}

/* The label's entry, made if it is new. NULL without memory. */
static struct label *find_label(struct btf_builder *builder, enum btf_kind kind,
				const char *text)
{
	if (!grow_buckets(builder))
		return NULL;
	size_t at = bucket_of(builder, kind, text);
	if (builder->buckets[at])
		return &builder->labels.items[builder->buckets[at] - 1];
	struct label label = { .kind = kind, .text = strdup(text) };
	if (!label.text || !VEC_PUSH(&builder->labels, label)) {
		free(label.text);
		builder->no_memory = true;
		return NULL;
	}
	builder->buckets[at] = (uint32_t)builder->labels.count;
	return &builder->labels.items[builder->labels.count - 1];
}

uint32_t btf_build_reference(struct btf_builder *builder, enum btf_kind kind, const char *text)
{
	struct label *label = find_label(builder, kind, text);
	if (!label)
		return 0;
	if (label->definition)
		return label->definition;
	if (!label->reference) {
		label->reference_at = builder->types.count;
		label->reference = put_record(builder, 0, BTF_TYPE_TAG, false, 0, 0);
	}
	return label->reference;
}

bool btf_build_is_defined(struct btf_builder *builder, enum btf_kind kind, const char *text)
{
	struct label *label = find_label(builder, kind, text);
	return label && label->definition;
}

void btf_build_alias(struct btf_builder *builder, enum btf_kind kind, const char *text,
		     uint32_t id)
{
	struct label *label = find_label(builder, kind, text);
	if (label && !label->definition)
		label->definition = id;
}

static void begin(struct btf_builder *builder, enum btf_kind kind, const char *label,
		  const char *name, uint32_t size_bytes)
{
	CHECK(!builder->open.label);
	builder->parts.count = 0;
	builder->open.kind = kind;
	builder->open.name = add_string(builder, name);
	builder->open.size_bytes = size_bytes;
	builder->open.label = strdup(label);
	builder->no_memory |= !builder->open.label;
}

static uint32_t define(struct btf_builder *builder, uint32_t id)
{
	if (builder->open.label) {
		struct label *label =
			find_label(builder, builder->open.kind, builder->open.label);
		if (label && !label->definition) {
			label->kind = builder->open.kind;
			label->definition = id;
		}
	}
	free(builder->open.label);
	builder->open.label = NULL;
	return id;
}

static void add_part(struct btf_builder *builder, struct part part)
{
	if (builder->parts.count >= 0xffff)
		builder->too_much = true;
	else if (!VEC_PUSH(&builder->parts, part))
		builder->no_memory = true;
}

void btf_build_struct_begin(struct btf_builder *builder, bool is_union, const char *label,
			    const char *name, uint32_t size_bytes)
{
	begin(builder, is_union ? BTF_UNION : BTF_STRUCT, label, name, size_bytes);
}

void btf_build_member(struct btf_builder *builder, const char *name, uint32_t type,
		      uint64_t bit_offset, uint32_t bit_size)
{
	if (bit_offset > UINT32_MAX || bit_size > 255) {
		builder->too_much = true;
		return;
	}
	add_part(builder, (struct part){ .name = add_string(builder, name),
					 .type = type,
					 .offset = (uint32_t)bit_offset,
					 .bit_size = bit_size });
}

/* With any bitfield, all offsets have 24 bits and the size above them. */
static bool has_bitfields(const struct btf_builder *builder)
{
	bool any = false, fits = true;
	for (size_t i = 0; i < builder->parts.count; i++) {
		any |= builder->parts.items[i].bit_size != 0;
		fits &= builder->parts.items[i].offset < 1u << 24;
	}
	return any && fits;
}

uint32_t btf_build_struct_end(struct btf_builder *builder)
{
	bool flag = has_bitfields(builder);
	uint32_t id = put_record(builder, builder->open.name, builder->open.kind, flag,
				 (uint32_t)builder->parts.count, builder->open.size_bytes);
	for (size_t i = 0; i < builder->parts.count; i++) {
		const struct part *part = &builder->parts.items[i];
		put_u32(builder, part->name);
		put_u32(builder, part->type);
		put_u32(builder, part->offset | (flag ? part->bit_size << 24 : 0));
	}
	return define(builder, id);
}

void btf_build_enum_begin(struct btf_builder *builder, const char *label, const char *name,
			  uint32_t size_bytes)
{
	begin(builder, size_bytes == 8 ? BTF_ENUM64 : BTF_ENUM, label, name, size_bytes);
}

void btf_build_enumerator(struct btf_builder *builder, const char *name, int64_t value)
{
	add_part(builder, (struct part){ .name = add_string(builder, name), .value = value });
}

uint32_t btf_build_enum_end(struct btf_builder *builder)
{
	bool is_signed = false;
	for (size_t i = 0; i < builder->parts.count; i++)
		is_signed |= builder->parts.items[i].value < 0;
	uint32_t id = put_record(builder, builder->open.name, builder->open.kind, is_signed,
				 (uint32_t)builder->parts.count, builder->open.size_bytes);
	for (size_t i = 0; i < builder->parts.count; i++) {
		const struct part *part = &builder->parts.items[i];
		put_u32(builder, part->name);
		put_u32(builder, (uint32_t)part->value);
		if (builder->open.kind == BTF_ENUM64)
			put_u32(builder, (uint32_t)((uint64_t)part->value >> 32));
	}
	return define(builder, id);
}

static void resolve(struct btf_builder *builder)
{
	for (size_t i = 0; i < builder->labels.count; i++) {
		struct label *label = &builder->labels.items[i];
		if (!label->reference)
			continue;
		uint8_t *record = builder->types.items + label->reference_at;
		if (label->definition) {
			memcpy(record + 8, &label->definition, 4);
			continue;
		}
		bool is_union = label->kind == BTF_UNION;
		uint32_t name = add_string(builder, label->text);
		uint32_t info = (uint32_t)is_union << 31 | (uint32_t)BTF_FWD << 24;
		memcpy(record, &name, 4);
		memcpy(record + 4, &info, 4);
	}
}

struct error *btf_builder_finish(struct btf_builder *builder, unsigned pointer_bytes,
				 struct btf **ret)
{
	uint8_t *blob = NULL;
	if (!builder->no_memory && !builder->too_much)
		resolve(builder);
	if (builder->too_much)
		return error_create(ERR_LIMIT, "more types than BTF can hold");
	if (builder->no_memory)
		return error_create(ERR_MEMORY, "no memory for types");
	uint32_t types = (uint32_t)builder->types.count;
	uint32_t strings = (uint32_t)builder->strings.count;
	uint32_t header[] = {
		BTF_MAGIC | 1u << 16, BTF_HEADER_BYTES, 0, types, types, strings
	};
	TRY(error_alloc(sizeof(header) + types + strings, 1, &blob));
	memcpy(blob, header, sizeof(header));
	memcpy(blob + sizeof(header), builder->types.items, types);
	memcpy(blob + sizeof(header) + types, builder->strings.items, strings);
	return btf_create(blob, sizeof(header) + types + strings, NULL, pointer_bytes, ret);
}
