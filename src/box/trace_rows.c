#include "box/trace_rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "box/call.h"
#include "box/guest_call.h"
#include "trace/blocks.h"
#include "trace/graph.h"
#include "trace/loops.h"
#include "trace/profile.h"

void trace_rows_text(const struct trace_rows *rows, uint64_t cr3, uint64_t gva, char *ret,
		     size_t ret_bytes)
{
	uint64_t into = 0;
	char name[256] = "";
	rows->place(rows->place_user, cr3, gva, name, sizeof(name), &into);
	if (!name[0])
		snprintf(ret, ret_bytes, "0x%" PRIx64, gva);
	else if (into)
		snprintf(ret, ret_bytes, "%s+0x%" PRIx64, name, into);
	else
		snprintf(ret, ret_bytes, "%s", name);
}

void trace_rows_function(void *user, uint64_t cr3, uint64_t gva, char *ret, size_t ret_bytes)
{
	const struct trace_rows *rows = user;
	uint64_t into = 0;
	char name[256] = "";
	rows->place(rows->place_user, cr3, gva, name, sizeof(name), &into);
	if (name[0])
		snprintf(ret, ret_bytes, "%s%s", gva >> 63 ? "[kernel] " : "", name);
}

/* The first `top` rows by instructions. */
static int compare_rows(const void *a, const void *b)
{
	json_int_t x = json_integer_value(json_object_get(*(json_t *const *)a, "instructions"));
	json_int_t y = json_integer_value(json_object_get(*(json_t *const *)b, "instructions"));
	return x > y ? -1 : x < y;
}

static struct error *best_rows(const json_t *all, size_t top, json_t **ret)
{
	size_t n = json_array_size(all);
	AUTO(own_free) json_t **sorted = NULL;
	AUTO(own_json) json_t *list = json_array();
	TRY(error_alloc(n + 1, sizeof(*sorted), &sorted));
	for (size_t i = 0; i < n; i++)
		sorted[i] = json_array_get(all, i);
	if (n)
		qsort(sorted, n, sizeof(*sorted), compare_rows);
	for (size_t i = 0; i < n && i < top; i++)
		TRY(json_list_add(list, json_incref(sorted[i])));
	*ret = TAKE(list);
	return NULL;
}

static double share_of(uint64_t instructions, double total)
{
	return total > 0 ? (double)instructions / total : 0.0;
}

/* --- blocks ------------------------------------------------------------------------------- */

static uint64_t instructions_of(const struct trace_blocks *blocks, const struct trace_hot *hot)
{
	return hot->executions * blocks->items[hot->block].n_insns;
}

static int compare_hot(const void *a, const void *b, void *user)
{
	const struct trace_hot *x = a, *y = b;
	uint64_t m = instructions_of(user, x), n = instructions_of(user, y);
	if (m != n)
		return m > n ? -1 : 1;
	return x->block < y->block ? -1 : x->block > y->block;
}

static json_t *hot_row(const struct trace_rows *rows, const struct trace_hot *hot, double total)
{
	char symbol[300];
	const struct trace_block *b = &rows->blocks->items[hot->block];
	uint64_t instructions = instructions_of(rows->blocks, hot);
	trace_rows_text(rows, b->cr3, b->gva, symbol, sizeof(symbol));
	json_t *row = json_pack("{s:o, s:s, s:I, s:I, s:f, s:s}", "address", call_hex(b->gva),
				"symbol", symbol, "executions", (json_int_t)hot->executions,
				"instructions", (json_int_t)instructions, "share",
				share_of(instructions, total), "class",
				trace_class_name(trace_classify(b->bytes, b->n_bytes)));
	if (row && hot->reached_ms >= 0)
		json_object_set_new(row, "reached_ms", json_real(hot->reached_ms));
	return row;
}

struct error *trace_rows_hot(const struct trace_rows *rows, struct trace_hot *hot, size_t n,
			     json_t **ret)
{
	AUTO(own_json) json_t *list = json_array();
	double total = 0;
	bool timed = n && hot[0].reached_ms >= 0;
	for (size_t i = 0; i < n; i++)
		total += (double)instructions_of(rows->blocks, &hot[i]);
	if (n && !timed)
		qsort_r(hot, n, sizeof(*hot), compare_hot, (void *)rows->blocks);
	for (size_t i = 0; i < n && i < rows->top && hot[i].executions; i++)
		TRY(json_list_add(list, hot_row(rows, &hot[i], total)));
	*ret = TAKE(list);
	return NULL;
}

struct error *trace_rows_blocks(const struct trace_rows *rows,
				const struct trace_profile *profile, json_t **ret)
{
	AUTO(own_free) struct trace_hot *hot = NULL;
	size_t n_edges;
	const struct trace_edge *edges = trace_profile_edges(profile, &n_edges);
	TRY(error_alloc(rows->blocks->count + 1, sizeof(*hot), &hot));
	for (uint32_t i = 0; i < rows->blocks->count; i++)
		hot[i] = (struct trace_hot){ .block = i, .reached_ms = -1 };
	for (size_t i = 0; i < n_edges; i++)
		if (edges[i].to < rows->blocks->count)
			hot[edges[i].to].executions += edges[i].count;
	return trace_rows_hot(rows, hot, rows->blocks->count, ret);
}

/* --- loops -------------------------------------------------------------------------------- */

static json_t *loop_row(const struct trace_rows *rows, const struct trace_loop *loop,
			const struct trace_graph *graph, uint64_t cr3, double total)
{
	char symbol[300];
	const struct trace_node *head = &graph->nodes[loop->head_node];
	trace_rows_text(rows, cr3, loop->head, symbol, sizeof(symbol));
	return json_pack("{s:o, s:s, s:I, s:I, s:f, s:s, s:o, s:I, s:f, s:i, s:b, s:o, s:o}",
			 "address", call_hex(loop->head), "symbol", symbol, "executions",
			 (json_int_t)loop->passes, "instructions",
			 (json_int_t)loop->instructions, "share",
			 share_of(loop->instructions, total), "class",
			 trace_class_name(head->class), "cr3", json_hex_or_null(cr3 != 0, cr3),
			 "entries", (json_int_t)loop->entries, "trips", trace_loop_trips(loop),
			 "depth", (int)loop->depth, "innermost", (int)loop->is_innermost, "low",
			 call_hex(loop->low), "high", call_hex(loop->high));
}

static double total_instructions(const struct trace_rows *rows,
				 const struct trace_profile *profile)
{
	size_t n_edges;
	double total = 0;
	const struct trace_edge *edges = trace_profile_edges(profile, &n_edges);
	for (size_t i = 0; i < n_edges; i++)
		if (edges[i].to < rows->blocks->count)
			total += (double)edges[i].count *
				 rows->blocks->items[edges[i].to].n_insns;
	return total;
}

static struct error *add_space_loops(const struct trace_rows *rows,
				     const struct trace_profile *profile, uint32_t space,
				     uint64_t cr3, double total, json_t *list)
{
	AUTO(own_trace_graph) struct trace_graph *graph = NULL;
	AUTO(own_trace_loops) struct trace_loops *loops = NULL;
	size_t n_edges;
	const struct trace_edge *edges = trace_profile_edges(profile, &n_edges);
	TRY(trace_graph_create(rows->blocks, edges, n_edges, space, &graph));
	TRY(trace_loops_create(graph, &loops));
	for (uint32_t i = 0; i < loops->count; i++)
		TRY(json_list_add(list, loop_row(rows, &loops->items[i], graph, cr3, total)));
	return NULL;
}

struct error *trace_rows_loops(const struct trace_rows *rows,
			       const struct trace_profile *profile, json_t **ret)
{
	AUTO(own_json) json_t *list = json_array();
	size_t n_spaces;
	double total = total_instructions(rows, profile);
	const struct trace_space *spaces = trace_profile_spaces(profile, &n_spaces);
	for (uint32_t i = 0; i < n_spaces; i++)
		TRY(add_space_loops(rows, profile, i, spaces[i].cr3, total, list));
	return best_rows(list, rows->top, ret);
}

/* --- loads and stores --------------------------------------------------------------------- */

static int compare_accesses(const void *a, const void *b)
{
	const struct trace_access *const *x = a, *const *y = b;
	return (*x)->count > (*y)->count ? -1 : (*x)->count < (*y)->count;
}

static json_t *access_row(const struct trace_rows *rows, const struct trace_access *access)
{
	char symbol[300];
	const struct trace_block *b = &rows->blocks->items[access->block];
	trace_rows_text(rows, b->cr3, b->gva, symbol, sizeof(symbol));
	bool steady = access->stride_count * 2 > access->count;
	return json_pack("{s:o, s:s, s:i, s:s, s:i, s:I, s:o, s:o, s:o}", "address",
			 call_hex(b->gva), "symbol", symbol, "instruction", (int)access->insn,
			 "access", access->is_store ? "store" : "load", "bytes",
			 1 << access->log2_bytes, "executions", (json_int_t)access->count,
			 "stride", steady ? json_integer(access->stride) : json_null(), "low",
			 call_hex(access->low), "high", call_hex(access->high));
}

struct error *trace_rows_accesses(const struct trace_rows *rows,
				  const struct trace_profile *profile, json_t **ret)
{
	AUTO(own_json) json_t *list = json_array();
	AUTO(own_free) const struct trace_access **sorted = NULL;
	size_t n, kept = 0;
	const struct trace_access *accesses = trace_profile_accesses(profile, &n);
	TRY(error_alloc(n + 1, sizeof(*sorted), &sorted));
	for (size_t i = 0; i < n; i++)
		if (accesses[i].count && accesses[i].block < rows->blocks->count)
			sorted[kept++] = &accesses[i];
	if (kept)
		qsort(sorted, kept, sizeof(*sorted), compare_accesses);
	for (size_t i = 0; i < kept && i < rows->top; i++)
		TRY(json_list_add(list, access_row(rows, sorted[i])));
	*ret = TAKE(list);
	return NULL;
}
