/* Natural loops. Roots are the nodes without incoming arcs and, for code that is only reached
 * round a cycle, whichever node the search finds first; dominators are computed for the forest
 * with one virtual root (Cooper, Harvey and Kennedy: iterate over reverse postorder). An arc to
 * a node that dominates its source is a back edge; its loop is everything that reaches the
 * source without passing the head. Loops with one head are one loop. Irreducible cycles have no
 * such head and are not reported. All walks are iterative: the graph may be any shape. */
#include "trace/loops.h"

#include <string.h>

#include "base/error.h"
#include "base/vec.h"
#include "trace/graph.h"

enum { NONE = UINT32_MAX };

struct finder {
	const struct trace_graph *graph;
	uint32_t n;
	uint32_t *order; /* reverse postorder, order[0 .. n_ordered) */
	uint32_t *number; /* node -> place in order + 1; 0: not reached */
	uint32_t n_ordered;
	uint32_t *idom; /* by node; NONE: the virtual root */
	uint32_t *first_in; /* incoming arcs, by node */
	uint32_t *in_arc;
	uint32_t *stack;
	uint32_t *cursor;
	uint8_t *mark;
	struct trace_loops *loops;
	VEC(struct trace_loop) found;
	VEC(uint32_t) members; /* of all loops, one after the other */
	VEC(uint32_t) first_member; /* per loop */
};

static struct error *index_incoming(struct finder *f)
{
	const struct trace_graph *g = f->graph;
	TRY(error_alloc(f->n + 1, sizeof(uint32_t), &f->first_in));
	TRY(error_alloc(g->n_arcs + 1, sizeof(uint32_t), &f->in_arc));
	for (uint32_t i = 0; i < g->n_arcs; i++)
		f->first_in[g->arcs[i].to + 1]++;
	for (uint32_t i = 0; i < f->n; i++)
		f->first_in[i + 1] += f->first_in[i];
	for (uint32_t i = 0; i < f->n; i++)
		f->cursor[i] = f->first_in[i];
	for (uint32_t i = 0; i < g->n_arcs; i++)
		f->in_arc[f->cursor[g->arcs[i].to]++] = i;
	return NULL;
}

/* Depth-first from one root; nodes go to `order` from the back as they are finished. */
static void search_from(struct finder *f, uint32_t root, uint32_t *place)
{
	const struct trace_graph *g = f->graph;
	uint32_t depth = 0;
	f->stack[depth++] = root;
	f->mark[root] = 1;
	while (depth) {
		uint32_t node = f->stack[depth - 1];
		if (f->cursor[node] == g->first_arc[node + 1]) {
			f->order[--*place] = node;
			depth--;
			continue;
		}
		uint32_t to = g->arcs[f->cursor[node]++].to;
		if (!f->mark[to]) {
			f->mark[to] = 1;
			f->stack[depth++] = to;
		}
	}
}

/* How far a node is entered from elsewhere: 2 only, 1 mostly (by calls), 0 mostly by arcs. */
static int outside_entry(const struct finder *f, uint32_t node)
{
	uint64_t in = 0;
	for (uint32_t i = f->first_in[node]; i < f->first_in[node + 1]; i++)
		in += f->graph->arcs[f->in_arc[i]].count;
	if (!in)
		return 2;
	return in < f->graph->nodes[node].executions / 2;
}

/* The likeliest roots are searched first: what a later search reaches stays below them. */
static void make_order(struct finder *f)
{
	uint32_t place = f->n;
	for (uint32_t i = 0; i < f->n; i++)
		f->cursor[i] = f->graph->first_arc[i];
	memset(f->mark, 0, f->n);
	for (int wanted = 2; wanted >= 0; wanted--)
		for (uint32_t i = 0; i < f->n; i++)
			if (!f->mark[i] && outside_entry(f, i) >= wanted)
				search_from(f, i, &place);
	f->n_ordered = f->n;
	for (uint32_t i = 0; i < f->n; i++)
		f->number[f->order[i]] = i + 1;
}

/* Nearest common dominator; NONE stands for the virtual root above everything. */
static uint32_t intersect(const struct finder *f, uint32_t a, uint32_t b)
{
	while (a != b) {
		if (a == NONE || b == NONE)
			return NONE;
		if (f->number[a] > f->number[b])
			a = f->idom[a];
		else
			b = f->idom[b];
	}
	return a;
}

static void dominate(struct finder *f, uint8_t *known)
{
	bool changed = true;
	while (changed) {
		changed = false;
		for (uint32_t i = 0; i < f->n_ordered; i++) {
			uint32_t node = f->order[i], new = NONE;
			bool any = false;
			for (uint32_t k = f->first_in[node]; k < f->first_in[node + 1]; k++) {
				uint32_t from = f->graph->arcs[f->in_arc[k]].from;
				if (!known[from])
					continue;
				new = any ? intersect(f, new, from) : from;
				any = true;
			}
			/* A root has no known predecessor at first and stays a root. */
			if (known[node] == 2)
				new = NONE;
			else if (!any) {
				known[node] = 2;
				new = NONE;
				f->idom[node] = NONE;
				changed = true;
				continue;
			}
			if (!known[node] || f->idom[node] != new) {
				f->idom[node] = new;
				if (known[node] != 2)
					known[node] = 1;
				changed = true;
			}
		}
	}
}

static bool dominates(const struct finder *f, uint32_t a, uint32_t node)
{
	while (node != NONE && f->number[node] > f->number[a])
		node = f->idom[node];
	return node == a;
}

/* Everything that reaches one of the head's back edges without passing the head. */
static struct error *gather_body(struct finder *f, uint32_t head)
{
	uint32_t depth = 0;
	size_t first = f->members.count;
	memset(f->mark, 0, f->n);
	f->mark[head] = 1;
	if (!VEC_PUSH(&f->members, head))
		return error_create(ERR_MEMORY, "out of memory");
	for (uint32_t k = f->first_in[head]; k < f->first_in[head + 1]; k++) {
		uint32_t from = f->graph->arcs[f->in_arc[k]].from;
		if (!f->mark[from] && dominates(f, head, from)) {
			f->mark[from] = 1;
			f->stack[depth++] = from;
		}
	}
	while (depth) {
		uint32_t node = f->stack[--depth];
		if (!VEC_PUSH(&f->members, node))
			return error_create(ERR_MEMORY, "out of memory");
		for (uint32_t k = f->first_in[node]; k < f->first_in[node + 1]; k++) {
			uint32_t from = f->graph->arcs[f->in_arc[k]].from;
			if (!f->mark[from]) {
				f->mark[from] = 1;
				f->stack[depth++] = from;
			}
		}
	}
	return VEC_PUSH(&f->first_member, (uint32_t)first)
		       ? NULL
		       : error_create(ERR_MEMORY, "out of memory");
}

/* Entries are the arcs from outside; a loop that begins its function has none of them, and all
 * passes that are not repetitions are entries. */
static void count_entries(const struct finder *f, struct trace_loop *loop)
{
	uint64_t inside = 0;
	for (uint32_t k = f->first_in[loop->head_node]; k < f->first_in[loop->head_node + 1];
	     k++) {
		const struct trace_arc *arc = &f->graph->arcs[f->in_arc[k]];
		*(f->mark[arc->from] ? &inside : &loop->entries) += arc->count;
	}
	if (!loop->entries && loop->passes > inside)
		loop->entries = loop->passes - inside;
}

static void measure_loop(const struct finder *f, struct trace_loop *loop, size_t first)
{
	const struct trace_graph *g = f->graph;
	loop->low = UINT64_MAX;
	loop->is_innermost = 1;
	for (size_t i = first; i < f->members.count; i++) {
		const struct trace_node *node = &g->nodes[f->members.items[i]];
		loop->low = node->gva < loop->low ? node->gva : loop->low;
		loop->high = node->end > loop->high ? node->end : loop->high;
		loop->n_insns += node->n_insns;
		loop->instructions += node->n_insns * node->executions;
		loop->has_call |= node->end_kind == TRACE_END_CALL;
	}
	count_entries(f, loop);
}

static struct error *find_loops(struct finder *f)
{
	for (uint32_t i = 0; i < f->n_ordered; i++) {
		uint32_t head = f->order[i];
		bool is_head = false;
		for (uint32_t k = f->first_in[head]; k < f->first_in[head + 1]; k++)
			is_head |= dominates(f, head, f->graph->arcs[f->in_arc[k]].from);
		if (!is_head)
			continue;
		struct trace_loop loop = {
			.head = f->graph->nodes[head].gva,
			.head_node = head,
			.parent = TRACE_NO_LOOP,
			.passes = f->graph->nodes[head].executions,
		};
		TRY(gather_body(f, head));
		size_t first = f->first_member.items[f->first_member.count - 1];
		loop.n_nodes = (uint32_t)(f->members.count - first);
		measure_loop(f, &loop, first);
		if (!VEC_PUSH(&f->found, loop))
			return error_create(ERR_MEMORY, "out of memory");
	}
	return NULL;
}

/* Heads come in reverse postorder: an outer loop's head before its inner loops'. The last loop
 * that claims a node is therefore its innermost one, and what it claimed before is the parent.
 */
static void nest(struct finder *f)
{
	uint32_t *loop_of = f->loops->loop_of;
	for (uint32_t i = 0; i < f->n; i++)
		loop_of[i] = TRACE_NO_LOOP;
	for (uint32_t l = 0; l < f->found.count; l++) {
		struct trace_loop *loop = &f->found.items[l];
		loop->parent = loop_of[loop->head_node];
		loop->depth = 1;
		if (loop->parent != TRACE_NO_LOOP) {
			loop->depth = f->found.items[loop->parent].depth + 1;
			f->found.items[loop->parent].is_innermost = 0;
		}
		size_t end = l + 1 < f->found.count ? f->first_member.items[l + 1]
						    : f->members.count;
		for (size_t i = f->first_member.items[l]; i < end; i++)
			loop_of[f->members.items[i]] = l;
	}
}

static struct error *run(struct finder *f, uint8_t **known)
{
	TRY(error_alloc(f->n + 1, sizeof(uint32_t), &f->order));
	TRY(error_alloc(f->n + 1, sizeof(uint32_t), &f->number));
	TRY(error_alloc(f->n + 1, sizeof(uint32_t), &f->idom));
	TRY(error_alloc(f->n + 1, sizeof(uint32_t), &f->stack));
	TRY(error_alloc(f->n + 1, sizeof(uint32_t), &f->cursor));
	TRY(error_alloc(f->n + 1, 1, &f->mark));
	TRY(error_alloc(f->n + 1, 1, known));
	TRY(error_alloc(f->n + 1, sizeof(uint32_t), &f->loops->loop_of));
	TRY(index_incoming(f));
	make_order(f);
	dominate(f, *known);
	TRY(find_loops(f));
	nest(f);
	f->loops->count = (uint32_t)f->found.count;
	f->loops->items = TAKE(f->found.items);
	return NULL;
}

struct error *trace_loops_create(const struct trace_graph *graph, struct trace_loops **ret)
{
	AUTO(own_trace_loops) struct trace_loops *loops = NULL;
	AUTO(own_free) uint8_t *known = NULL;
	TRY(error_alloc(1, sizeof(*loops), &loops));
	struct finder f = { .graph = graph, .n = graph->n_nodes, .loops = loops };
	struct error *err = run(&f, &known);
	free(f.order);
	free(f.number);
	free(f.idom);
	free(f.first_in);
	free(f.in_arc);
	free(f.stack);
	free(f.cursor);
	free(f.mark);
	VEC_FREE(&f.found);
	VEC_FREE(&f.members);
	VEC_FREE(&f.first_member);
	if (err)
		return err;
	*ret = TAKE(loops);
	return NULL;
}

void trace_loops_destroy(struct trace_loops *loops)
{
	if (!loops)
		return;
	free(loops->items);
	free(loops->loop_of);
	free(loops);
}
