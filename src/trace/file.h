/* Trace files, written and read back (docs/trace-format.md). A file is a magic, then chunks;
 * the reader takes any bytes and refuses what does not fit. Thread: one per file. */
#ifndef TRACE_FILE_H
#define TRACE_FILE_H
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "base/own.h"
struct error;
struct trace_blocks;

enum trace_chunk_type {
	TRACE_CHUNK_META = 1, /* JSON text */
	TRACE_CHUNK_BLOCKS = 2, /* struct gb_block each */
	TRACE_CHUNK_CODE = 3, /* instruction bytes */
	TRACE_CHUNK_RECORDS = 4, /* 64-bit words of one vCPU (plugin/record.h) */
	TRACE_CHUNK_COUNTS = 5, /* executions per block id, 64 bits each */
	TRACE_CHUNK_END = 6, /* total of dropped records, 64 bits */
	TRACE_CHUNK_NAMES = 7, /* what the blocks' addresses are called (trace/file_names.h) */
};

struct trace_stream { /* one chunk of records; words may be unaligned in the file: copied out */
	uint32_t vcpu;
	const uint8_t *words;
	size_t n_words;
};

struct trace_file {
	const char *meta; /* not terminated */
	size_t meta_bytes;
	struct trace_blocks *blocks; /* owned */
	struct trace_stream *streams; /* owned; in file order */
	size_t n_streams;
	const uint8_t *counts; /* NULL: none */
	size_t n_counts;
	const uint8_t *names; /* NULL: none; trace/file_names.h reads it */
	size_t n_names;
	uint64_t dropped;
	int complete; /* the end chunk is there */
};

/* Reads a file that lies in memory and must stay there. Caller owns *ret. Fails: ERR_BAD_DATA.
 */
struct error *trace_file_parse(const uint8_t *bytes, size_t n, struct trace_file **ret);
void trace_file_destroy(struct trace_file *file);
OWN_DECLARE(own_trace_file, struct trace_file *, trace_file_destroy)

/* Writing, in this order: start, any chunks, end. Fails: ERR_SYSTEM. */
struct error *trace_file_start(FILE *out);
struct error *trace_file_chunk(FILE *out, uint32_t type, uint32_t vcpu, const void *data,
			       size_t bytes);
/* Blocks and their code as two chunks. */
struct error *trace_file_blocks(FILE *out, const struct trace_blocks *blocks);
struct error *trace_file_end(FILE *out, uint64_t dropped);
#endif
