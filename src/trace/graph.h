/* The control-flow graph of one address space, made from executed blocks. QEMU's translated
 * blocks may overlap (a loop's first pass is part of the block that enters it); here they are
 * cut at every place where control arrives, into basic blocks that do not overlap. Calls are
 * followed by their return: an edge leads from the call to the instruction behind it, so that
 * loops with calls inside are loops. Thread: one. */
#ifndef TRACE_GRAPH_H
#define TRACE_GRAPH_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/own.h"
struct error;
struct trace_block;
struct trace_blocks;
struct trace_edge;

/* How a basic block ends. */
enum trace_end {
	TRACE_END_FALL, /* goes on with the next instruction */
	TRACE_END_JUMP, /* direct */
	TRACE_END_BRANCH, /* conditional */
	TRACE_END_INDIRECT,
	TRACE_END_CALL,
	TRACE_END_RETURN,
	TRACE_END_SYSTEM, /* syscall, sysret, iret, interrupt, halt */
};

/* What a block's instructions mostly are; `hot` shows it. */
enum trace_class {
	TRACE_CLASS_ALU,
	TRACE_CLASS_MEMORY,
	TRACE_CLASS_SIMD,
	TRACE_CLASS_FLOAT,
	TRACE_CLASS_PRIVILEGED,
	TRACE_CLASS_IO,
};
const char *trace_class_name(enum trace_class class);

struct trace_node {
	uint64_t gva;
	uint64_t end; /* one past the last byte */
	uint64_t executions;
	uint64_t entries; /* executions that began with a block of the trace, not with a fall */
	uint32_t n_insns;
	uint8_t end_kind; /* enum trace_end */
	uint8_t class; /* enum trace_class */
	uint32_t block; /* a block whose bytes cover this node */
};

struct trace_arc {
	uint32_t from, to; /* nodes */
	uint64_t count;
};

struct trace_graph {
	uint32_t space;
	struct trace_node *nodes; /* sorted by gva */
	uint32_t n_nodes;
	struct trace_arc *arcs; /* sorted by from, then to */
	uint32_t n_arcs;
	uint32_t *first_arc; /* n_nodes + 1: arcs of node i are first_arc[i] .. */
};

/* Uses the edges of this space. Caller owns *ret. Fails: ERR_MEMORY. */
struct error *trace_graph_create(const struct trace_blocks *blocks,
				 const struct trace_edge *edges, size_t n_edges, uint32_t space,
				 struct trace_graph **ret);
void trace_graph_destroy(struct trace_graph *graph);
OWN_DECLARE(own_trace_graph, struct trace_graph *, trace_graph_destroy)

/* Node that starts at or contains gva, or UINT32_MAX. */
uint32_t trace_graph_find(const struct trace_graph *graph, uint64_t gva);

/* Class of a run of instructions. */
enum trace_class trace_classify(const uint8_t *bytes, size_t n);

/* How a translated block ends; without bytes it is taken for an indirect jump. */
enum trace_end trace_block_end(const struct trace_block *block);
#endif
