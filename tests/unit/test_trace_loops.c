/* Records to edges, edges to graph, graph to loops: on a small nest whose numbers are known. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "plugin/control.h"
#include "plugin/record.h"
#include "trace/blocks.h"
#include "trace/graph.h"
#include "trace/loops.h"
#include "trace/profile.h"

/* 1000 mov ecx,10   1005 add eax,ebx   1007 dec ecx   1009 jnz 1005
 * 100b dec edx      100d jnz 1000      100f ret */
static const uint8_t code[] = { 0xb9, 10,   0,	  0,	0,    0x01, 0xd8, 0xff,
				0xc9, 0x75, 0xfa, 0xff, 0xca, 0x75, 0xf1, 0xc3 };
enum { A, B, C, D };

static const struct gb_block nest[] = {
	[A] = { .gva = 0x1000, .gpa = 0x1000, .code_offset = 0, .n_bytes = 11, .n_insns = 4 },
	[B] = { .gva = 0x1005, .gpa = 0x1005, .code_offset = 5, .n_bytes = 6, .n_insns = 3 },
	[C] = { .gva = 0x100b, .gpa = 0x100b, .code_offset = 11, .n_bytes = 4, .n_insns = 2 },
	[D] = { .gva = 0x100f, .gpa = 0x100f, .code_offset = 15, .n_bytes = 1, .n_insns = 1 },
};

static struct trace_blocks *make_blocks(void)
{
	struct trace_blocks *blocks;
	assert_ok(trace_blocks_create(nest, 4, code, sizeof(code), &blocks));
	return blocks;
}

static void put(struct trace_profile *p, uint64_t word)
{
	assert_ok(trace_profile_add(p, 0, &word, 1));
}

/* packed: a block that follows itself is counted instead. */
static void run_nest(struct trace_profile *p, int outer, int inner, bool packed)
{
	for (int i = 0; i < outer; i++) {
		put(p, gb_record(GB_REC_BLOCK, A));
		for (int j = 1; j < (packed ? 2 : inner); j++)
			put(p, gb_record(GB_REC_BLOCK, B));
		if (packed)
			put(p, gb_record(GB_REC_REPEAT, inner - 2));
		put(p, gb_record(GB_REC_BLOCK, C));
	}
	put(p, gb_record(GB_REC_BLOCK, D));
}

static void check_nest(bool packed)
{
	struct trace_profile *p;
	struct trace_graph *graph;
	struct trace_loops *loops;
	struct trace_blocks *blocks = make_blocks();
	size_t n;
	assert_ok(trace_profile_create(4, &p));
	run_nest(p, 4, 10, packed);
	assert_int_equal(trace_profile_totals(p)->blocks, 4 * 11 + 1);
	const struct trace_edge *edges = trace_profile_edges(p, &n);
	assert_ok(trace_graph_create(blocks, edges, n, 0, &graph));
	assert_int_equal(graph->n_nodes, 4);
	assert_int_equal(graph->nodes[1].gva, 0x1005);
	assert_int_equal(graph->nodes[1].executions, 40);
	assert_int_equal(graph->nodes[0].end, 0x1005);
	assert_int_equal(graph->nodes[0].n_insns, 1);
	assert_int_equal(trace_graph_find(graph, 0x1009), 1);
	assert_int_equal(trace_graph_find(graph, 0x2000), UINT32_MAX);
	assert_ok(trace_loops_create(graph, &loops));
	assert_int_equal(loops->count, 2);
	const struct trace_loop *outer = &loops->items[0], *inner = &loops->items[1];
	assert_int_equal(outer->head, 0x1000);
	assert_int_equal(outer->passes, 4);
	assert_int_equal(outer->entries, 1);
	assert_int_equal(outer->depth, 1);
	assert_false(outer->is_innermost);
	assert_int_equal(inner->head, 0x1005);
	assert_int_equal(inner->high, 0x100b);
	assert_int_equal(inner->passes, 40);
	assert_int_equal(inner->entries, 4);
	assert_int_equal(inner->parent, 0);
	assert_int_equal(inner->depth, 2);
	assert_true(inner->is_innermost);
	assert_int_equal(inner->instructions, 120);
	assert_int_equal(outer->instructions, 120 + 4 + 8);
	trace_loops_destroy(loops);
	trace_graph_destroy(graph);
	trace_profile_destroy(p);
	trace_blocks_destroy(blocks);
}

static void nest_is_two_loops(void **state)
{
	(void)state;
	check_nest(false);
	check_nest(true);
}

/* Nobody knows which block repeats itself behind a gap. */
static void repeats_behind_a_gap_are_void(void **state)
{
	(void)state;
	struct trace_profile *p;
	assert_ok(trace_profile_create(4, &p));
	put(p, gb_record(GB_REC_REPEAT, 7));
	put(p, gb_record(GB_REC_BLOCK, B));
	put(p, gb_record(GB_REC_DROP, 5));
	put(p, gb_record(GB_REC_REPEAT, 7));
	assert_int_equal(trace_profile_totals(p)->blocks, 1);
	trace_profile_destroy(p);
}

/* An interrupt in the middle of the loop adds no entry, and kernel code is not part of it. */
static void interrupts_do_not_count(void **state)
{
	(void)state;
	struct trace_profile *p;
	struct trace_graph *graph;
	struct trace_loops *loops;
	struct trace_blocks *blocks = make_blocks();
	uint64_t irq[2] = { gb_record(GB_REC_BREAK, 1), 0xffffffff81000000 };
	size_t n;
	assert_ok(trace_profile_create(4, &p));
	put(p, gb_record(GB_REC_BLOCK, A));
	for (int i = 0; i < 9; i++) {
		if (i == 4)
			assert_ok(trace_profile_add(p, 0, irq, 2));
		put(p, gb_record(GB_REC_BLOCK, B));
	}
	put(p, gb_record(GB_REC_BLOCK, C));
	put(p, gb_record(GB_REC_BLOCK, D));
	const struct trace_edge *edges = trace_profile_edges(p, &n);
	assert_ok(trace_graph_create(blocks, edges, n, 0, &graph));
	assert_ok(trace_loops_create(graph, &loops));
	assert_int_equal(loops->count, 1);
	assert_int_equal(loops->items[0].entries, 1);
	assert_int_equal(loops->items[0].passes, 10);
	assert_int_equal(trace_profile_totals(p)->breaks, 1);
	trace_loops_destroy(loops);
	trace_graph_destroy(graph);
	trace_profile_destroy(p);
	trace_blocks_destroy(blocks);
}

static void spaces_are_apart(void **state)
{
	(void)state;
	struct trace_profile *p;
	size_t n;
	assert_ok(trace_profile_create(4, &p));
	put(p, gb_record(GB_REC_CR3, 0x1234));
	run_nest(p, 1, 2, false);
	put(p, gb_record(GB_REC_CR3, 0x5678));
	put(p, gb_record(GB_REC_BLOCK, GB_REC_KERNEL | D));
	run_nest(p, 2, 2, false);
	const struct trace_space *spaces = trace_profile_spaces(p, &n);
	assert_int_equal(n, 3);
	assert_int_equal(spaces[0].blocks, 1);
	assert_int_equal(spaces[1].cr3, 0x1234000);
	assert_int_equal(spaces[1].blocks, 4);
	assert_int_equal(spaces[2].blocks, 7);
	trace_profile_destroy(p);
}

static void strides_are_found(void **state)
{
	(void)state;
	struct trace_profile *p;
	size_t n;
	assert_ok(trace_profile_create(4, &p));
	for (uint64_t i = 0; i < 100; i++) {
		uint64_t words[4] = { gb_record_access(GB_REC_LOAD, 1, 2, B), 0x7000 + i * 4,
				      gb_record_access(GB_REC_STORE, 2, 3, B), 0x9000 - i * 8 };
		assert_ok(trace_profile_add(p, 0, words, 3)); /* cut inside a record */
		assert_ok(trace_profile_add(p, 0, words + 3, 1));
	}
	const struct trace_access *a = trace_profile_accesses(p, &n);
	assert_int_equal(n, 2);
	assert_int_equal(a[0].stride, 4);
	assert_int_equal(a[0].stride_count, 99);
	assert_int_equal(a[0].log2_bytes, 2);
	assert_int_equal(a[1].stride, -8);
	assert_true(a[1].is_store);
	assert_int_equal(a[1].low, 0x9000 - 99 * 8);
	trace_profile_destroy(p);
}

static void garbage_is_counted(void **state)
{
	(void)state;
	struct trace_profile *p;
	uint64_t words[] = { 0,
			     ~0ull,
			     gb_record(GB_REC_BLOCK, 4),
			     gb_record(GB_REC_BLOCK, ~0u),
			     gb_record_access(GB_REC_LOAD, 0, 0, 77),
			     1,
			     gb_record(GB_REC_DROP, 5) };
	assert_ok(trace_profile_create(4, &p));
	assert_ok(trace_profile_add(p, 3, words, 7));
	assert_int_equal(trace_profile_totals(p)->bad_words, 5);
	assert_int_equal(trace_profile_totals(p)->dropped, 5);
	assert_int_equal(trace_profile_totals(p)->blocks, 0);
	trace_profile_destroy(p);
}

/* Random graphs: every loop's head dominates its members, found by removing the head. */
static void random_loops_have_dominating_heads(void **state)
{
	(void)state;
	enum { N = 12 };
	uint64_t seed = 88172645463325252ull;
	for (int round = 0; round < 400; round++) {
		struct trace_node nodes[N] = { 0 };
		struct trace_arc arcs[N * 2];
		uint32_t first[N + 1], n_arcs = 0;
		for (uint32_t i = 0; i < N; i++) {
			nodes[i] = (struct trace_node){ .gva = i * 16,
							.end = i * 16 + 16,
							.executions = 9 };
			first[i] = n_arcs;
			for (int k = 0; k < 2; k++) {
				seed ^= seed << 13;
				seed ^= seed >> 7;
				seed ^= seed << 17;
				uint32_t to = (uint32_t)(seed >> 20) % (N - 1) +
					      1; /* never the root */
				if (seed >> 60 < 12)
					arcs[n_arcs++] = (struct trace_arc){ i, to, 9 };
			}
		}
		first[N] = n_arcs;
		struct trace_graph graph = { .nodes = nodes,
					     .n_nodes = N,
					     .arcs = arcs,
					     .n_arcs = n_arcs,
					     .first_arc = first };
		struct trace_loops *loops;
		assert_ok(trace_loops_create(&graph, &loops));
		for (uint32_t l = 0; l < loops->count; l++) {
			uint32_t head = loops->items[l].head_node, depth = 0, stack[N * 2];
			bool seen[N] = { false };
			for (uint32_t r = 0; r < N;
			     r++) { /* from every root but through the head */
				bool is_root = true;
				for (uint32_t k = 0; k < n_arcs; k++)
					is_root &= arcs[k].to != r;
				if (is_root && r != head && !seen[r]) {
					seen[r] = true;
					stack[depth++] = r;
				}
				while (depth) {
					uint32_t at = stack[--depth];
					for (uint32_t k = first[at]; k < first[at + 1]; k++)
						if (!seen[arcs[k].to] && arcs[k].to != head) {
							seen[arcs[k].to] = true;
							stack[depth++] = arcs[k].to;
						}
				}
			}
			for (uint32_t i = 0; i < N; i++) {
				uint32_t in = loops->loop_of[i];
				while (in != TRACE_NO_LOOP && in != l)
					in = loops->items[in].parent;
				if (in == l && i != head)
					assert_false(seen[i]);
			}
		}
		trace_loops_destroy(loops);
	}
}

static void classes(void **state)
{
	(void)state;
	static const uint8_t alu[] = { 0x01, 0xd8 }, memory[] = { 0x8b, 0x07 },
			     simd[] = { 0x66, 0x0f, 0xef, 0xc1 },
			     real[] = { 0xf2, 0x0f, 0x58, 0xc1 }, io[] = { 0xe4, 0x60 },
			     privileged[] = { 0x0f, 0x22, 0xd8 };
	assert_int_equal(trace_classify(alu, 2), TRACE_CLASS_ALU);
	assert_int_equal(trace_classify(memory, 2), TRACE_CLASS_MEMORY);
	assert_int_equal(trace_classify(simd, 4), TRACE_CLASS_SIMD);
	assert_int_equal(trace_classify(real, 4), TRACE_CLASS_FLOAT);
	assert_int_equal(trace_classify(io, 2), TRACE_CLASS_IO);
	assert_int_equal(trace_classify(privileged, 3), TRACE_CLASS_PRIVILEGED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nest_is_two_loops),
		cmocka_unit_test(repeats_behind_a_gap_are_void),
		cmocka_unit_test(interrupts_do_not_count),
		cmocka_unit_test(spaces_are_apart),
		cmocka_unit_test(strides_are_found),
		cmocka_unit_test(garbage_is_counted),
		cmocka_unit_test(random_loops_have_dominating_heads),
		cmocka_unit_test(classes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
