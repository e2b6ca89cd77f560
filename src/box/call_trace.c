/* trace: records what a guest executes into a file. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "box/calls.h"
#include "box/guest_call.h"
#include "box/target.h"
#include "box/trace_call.h"
#include "box/trace_names.h"
#include "box/trace_rows.h"
#include "trace/blocks.h"
#include "trace/capture.h"
#include "trace/file.h"
#include "trace/source.h"

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

/* What goes into an answer is bounded harder than what goes into a file. */
static uint64_t limit_bytes(struct call_context *context)
{
	uint64_t limit = call_integer(context, "limit", 256 << 20), served = 4 << 20;
	return call_has(context, "output") || limit < served ? limit : served;
}

/* Records into the spool file, then what the block ids mean. */
static struct error *record(struct call_context *context, struct trace_source *source,
			    struct trace_names *names, FILE *spool,
			    struct trace_capture_result *result)
{
	AUTO(own_trace_blocks) struct trace_blocks *blocks = NULL;
	const char *mode = call_string(context, "mode");
	struct trace_capture_params params;
	struct gb_control state;
	TRY(trace_call_params(context, names, &params));
	params.limit_words = limit_bytes(context) / 8;
	params.sink = file_sink;
	params.user = spool;
	params.request.mode = mode && !strcmp(mode, "full") ? GB_MODE_FULL : GB_MODE_BLOCK;
	params.request.sample_every = (uint32_t)call_integer(context, "sample", 0);
	TRY(trace_source_state(source, &state));
	TRY(trace_file_start(spool));
	TRY(write_meta(spool, context, &state, params.request.mode));
	TRY(trace_capture(source, &params, result));
	TRY(trace_source_blocks(source, &blocks));
	TRY(trace_file_blocks(spool, blocks));
	TRY(trace_file_names_write(spool, blocks, trace_names_place, names));
	TRY(trace_file_end(spool, result->dropped));
	return fflush(spool) ? error_create(ERR_SYSTEM, "cannot write the trace") : NULL;
}

/* For who cannot be given a file. */
static struct error *encode(const char *bytes, size_t n, json_t **ret)
{
	*ret = json_base64((const uint8_t *)bytes, n);
	return *ret ? NULL : error_create(ERR_MEMORY, "no memory for a trace");
}

static struct error *finish_trace(struct call_context *context, const char *text, size_t n,
				  struct trace_names *names, json_t **ret)
{
	const char *format = call_string(context, "format");
	const char *path = call_string(context, "output");
	AUTO(own_trace_file) struct trace_file *file = NULL;
	if (format && strcmp(format, "native") && !path)
		return error_create(ERR_UNSUPPORTED, "only the native format comes back in an "
						     "answer");
	if (!format || !strcmp(format, "native"))
		return path ? trace_call_write(path, text, n) : encode(text, n, ret);
	TRY(trace_file_parse((const uint8_t *)text, n, &file));
	struct trace_rows rows = { .blocks = file->blocks,
				   .place = trace_names_place,
				   .place_user = names };
	return trace_call_export(file, format, &rows, path);
}

static struct error *run_trace(struct call_context *context, json_t **ret)
{
	AUTO(own_trace_source) struct trace_source *source = NULL;
	AUTO(own_trace_names) struct trace_names *names = NULL;
	struct trace_capture_result result;
	AUTO(own_free) char *text = NULL;
	size_t n = 0;
	TRY(trace_call_open(context, &source));
	TRY(trace_names_create(context->target, &names));
	FILE *spool = open_memstream(&text, &n);
	if (!spool)
		return error_create(ERR_MEMORY, "out of memory");
	struct error *err = record(context, source, names, spool, &result);
	fclose(spool);
	TRY(err);
	AUTO(own_json) json_t *bytes = NULL;
	TRY(finish_trace(context, text, n, names, &bytes));
	*ret = json_pack("{s:s?, s:I, s:I, s:f, s:I}", "file", call_string(context, "output"),
			 "words", (json_int_t)result.words, "dropped",
			 (json_int_t)result.dropped, "seconds", (double)result.ns / 1e9,
			 "max_lag_words", (json_int_t)result.max_lag_words);
	if (*ret && bytes)
		json_object_set(*ret, "trace_base64", bytes);
	return *ret ? NULL : error_create(ERR_MEMORY, "out of memory");
}

static const struct call_param params[] = {
	{ "output", CALL_PATH, .letter = 'o', .required = true, .local = true,
	  .placeholder = "FILE", .help = "where to write the trace" },
	{ "format", CALL_STRING, .placeholder = "FORMAT", .choices = "native,folded,drcov",
	  .help = "native (docs/trace-format.md), folded stacks, drcov coverage" },
	{ "mode", CALL_STRING, .placeholder = "MODE", .choices = "block,full",
	  .help = "blocks only, or loads, stores and registers as well" },
	{ "sample", CALL_INTEGER, .placeholder = "N",
	  .help = "mode full: registers at every Nth block" },
	{ "limit", CALL_SIZE, .placeholder = "BYTES",
	  .help = "stop after so much; 256M if not given" },
	TRACE_CALL_FILTERS,
	{ 0 },
};

const struct call call_trace = {
	.name = "trace",
	.group = "learning",
	.summary = "record what the guest executes",
	.details =
		"Writes one record per executed block while it runs. What could not be "
		"recorded in time is\ncounted as dropped. Ctrl-C ends it early and keeps what "
		"there is. `glassbox profile` reads the file. "
		"Needs a VM started with --learn. Over REST and MCP up to 4 MiB come back in "
		"the answer\n(trace_base64).",
	.examples = "  glassbox trace demo -o boot.gbtrace --ms 500\n"
		    "  glassbox trace demo -o stacks.txt --format folded --ring kernel",
	.flags = CALL_TARGET | CALL_LIVE_ONLY | CALL_CHANGES | CALL_SLOW | CALL_ENDS_EARLY,
	.params = params,
	.run = run_trace,
};
