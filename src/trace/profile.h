/* What ran, added up from trace records: how often control went from one block to the next, in
 * which address space, and how loads and stores moved. Takes any words in any cuts; garbage is
 * counted, never followed. Thread: one. */
#ifndef TRACE_PROFILE_H
#define TRACE_PROFILE_H
#include <stddef.h>
#include <stdint.h>
#include "base/own.h"
struct error;
struct trace_profile;

#define TRACE_NO_BLOCK 0xffffffu /* entered from an interrupt, a gap, or the start */
#define TRACE_MAX_BLOCKS 0xffffffu

/* Blocks in the kernel count under space 0, whatever page table is loaded. */
struct trace_edge {
	uint32_t space; /* index into spaces */
	uint32_t from; /* block id or TRACE_NO_BLOCK */
	uint32_t to;
	uint64_t count;
};

struct trace_space {
	uint64_t cr3; /* 0: the kernel, or a time before the page table was known */
	uint64_t blocks; /* executions */
};

/* One load or store instruction of a block. */
struct trace_access {
	uint32_t block;
	uint16_t insn;
	uint8_t is_store;
	uint8_t log2_bytes;
	uint64_t count;
	uint64_t low, high; /* addresses seen */
	uint64_t last;
	int64_t stride; /* most frequent step */
	uint64_t stride_count; /* how often the step was this one (a lower bound) */
	uint64_t stride_weight; /* majority vote in progress */
};

struct trace_totals {
	uint64_t blocks; /* executions */
	uint64_t loads, stores, breaks, samples;
	uint64_t dropped; /* as the stream says */
	uint64_t gaps; /* places where records were dropped */
	uint64_t bad_words; /* no such record */
	uint64_t first_ns, last_ns; /* of the time records */
};

/* n_blocks: ids at or above are counted as bad. Caller owns *ret. */
struct error *trace_profile_create(uint32_t n_blocks, struct trace_profile **ret);
void trace_profile_destroy(struct trace_profile *profile);
OWN_DECLARE(own_trace_profile, struct trace_profile *, trace_profile_destroy)

/* Adds words of one vCPU, in order. Fails: ERR_MEMORY. */
struct error *trace_profile_add(struct trace_profile *profile, unsigned vcpu,
				const uint64_t *words, size_t n);

/* Borrowed, valid until the next add. */
const struct trace_edge *trace_profile_edges(const struct trace_profile *profile,
					     size_t *n_ret);
const struct trace_space *trace_profile_spaces(const struct trace_profile *profile,
					       size_t *n_ret);
const struct trace_access *trace_profile_accesses(const struct trace_profile *profile,
						  size_t *n_ret);
const struct trace_totals *trace_profile_totals(const struct trace_profile *profile);
#endif
