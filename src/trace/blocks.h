/* The checked copy of a block table: what each block id of a trace stands for. Made from the
 * plugin's shared file or from a trace file, both of which may hold anything. Thread: one. */
#ifndef TRACE_BLOCKS_H
#define TRACE_BLOCKS_H
#include <stddef.h>
#include <stdint.h>
#include "base/own.h"
struct error;
struct gb_block;

struct trace_block {
	uint64_t gva;
	uint64_t gpa; /* ~0: not in RAM */
	uint64_t cr3; /* page table at the latest translation; 0: unknown */
	const uint8_t *bytes; /* NULL: not recorded */
	uint16_t n_bytes;
	uint16_t n_insns;
	uint32_t flags; /* enum gb_block_flags */
};

struct trace_blocks {
	struct trace_block *items;
	uint32_t count;
	uint8_t *code; /* what items[].bytes points into */
	uint64_t code_bytes;
};

/* Copies and checks n raw entries and their code. Caller owns *ret. Fails: ERR_MEMORY. */
struct error *trace_blocks_create(const struct gb_block *raw, uint32_t n, const uint8_t *code,
				  uint64_t code_bytes, struct trace_blocks **ret);
void trace_blocks_destroy(struct trace_blocks *blocks);
OWN_DECLARE(own_trace_blocks, struct trace_blocks *, trace_blocks_destroy)
#endif
