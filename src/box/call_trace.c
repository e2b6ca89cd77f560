/* Calls that watch execution through the plugin: hot, trace. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/out_file.h"
#include "base/vec.h"
#include "box/calls.h"
#include "box/guest_call.h"
#include "box/target.h"
#include "box/trace_names.h"
#include "plugin/record.h"
#include "trace/blocks.h"
#include "trace/capture.h"
#include "trace/export.h"
#include "trace/file.h"
#include "trace/graph.h"
#include "trace/loops.h"
#include "trace/profile.h"
#include "trace/source.h"

static struct error *open_source(struct call_context *context, struct trace_source **ret)
{
	char path[256];
	trace_source_path(target_name(context->target), path, sizeof(path));
	return trace_source_open(path, ret);
}

/* The filters that both calls have. */
static struct error *make_request(struct call_context *context, const struct trace_names *names,
				  struct gb_request *request)
{
	const char *rings = call_string(context, "ring");
	*request = (struct gb_request){
		.range_start = call_integer(context, "start", 0),
		.range_end = call_integer(context, "end", 0),
	};
	if (rings && !strcmp(rings, "user"))
		request->rings = GB_RING_USER;
	if (rings && !strcmp(rings, "kernel"))
		request->rings = GB_RING_KERNEL;
	if (!call_has(context, "pid"))
		return NULL;
	int64_t pid = (int64_t)call_integer(context, "pid", 0);
	request->cr3 = trace_names_cr3(names, pid);
	return request->cr3
		       ? NULL
		       : error_create(ERR_NOT_FOUND,
				      "no process %" PRId64 " with memory of its own", pid);
}

static unsigned duration_ms(struct call_context *context)
{
	uint64_t ms = call_integer(context, "ms", 1000);
	return ms > 600000 ? 600000 : (unsigned)ms;
}

/* hot */

struct hot_block {
	uint32_t block;
	uint64_t executions, instructions;
};

static int compare_hot(const void *a, const void *b)
{
	const struct hot_block *x = a, *y = b;
	if (x->instructions != y->instructions)
		return x->instructions > y->instructions ? -1 : 1;
	return x->block < y->block ? -1 : x->block > y->block;
}

static json_t *hot_row(const struct trace_block *b, const struct hot_block *hot, double total,
		       struct trace_names *names, uint64_t cr3)
{
	char symbol[256];
	trace_names_text(names, cr3, b->gva, symbol, sizeof(symbol));
	enum trace_class class = trace_classify(b->bytes, b->n_bytes);
	return json_pack("{s:o, s:s, s:I, s:I, s:f, s:s}", "address", call_hex(b->gva),
			 "symbol", symbol, "executions", (json_int_t)hot->executions,
			 "instructions", (json_int_t)hot->instructions, "share",
			 total > 0 ? (double)hot->instructions / total : 0.0, "class",
			 trace_class_name(class));
}

static struct error *hot_list(struct hot_block *hot, size_t n,
			      const struct trace_blocks *blocks, struct trace_names *names,
			      size_t top, json_t **ret)
{
	AUTO(own_json) json_t *list = json_array();
	double total = 0;
	for (size_t i = 0; i < n; i++)
		total += (double)hot[i].instructions;
	if (n)
		qsort(hot, n, sizeof(*hot), compare_hot);
	for (size_t i = 0; i < n && i < top && hot[i].instructions; i++) {
		const struct trace_block *b = &blocks->items[hot[i].block];
		TRY(json_list_add(list, hot_row(b, &hot[i], total, names, b->cr3)));
	}
	*ret = TAKE(list);
	return NULL;
}

static struct error *hot_by_counting(struct call_context *context, struct trace_source *source,
				     struct trace_names *names, size_t top, json_t **ret)
{
	AUTO(own_free) uint64_t *before = NULL, *after = NULL;
	AUTO(own_free) struct hot_block *hot = NULL;
	AUTO(own_trace_blocks) struct trace_blocks *blocks = NULL;
	struct gb_request request;
	uint32_t n;
	TRY(make_request(context, names, &request));
	TRY(trace_count(source, &request, duration_ms(context), &before, &after, &n));
	TRY(trace_source_blocks(source, &blocks));
	n = n < blocks->count ? n : blocks->count;
	TRY(error_alloc(n + 1, sizeof(*hot), &hot));
	for (uint32_t i = 0; i < n; i++) {
		uint64_t executions = after[i] - before[i];
		hot[i] = (struct hot_block){ i, executions,
					     executions * blocks->items[i].n_insns };
	}
	return hot_list(hot, n, blocks, names, top, ret);
}

static struct error *profile_sink(void *user, unsigned vcpu, const uint64_t *words, size_t n)
{
	return trace_profile_add(user, vcpu, words, n);
}

static json_t *loop_row(const struct trace_loop *loop, const struct trace_graph *graph,
			uint64_t cr3, double total, struct trace_names *names)
{
	char symbol[256];
	const struct trace_node *head = &graph->nodes[loop->head_node];
	trace_names_text(names, cr3, loop->head, symbol, sizeof(symbol));
	return json_pack("{s:o, s:s, s:I, s:I, s:f, s:s, s:o, s:I, s:f, s:i, s:b, s:o, s:o}",
			 "address", call_hex(loop->head), "symbol", symbol, "executions",
			 (json_int_t)loop->passes, "instructions",
			 (json_int_t)loop->instructions, "share",
			 total > 0 ? (double)loop->instructions / total : 0.0, "class",
			 trace_class_name(head->class), "cr3", json_hex_or_null(cr3 != 0, cr3),
			 "entries", (json_int_t)loop->entries, "trips", trace_loop_trips(loop),
			 "depth", (int)loop->depth, "innermost", (int)loop->is_innermost, "low",
			 call_hex(loop->low), "high", call_hex(loop->high));
}

static int compare_loop_rows(const void *a, const void *b)
{
	json_int_t x = json_integer_value(json_object_get(*(json_t *const *)a, "instructions"));
	json_int_t y = json_integer_value(json_object_get(*(json_t *const *)b, "instructions"));
	return x > y ? -1 : x < y;
}

static struct error *add_space_loops(json_t *list, const struct trace_profile *profile,
				     const struct trace_blocks *blocks, uint32_t space,
				     uint64_t cr3, struct trace_names *names)
{
	AUTO(own_trace_graph) struct trace_graph *graph = NULL;
	AUTO(own_trace_loops) struct trace_loops *loops = NULL;
	size_t n_edges;
	double total = 0;
	const struct trace_edge *edges = trace_profile_edges(profile, &n_edges);
	for (size_t i = 0; i < n_edges; i++)
		if (edges[i].to < blocks->count)
			total += (double)edges[i].count * blocks->items[edges[i].to].n_insns;
	TRY(trace_graph_create(blocks, edges, n_edges, space, &graph));
	TRY(trace_loops_create(graph, &loops));
	for (uint32_t i = 0; i < loops->count; i++)
		TRY(json_list_add(list, loop_row(&loops->items[i], graph, cr3, total, names)));
	return NULL;
}

/* The first `top` rows by instructions, as a new array. */
static struct error *best_rows(json_t *rows, size_t top, json_t **ret)
{
	size_t n = json_array_size(rows);
	AUTO(own_free) json_t **sorted = NULL;
	AUTO(own_json) json_t *list = json_array();
	TRY(error_alloc(n + 1, sizeof(*sorted), &sorted));
	for (size_t i = 0; i < n; i++)
		sorted[i] = json_array_get(rows, i);
	if (n)
		qsort(sorted, n, sizeof(*sorted), compare_loop_rows);
	for (size_t i = 0; i < n && i < top; i++)
		TRY(json_list_add(list, json_incref(sorted[i])));
	*ret = TAKE(list);
	return NULL;
}

static struct error *hot_by_tracing(struct call_context *context, struct trace_source *source,
				    struct trace_names *names, size_t top, json_t **ret)
{
	AUTO(own_trace_profile) struct trace_profile *profile = NULL;
	AUTO(own_trace_blocks) struct trace_blocks *blocks = NULL;
	AUTO(own_json) json_t *rows = json_array();
	struct trace_capture_params params = { .ms = duration_ms(context),
					       .sink = profile_sink };
	struct trace_capture_result result;
	struct gb_control state;
	size_t n_spaces;
	TRY(make_request(context, names, &params.request));
	params.request.mode = GB_MODE_BLOCK;
	TRY(trace_source_state(source, &state));
	TRY(trace_profile_create(state.n_block_slots, &profile));
	params.user = profile;
	TRY(trace_capture(source, &params, &result));
	TRY(trace_source_blocks(source, &blocks));
	const struct trace_space *spaces = trace_profile_spaces(profile, &n_spaces);
	for (uint32_t i = 0; i < n_spaces; i++)
		TRY(add_space_loops(rows, profile, blocks, i, spaces[i].cr3, names));
	return best_rows(rows, top, ret);
}

static struct error *run_hot(struct call_context *context, json_t **ret)
{
	AUTO(own_trace_source) struct trace_source *source = NULL;
	AUTO(own_trace_names) struct trace_names *names = NULL;
	size_t top = call_integer(context, "top", 20);
	TRY(open_source(context, &source));
	TRY(trace_names_create(context->target, &names));
	if (call_bool(context, "loops"))
		return hot_by_tracing(context, source, names, top, ret);
	return hot_by_counting(context, source, names, top, ret);
}

#define FILTER_PARAMS                                                                       \
	{ "ms", CALL_INTEGER, .placeholder = "MS",                                          \
	  .help = "how long to watch; 1000 if not given" },                                 \
		{ "pid", CALL_INTEGER, .letter = 'p', .placeholder = "PID",                 \
		  .help = "only while this process runs (not when counting)" },             \
		{ "ring", CALL_STRING, .placeholder = "RING", .choices = "any,user,kernel", \
		  .help = "only user or only kernel code" },                                \
		{ "start", CALL_INTEGER, .placeholder = "ADDR",                             \
		  .help = "only blocks from here" },                                        \
	{                                                                                   \
		"end", CALL_INTEGER, .placeholder = "ADDR", .help = "... to before here"    \
	}

static const struct call_param hot_params[] = {
	FILTER_PARAMS,
	{ "top", CALL_INTEGER, .letter = 'n', .placeholder = "N",
	  .help = "how many rows; 20 if not given" },
	{ "loops", CALL_BOOL, .letter = 'l',
	  .help = "trace instead of counting, and show loops with trip counts" },
	{ 0 },
};

static const struct call_column hot_columns[] = {
	{ "address", "ADDRESS", COLUMN_LEFT },
	{ "executions", "EXECUTIONS", COLUMN_RIGHT },
	{ "instructions", "INSTRUCTIONS", COLUMN_RIGHT },
	{ "share", "SHARE", COLUMN_RIGHT },
	{ "class", "CLASS", COLUMN_LEFT },
	{ "symbol", "SYMBOL", COLUMN_LEFT },
	{ 0 },
};

const struct call call_hot = {
	.name = "hot",
	.group = "learning",
	.summary = "the code that runs most",
	.details =
		"Counts the executions of every translated block for a while; with --loops it "
		"traces\nthem and gives loops, with entries, trips (mean passes per entry), "
		"nesting depth and\naddress range in the JSON document. Needs a VM started "
		"with "
		"--learn.",
	.examples = "  glassbox hot demo\n  glassbox hot demo --loops --ms 300 --json",
	.flags = CALL_TARGET | CALL_LIVE_ONLY,
	.params = hot_params,
	.columns = hot_columns,
	.run = run_hot,
};

/* trace */

static struct error *file_sink(void *user, unsigned vcpu, const uint64_t *words, size_t n)
{
	return trace_file_chunk(user, TRACE_CHUNK_RECORDS, vcpu, words, n * sizeof(*words));
}

static struct error *write_meta(FILE *spool, struct call_context *context,
				const struct gb_control *state, uint32_t mode)
{
	static const char *const modes[] = { "off", "count", "block", "full" };
	AUTO(own_json)
	json_t *meta = json_pack("{s:s, s:s, s:i, s:i}", "vm", target_name(context->target),
				 "mode", modes[mode], "vcpus", (int)state->n_vcpus,
				 "plugin_api", (int)state->plugin_api);
	AUTO(own_free) char *text = meta ? json_dumps(meta, JSON_COMPACT) : NULL;
	if (!text)
		return error_create(ERR_MEMORY, "out of memory");
	return trace_file_chunk(spool, TRACE_CHUNK_META, 0, text, strlen(text));
}

/* Records into the spool file, then what the block ids mean. */
static struct error *record(struct call_context *context, struct trace_source *source,
			    const struct trace_names *names, FILE *spool,
			    struct trace_capture_result *result)
{
	AUTO(own_trace_blocks) struct trace_blocks *blocks = NULL;
	const char *mode = call_string(context, "mode");
	struct trace_capture_params params = {
		.ms = duration_ms(context),
		.limit_words = call_integer(context, "limit", 256 << 20) / 8,
		.sink = file_sink,
		.user = spool,
	};
	struct gb_control state;
	TRY(make_request(context, names, &params.request));
	params.request.mode = mode && !strcmp(mode, "full") ? GB_MODE_FULL : GB_MODE_BLOCK;
	params.request.sample_every = (uint32_t)call_integer(context, "sample", 0);
	TRY(trace_source_state(source, &state));
	TRY(trace_file_start(spool));
	TRY(write_meta(spool, context, &state, params.request.mode));
	TRY(trace_capture(source, &params, result));
	TRY(trace_source_blocks(source, &blocks));
	TRY(trace_file_blocks(spool, blocks));
	TRY(trace_file_end(spool, result->dropped));
	return fflush(spool) ? error_create(ERR_SYSTEM, "cannot write the trace") : NULL;
}

struct consumer {
	struct trace_stacks *stacks;
	uint8_t *executed; /* by block id */
	uint32_t n_blocks;
};

static struct error *consume_stream(struct consumer *c, const struct trace_stream *stream)
{
	uint64_t words[4096];
	for (size_t at = 0; at < stream->n_words; at += 4096) {
		size_t n = stream->n_words - at < 4096 ? stream->n_words - at : 4096;
		memcpy(words, stream->words + at * 8, n * 8);
		if (c->stacks)
			TRY(trace_stacks_add(c->stacks, stream->vcpu, words, n));
		for (size_t i = 0; c->executed && i < n; i++)
			if (gb_record_kind(words[i]) == GB_REC_BLOCK &&
			    gb_record_block(words[i]) < c->n_blocks)
				c->executed[gb_record_block(words[i])] = 1;
	}
	return NULL;
}

/* Turns a native trace in memory into another tool's format. */
static struct error *convert(const uint8_t *bytes, size_t n, const char *format,
			     struct trace_names *names, FILE *out)
{
	AUTO(own_trace_file) struct trace_file *file = NULL;
	AUTO(own_trace_stacks) struct trace_stacks *stacks = NULL;
	AUTO(own_free) uint8_t *executed = NULL;
	bool folded = !strcmp(format, "folded");
	TRY(trace_file_parse(bytes, n, &file));
	TRY(error_alloc(file->blocks->count + 1, 1, &executed));
	if (folded)
		TRY(trace_stacks_create(file->blocks, &stacks));
	struct consumer c = { stacks, folded ? NULL : executed, file->blocks->count };
	for (size_t i = 0; i < file->n_streams; i++)
		TRY(consume_stream(&c, &file->streams[i]));
	if (folded)
		return trace_stacks_write(stacks, out, trace_names_function, names);
	return trace_export_drcov(out, file->blocks, executed, trace_names_function, names);
}

static struct error *write_output(const char *path, const void *bytes, size_t n)
{
	AUTO(own_out_file) struct out_file *out = NULL;
	TRY(out_file_create(path, &out));
	TRY(out_file_write(out, bytes, n));
	return out_file_commit(out);
}

static struct error *finish_trace(struct call_context *context, const char *text, size_t n,
				  struct trace_names *names)
{
	const char *format = call_string(context, "format");
	const char *path = call_string(context, "output");
	AUTO(own_free) char *converted = NULL;
	size_t n_converted = 0;
	if (!format || !strcmp(format, "native"))
		return write_output(path, text, n);
	FILE *out = open_memstream(&converted, &n_converted);
	if (!out)
		return error_create(ERR_MEMORY, "out of memory");
	struct error *err = convert((const uint8_t *)text, n, format, names, out);
	fclose(out);
	return err ? err : write_output(path, converted, n_converted);
}

static struct error *run_trace(struct call_context *context, json_t **ret)
{
	AUTO(own_trace_source) struct trace_source *source = NULL;
	AUTO(own_trace_names) struct trace_names *names = NULL;
	struct trace_capture_result result;
	AUTO(own_free) char *text = NULL;
	size_t n = 0;
	TRY(open_source(context, &source));
	TRY(trace_names_create(context->target, &names));
	FILE *spool = open_memstream(&text, &n);
	if (!spool)
		return error_create(ERR_MEMORY, "out of memory");
	struct error *err = record(context, source, names, spool, &result);
	fclose(spool);
	TRY(err);
	TRY(finish_trace(context, text, n, names));
	*ret = json_pack("{s:s, s:I, s:I, s:f, s:I}", "file", call_string(context, "output"),
			 "words", (json_int_t)result.words, "dropped",
			 (json_int_t)result.dropped, "seconds", (double)result.ns / 1e9,
			 "max_lag_words", (json_int_t)result.max_lag_words);
	return *ret ? NULL : error_create(ERR_MEMORY, "out of memory");
}

static const struct call_param trace_params[] = {
	{ "output", CALL_PATH, .letter = 'o', .required = true, .placeholder = "FILE",
	  .help = "where to write the trace" },
	{ "format", CALL_STRING, .placeholder = "FORMAT", .choices = "native,folded,drcov",
	  .help = "native (docs/trace-format.md), folded stacks, drcov coverage" },
	{ "mode", CALL_STRING, .placeholder = "MODE", .choices = "block,full",
	  .help = "blocks only, or loads, stores and registers as well" },
	{ "sample", CALL_INTEGER, .placeholder = "N",
	  .help = "mode full: registers at every Nth block" },
	{ "limit", CALL_SIZE, .placeholder = "BYTES",
	  .help = "stop after so much; 256M if not given" },
	FILTER_PARAMS,
	{ 0 },
};

const struct call call_trace = {
	.name = "trace",
	.group = "learning",
	.summary = "record what the guest executes",
	.details = "Writes one record per executed block while it runs. What could not be "
		   "recorded "
		   "in time is\ncounted as dropped. Needs a VM started with --learn.",
	.examples = "  glassbox trace demo -o boot.gbtrace --ms 500\n"
		    "  glassbox trace demo -o stacks.txt --format folded --ring kernel",
	.flags = CALL_TARGET | CALL_LIVE_ONLY | CALL_CHANGES | CALL_CLI_ONLY,
	.params = trace_params,
	.run = run_trace,
};
