/* Natural loops of a control-flow graph: dominators, back edges, bodies, nesting, and how many
 * times they went round. Thread: one. */
#ifndef TRACE_LOOPS_H
#define TRACE_LOOPS_H
#include <stdint.h>
#include "base/own.h"
struct error;
struct trace_graph;

#define TRACE_NO_LOOP UINT32_MAX

struct trace_loop {
	uint64_t head; /* address of the first instruction of every pass */
	uint64_t low, high; /* address range of the body's blocks */
	uint32_t head_node;
	uint32_t parent; /* the loop right around this one, or TRACE_NO_LOOP */
	uint32_t depth; /* 1: outermost */
	uint32_t n_nodes;
	uint32_t n_insns; /* static, of the body without inner loops counted apart */
	uint64_t entries; /* times entered from outside */
	uint64_t passes; /* times the head ran */
	uint64_t instructions; /* executed inside, inner loops included */
	uint8_t is_innermost;
	uint8_t has_call;
};

struct trace_loops {
	struct trace_loop *items; /* outer before inner */
	uint32_t count;
	uint32_t *loop_of; /* per node: innermost loop or TRACE_NO_LOOP */
};

/* Caller owns *ret. Fails: ERR_MEMORY. */
struct error *trace_loops_create(const struct trace_graph *graph, struct trace_loops **ret);
void trace_loops_destroy(struct trace_loops *loops);
OWN_DECLARE(own_trace_loops, struct trace_loops *, trace_loops_destroy)

/* Mean passes per entry. */
static inline double trace_loop_trips(const struct trace_loop *loop)
{
	return (double)loop->passes / (double)(loop->entries ? loop->entries : 1);
}
#endif
