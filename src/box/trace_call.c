#include "box/trace_call.h"

#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/out_file.h"
#include "base/own.h"
#include "box/call.h"
#include "box/target.h"
#include "box/trace_names.h"
#include "box/trace_rows.h"
#include "plugin/record.h"
#include "trace/blocks.h"
#include "trace/capture.h"
#include "trace/export.h"
#include "trace/file.h"
#include "trace/profile.h"
#include "trace/source.h"

enum { BATCH_WORDS = 4096, MAX_MS = 600000 };

struct error *trace_call_open(struct call_context *context, struct trace_source **ret)
{
	char path[256];
	trace_source_path(target_name(context->target), path, sizeof(path));
	return trace_source_open(path, ret);
}

static struct error *filters(struct call_context *context, const struct trace_names *names,
			     struct gb_request *ret)
{
	const char *rings = call_string(context, "ring");
	struct gb_request request = {
		.range_start = call_integer(context, "start", 0),
		.range_end = call_integer(context, "end", 0),
	};
	if (rings && !strcmp(rings, "user"))
		request.rings = GB_RING_USER;
	if (rings && !strcmp(rings, "kernel"))
		request.rings = GB_RING_KERNEL;
	if (call_has(context, "pid")) {
		int64_t pid = (int64_t)call_integer(context, "pid", 0);
		request.cr3 = trace_names_cr3(names, pid);
		if (!request.cr3)
			return error_create(ERR_NOT_FOUND,
					    "no process %" PRId64 " with memory of its own",
					    pid);
	}
	*ret = request;
	return NULL;
}

static void tell_progress(void *user, double done)
{
	struct call_context *context = user;
	if (context->progress)
		context->progress(context->progress_user, done, "watching the guest");
}

struct error *trace_call_params(struct call_context *context, const struct trace_names *names,
				struct trace_capture_params *ret)
{
	uint64_t ms = call_integer(context, "ms", 1000);
	*ret = (struct trace_capture_params){
		.ms = ms > MAX_MS ? MAX_MS : (unsigned)ms,
		.progress = tell_progress,
		.ended = call_ended,
		.user_of_calls = context,
	};
	return filters(context, names, &ret->request);
}

/* Shows a trace's words in order; a file's words may be unaligned. */
static struct error *each_batch(const struct trace_file *file,
				struct error *(*add)(void *user, unsigned vcpu,
						     const uint64_t *words, size_t n),
				void *user)
{
	uint64_t words[BATCH_WORDS];
	for (size_t i = 0; i < file->n_streams; i++) {
		const struct trace_stream *stream = &file->streams[i];
		for (size_t at = 0; at < stream->n_words; at += BATCH_WORDS) {
			size_t left = stream->n_words - at;
			size_t n = left < BATCH_WORDS ? left : BATCH_WORDS;
			memcpy(words, stream->words + at * 8, n * 8);
			TRY(add(user, stream->vcpu, words, n));
		}
	}
	return NULL;
}

static struct error *add_profile(void *user, unsigned vcpu, const uint64_t *words, size_t n)
{
	return trace_profile_add(user, vcpu, words, n);
}

struct error *trace_call_profile(const struct trace_file *file, struct trace_profile **ret)
{
	AUTO(own_trace_profile) struct trace_profile *profile = NULL;
	TRY(trace_profile_create(file->blocks->count, &profile));
	TRY(each_batch(file, add_profile, profile));
	*ret = TAKE(profile);
	return NULL;
}

static struct error *add_stacks(void *user, unsigned vcpu, const uint64_t *words, size_t n)
{
	return trace_stacks_add(user, vcpu, words, n);
}

static struct error *write_folded(const struct trace_file *file, const struct trace_rows *rows,
				  FILE *out)
{
	AUTO(own_trace_stacks) struct trace_stacks *stacks = NULL;
	TRY(trace_stacks_create(file->blocks, &stacks));
	TRY(each_batch(file, add_stacks, stacks));
	return trace_stacks_write(stacks, out, trace_rows_function, (void *)rows);
}

static struct error *write_drcov(const struct trace_file *file, const struct trace_rows *rows,
				 FILE *out)
{
	AUTO(own_trace_profile) struct trace_profile *profile = NULL;
	AUTO(own_free) uint8_t *executed = NULL;
	size_t n_edges;
	TRY(trace_call_profile(file, &profile));
	TRY(error_alloc(file->blocks->count + 1, 1, &executed));
	const struct trace_edge *edges = trace_profile_edges(profile, &n_edges);
	for (size_t i = 0; i < n_edges; i++)
		if (edges[i].to < file->blocks->count)
			executed[edges[i].to] = 1;
	return trace_export_drcov(out, file->blocks, executed, trace_rows_function,
				  (void *)rows);
}

struct error *trace_call_write(const char *path, const void *bytes, size_t n)
{
	AUTO(own_out_file) struct out_file *out = NULL;
	TRY(out_file_create(path, &out));
	TRY(out_file_write(out, bytes, n));
	return out_file_commit(out);
}

struct error *trace_call_export(const struct trace_file *file, const char *format,
				const struct trace_rows *rows, const char *path)
{
	AUTO(own_free) char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);
	if (!out)
		return error_create(ERR_MEMORY, "out of memory");
	struct error *err = !strcmp(format, "folded") ? write_folded(file, rows, out)
						      : write_drcov(file, rows, out);
	fclose(out);
	return err ? err : trace_call_write(path, text, n);
}
