/* Documents about what ran, made the same way from a live guest and from a trace file: hot
 * blocks, loops, memory accesses. Thread: one. */
#ifndef BOX_TRACE_ROWS_H
#define BOX_TRACE_ROWS_H
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "trace/file_names.h"
struct error;
struct trace_blocks;
struct trace_profile;

struct trace_rows {
	const struct trace_blocks *blocks;
	trace_placer *place;
	void *place_user;
	size_t top; /* at most so many rows */
};

/* One executed block. */
struct trace_hot {
	uint32_t block;
	uint64_t executions;
	double reached_ms; /* when it reached the threshold; negative: there was none */
};

/* "do_syscall_64+0x3b". */
void trace_rows_text(const struct trace_rows *rows, uint64_t cr3, uint64_t gva, char *ret,
		     size_t ret_bytes);
/* A trace_namer with a struct trace_rows as user, for folded stacks and modules: the function
 * alone, "[kernel] do_syscall_64". */
void trace_rows_function(void *rows, uint64_t cr3, uint64_t gva, char *ret, size_t ret_bytes);

/* All of these: caller owns *ret. Blocks by instructions executed, or in the order given when
 * they have a time; the list is sorted in place. */
struct error *trace_rows_hot(const struct trace_rows *rows, struct trace_hot *hot, size_t n,
			     json_t **ret);
struct error *trace_rows_blocks(const struct trace_rows *rows,
				const struct trace_profile *profile, json_t **ret);
struct error *trace_rows_loops(const struct trace_rows *rows,
			       const struct trace_profile *profile, json_t **ret);
struct error *trace_rows_accesses(const struct trace_rows *rows,
				  const struct trace_profile *profile, json_t **ret);
#endif
