#include "trace/file.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/vec.h"
#include "plugin/control.h"
#include "trace/blocks.h"

static const char magic[8] = "GBTRACE1";

struct chunk {
	uint32_t type, vcpu;
	const uint8_t *data;
	uint64_t bytes;
};
enum { CHUNK_HEADER = 16, MAX_BLOCKS = 1 << 24 };

/* Next chunk at *at, which moves behind it. False: the bytes do not hold one. */
static bool next_chunk(const uint8_t *bytes, size_t n, size_t *at, struct chunk *ret)
{
	if (n - *at < CHUNK_HEADER)
		return false;
	ret->type = load_u32(bytes + *at);
	ret->vcpu = load_u32(bytes + *at + 4);
	ret->bytes = load_u64(bytes + *at + 8);
	ret->data = bytes + *at + CHUNK_HEADER;
	uint64_t left = n - *at - CHUNK_HEADER;
	if (ret->bytes > left || align_up(ret->bytes, 8) > left)
		return false;
	*at += CHUNK_HEADER + (size_t)align_up(ret->bytes, 8);
	return true;
}

struct parts {
	struct chunk blocks, code;
	VEC(struct trace_stream) streams;
};

static struct error *take_chunk(const struct chunk *c, struct parts *parts,
				struct trace_file *file)
{
	switch (c->type) {
	case TRACE_CHUNK_META:
		file->meta = (const char *)c->data;
		file->meta_bytes = (size_t)c->bytes;
		return NULL;
	case TRACE_CHUNK_BLOCKS:
		parts->blocks = *c;
		return NULL;
	case TRACE_CHUNK_CODE:
		parts->code = *c;
		return NULL;
	case TRACE_CHUNK_RECORDS:
		if (VEC_PUSH(&parts->streams,
			     (struct trace_stream){ c->vcpu, c->data, (size_t)c->bytes / 8 }))
			return NULL;
		return error_create(ERR_MEMORY, "out of memory");
	case TRACE_CHUNK_COUNTS:
		file->counts = c->data;
		file->n_counts = (size_t)c->bytes / 8;
		return NULL;
	case TRACE_CHUNK_NAMES:
		file->names = c->data;
		file->n_names = (size_t)c->bytes;
		return NULL;
	case TRACE_CHUNK_END:
		if (c->bytes < 8)
			return error_create(ERR_BAD_DATA, "trace file: short end chunk");
		file->dropped = load_u64(c->data);
		file->complete = 1;
		return NULL;
	default:
		return NULL; /* a later version's chunk: skipped */
	}
}

static struct error *make_blocks(const struct parts *parts, struct trace_file *file)
{
	uint64_t n = parts->blocks.bytes / sizeof(struct gb_block);
	AUTO(own_free) struct gb_block *raw = NULL;
	if (n > MAX_BLOCKS)
		return error_create(ERR_LIMIT, "trace file: too many blocks");
	TRY(error_alloc(n ? n : 1, sizeof(*raw), &raw));
	if (n)
		memcpy(raw, parts->blocks.data, n * sizeof(*raw));
	return trace_blocks_create(raw, (uint32_t)n, parts->code.data, parts->code.bytes,
				   &file->blocks);
}

static struct error *parse_chunks(const uint8_t *bytes, size_t n, struct parts *parts,
				  struct trace_file *file)
{
	size_t at = sizeof(magic);
	struct chunk chunk;
	while (at < n && !file->complete) {
		size_t start = at;
		if (!next_chunk(bytes, n, &at, &chunk))
			return error_create(ERR_BAD_DATA,
					    "trace file: broken chunk at byte %zu", start);
		TRY(take_chunk(&chunk, parts, file));
	}
	return make_blocks(parts, file);
}

struct error *trace_file_parse(const uint8_t *bytes, size_t n, struct trace_file **ret)
{
	AUTO(own_trace_file) struct trace_file *file = NULL;
	struct parts parts = { 0 };
	if (n < sizeof(magic) || memcmp(bytes, magic, sizeof(magic)) != 0)
		return error_create(ERR_BAD_DATA, "not a glassbox trace file");
	TRY(error_alloc(1, sizeof(*file), &file));
	struct error *err = parse_chunks(bytes, n, &parts, file);
	file->streams = parts.streams.items;
	file->n_streams = parts.streams.count;
	if (err)
		return err;
	*ret = TAKE(file);
	return NULL;
}

void trace_file_destroy(struct trace_file *file)
{
	if (!file)
		return;
	trace_blocks_destroy(file->blocks);
	free(file->streams);
	free(file);
}

static struct error *put(FILE *out, const void *data, size_t bytes)
{
	if (bytes && fwrite(data, 1, bytes, out) != bytes)
		return error_system(errno, "cannot write trace file");
	return NULL;
}

struct error *trace_file_start(FILE *out)
{
	return put(out, magic, sizeof(magic));
}

struct error *trace_file_chunk(FILE *out, uint32_t type, uint32_t vcpu, const void *data,
			       size_t bytes)
{
	static const uint8_t zeros[8];
	uint32_t head[2] = { type, vcpu };
	uint64_t length = bytes;
	TRY(put(out, head, sizeof(head)));
	TRY(put(out, &length, sizeof(length)));
	TRY(put(out, data, bytes));
	return put(out, zeros, (size_t)(align_up(bytes, 8) - bytes));
}

struct error *trace_file_blocks(FILE *out, const struct trace_blocks *blocks)
{
	AUTO(own_free) struct gb_block *raw = NULL;
	TRY(error_alloc(blocks->count ? blocks->count : 1, sizeof(*raw), &raw));
	for (uint32_t i = 0; i < blocks->count; i++) {
		const struct trace_block *b = &blocks->items[i];
		raw[i] = (struct gb_block){
			.gva = b->gva,
			.gpa = b->gpa,
			.cr3 = b->cr3,
			.code_offset = b->bytes ? (uint32_t)(b->bytes - blocks->code) : 0,
			.n_bytes = b->n_bytes,
			.n_insns = b->n_insns,
			.flags = b->flags,
		};
	}
	TRY(trace_file_chunk(out, TRACE_CHUNK_BLOCKS, 0, raw, blocks->count * sizeof(*raw)));
	return trace_file_chunk(out, TRACE_CHUNK_CODE, 0, blocks->code,
				(size_t)blocks->code_bytes);
}

struct error *trace_file_end(FILE *out, uint64_t dropped)
{
	return trace_file_chunk(out, TRACE_CHUNK_END, 0, &dropped, sizeof(dropped));
}
