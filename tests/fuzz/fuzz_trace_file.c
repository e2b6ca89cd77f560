/* Any bytes as a trace file: refused, or profiled, drawn as a graph, searched for loops and
 * folded without reading outside them. */
#include "base/error.h"
#include "trace/blocks.h"
#include "trace/export.h"
#include "trace/file.h"
#include "trace/file_names.h"
#include "trace/graph.h"
#include "trace/loops.h"
#include "trace/profile.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void add_stream(struct trace_profile *profile, struct trace_stacks *stacks,
		       const struct trace_stream *stream)
{
	uint64_t words[64];
	for (size_t at = 0; at < stream->n_words; at += 64) {
		size_t n = stream->n_words - at < 64 ? stream->n_words - at : 64;
		memcpy(words, stream->words + at * 8, n * 8);
		CHECK(!trace_profile_add(profile, stream->vcpu, words, n));
		CHECK(!trace_stacks_add(stacks, stream->vcpu, words, n));
	}
}

static void analyse(const struct trace_blocks *blocks, const struct trace_profile *profile)
{
	size_t n_spaces, n_edges;
	const struct trace_edge *edges = trace_profile_edges(profile, &n_edges);
	trace_profile_spaces(profile, &n_spaces);
	for (uint32_t i = 0; i < n_spaces && i < 8; i++) {
		AUTO(own_trace_graph) struct trace_graph *graph = NULL;
		AUTO(own_trace_loops) struct trace_loops *loops = NULL;
		CHECK(!trace_graph_create(blocks, edges, n_edges, i, &graph));
		CHECK(!trace_loops_create(graph, &loops));
		for (uint32_t l = 0; l < loops->count; l++)
			CHECK(loops->items[l].head_node < graph->n_nodes);
	}
}

static void look_up_names(const struct trace_file *file)
{
	AUTO(own_trace_names_table) struct trace_names_table *names = NULL;
	CHECK(!trace_names_table_create(file->names, file->n_names, &names));
	for (uint32_t i = 0; i < file->blocks->count; i++) {
		char name[16];
		uint64_t into;
		const struct trace_block *block = &file->blocks->items[i];
		trace_names_table_place(names, block->cr3, block->gva, name, sizeof(name),
					&into);
		CHECK(strlen(name) < sizeof(name));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	AUTO(own_trace_file) struct trace_file *file = NULL;
	AUTO(own_trace_profile) struct trace_profile *profile = NULL;
	AUTO(own_trace_stacks) struct trace_stacks *stacks = NULL;
	struct error *err = trace_file_parse(bytes, size, &file);
	error_destroy(err);
	if (err)
		return 0;
	CHECK(!trace_profile_create(file->blocks->count, &profile));
	CHECK(!trace_stacks_create(file->blocks, &stacks));
	for (size_t i = 0; i < file->n_streams; i++)
		add_stream(profile, stacks, &file->streams[i]);
	analyse(file->blocks, profile);
	look_up_names(file);
	return 0;
}
