/* hot: the code that runs most, by counting, by events, or by tracing. */
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/vec.h"
#include "box/calls.h"
#include "box/guest_call.h"
#include "box/target.h"
#include "box/trace_call.h"
#include "box/trace_names.h"
#include "box/trace_rows.h"
#include "plugin/record.h"
#include "trace/blocks.h"
#include "trace/capture.h"
#include "trace/profile.h"
#include "trace/source.h"

struct hot {
	struct call_context *context;
	struct trace_source *source;
	struct trace_names *names;
};

static struct trace_rows rows_of(const struct hot *h, const struct trace_blocks *blocks)
{
	return (struct trace_rows){ .blocks = blocks,
				    .place = trace_names_place,
				    .place_user = h->names,
				    .top = call_integer(h->context, "top", 20) };
}

static struct error *by_counting(struct hot *h, json_t **ret)
{
	AUTO(own_free) uint64_t *before = NULL, *after = NULL;
	AUTO(own_free) struct trace_hot *hot = NULL;
	AUTO(own_trace_blocks) struct trace_blocks *blocks = NULL;
	struct trace_capture_params params;
	uint32_t n;
	TRY(trace_call_params(h->context, h->names, &params));
	TRY(trace_count(h->source, &params, &before, &after, &n));
	TRY(trace_source_blocks(h->source, &blocks));
	n = n < blocks->count ? n : blocks->count;
	TRY(error_alloc(n + 1, sizeof(*hot), &hot));
	for (uint32_t i = 0; i < n; i++)
		hot[i] = (struct trace_hot){ i, after[i] - before[i], -1 };
	struct trace_rows rows = rows_of(h, blocks);
	return trace_rows_hot(&rows, hot, n, ret);
}

/* --- events ------------------------------------------------------------------------------- */

struct events {
	VEC(struct trace_hot) reached;
	uint64_t pending[2]; /* a record may be cut by the end of a batch */
	unsigned n_pending;
	struct timespec start;
};

static double ms_since(const struct timespec *start)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - start->tv_sec) * 1e3 +
	       (double)(now.tv_nsec - start->tv_nsec) / 1e6;
}

/* Several vCPUs may each report a block. */
static bool is_reported(const struct events *e, uint32_t block)
{
	for (size_t i = 0; i < e->reached.count; i++)
		if (e->reached.items[i].block == block)
			return true;
	return false;
}

static struct error *take_events(void *user, unsigned vcpu, const uint64_t *words, size_t n)
{
	struct events *e = user;
	for (size_t i = 0; i < n; i++) {
		if (!e->n_pending && gb_record_kind(words[i]) != GB_REC_HOT)
			continue;
		e->pending[e->n_pending++] = words[i];
		if (e->n_pending < 2)
			continue;
		e->n_pending = 0;
		struct trace_hot hot = { gb_record_block(e->pending[0]), e->pending[1],
					 ms_since(&e->start) };
		if (!is_reported(e, hot.block) && !VEC_PUSH(&e->reached, hot))
			return error_create(ERR_MEMORY, "out of memory");
	}
	return NULL;
}

/* Replaces the threshold by what was counted in all. */
static struct error *complete_events(struct hot *h, struct events *e,
				     const struct trace_blocks *blocks)
{
	AUTO(own_free) uint64_t *counts = NULL;
	size_t kept = 0;
	TRY(trace_source_counts(h->source, blocks->count, &counts));
	for (size_t i = 0; i < e->reached.count; i++) {
		struct trace_hot hot = e->reached.items[i];
		if (hot.block >= blocks->count)
			continue;
		if (counts[hot.block] > hot.executions)
			hot.executions = counts[hot.block];
		e->reached.items[kept++] = hot;
	}
	e->reached.count = kept;
	return NULL;
}

static struct error *events_to_rows(struct hot *h, struct events *e, json_t **ret)
{
	AUTO(own_trace_blocks) struct trace_blocks *blocks = NULL;
	struct trace_capture_result result;
	struct trace_capture_params params;
	TRY(trace_call_params(h->context, h->names, &params));
	params.forget = true;
	params.sink = take_events;
	params.user = e;
	params.request.mode = GB_MODE_COUNT;
	params.request.threshold = call_integer(h->context, "threshold", 0);
	clock_gettime(CLOCK_MONOTONIC, &e->start);
	TRY(trace_capture(h->source, &params, &result));
	TRY(trace_source_blocks(h->source, &blocks));
	TRY(complete_events(h, e, blocks));
	struct trace_rows rows = rows_of(h, blocks);
	return trace_rows_hot(&rows, e->reached.items, e->reached.count, ret);
}

static struct error *by_events(struct hot *h, json_t **ret)
{
	struct events e = { 0 };
	struct error *err = events_to_rows(h, &e, ret);
	VEC_FREE(&e.reached);
	return err;
}

/* --- tracing ------------------------------------------------------------------------------ */

static struct error *add_profile(void *user, unsigned vcpu, const uint64_t *words, size_t n)
{
	return trace_profile_add(user, vcpu, words, n);
}

static struct error *by_tracing(struct hot *h, json_t **ret)
{
	AUTO(own_trace_profile) struct trace_profile *profile = NULL;
	AUTO(own_trace_blocks) struct trace_blocks *blocks = NULL;
	struct trace_capture_params params;
	struct trace_capture_result result;
	struct gb_control state;
	TRY(trace_call_params(h->context, h->names, &params));
	params.request.mode = GB_MODE_BLOCK;
	params.sink = add_profile;
	TRY(trace_source_state(h->source, &state));
	TRY(trace_profile_create(state.n_block_slots, &profile));
	params.user = profile;
	TRY(trace_capture(h->source, &params, &result));
	TRY(trace_source_blocks(h->source, &blocks));
	struct trace_rows rows = rows_of(h, blocks);
	return trace_rows_loops(&rows, profile, ret);
}

static struct error *run_hot(struct call_context *context, json_t **ret)
{
	AUTO(own_trace_source) struct trace_source *source = NULL;
	AUTO(own_trace_names) struct trace_names *names = NULL;
	TRY(trace_call_open(context, &source));
	TRY(trace_names_create(context->target, &names));
	struct hot h = { context, source, names };
	if (call_bool(context, "loops"))
		return by_tracing(&h, ret);
	if (call_integer(context, "threshold", 0))
		return by_events(&h, ret);
	return by_counting(&h, ret);
}

static const struct call_param params[] = {
	TRACE_CALL_FILTERS,
	{ "top", CALL_INTEGER, .letter = 'n', .placeholder = "N",
	  .help = "how many rows; 20 if not given" },
	{ "loops", CALL_BOOL, .letter = 'l',
	  .help = "trace instead of counting, and show loops with trip counts" },
	{ "threshold", CALL_INTEGER, .letter = 't', .placeholder = "N",
	  .help = "only what a virtual CPU runs N times, in the order it gets there" },
	{ 0 },
};

static const struct call_column columns[] = {
	{ "address", "ADDRESS", COLUMN_LEFT },
	{ "executions", "EXECUTIONS", COLUMN_RIGHT },
	{ "instructions", "INSTRUCTIONS", COLUMN_RIGHT },
	{ "share", "SHARE", COLUMN_RIGHT },
	{ "reached_ms", "AFTER MS", COLUMN_RIGHT },
	{ "trips", "TRIPS", COLUMN_RIGHT },
	{ "depth", "DEPTH", COLUMN_RIGHT },
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
		"nesting depth and\naddress range in the JSON document; with --threshold the "
		"plugin reports each block\nthe moment it has run so often. Code of programs "
		"is "
		"named by the symbol tables in their\nfiles, as far as those are in memory. "
		"Needs "
		"a VM started with --learn.",
	.examples = "  glassbox hot demo\n  glassbox hot demo --loops --ms 300 --json\n"
		    "  glassbox hot demo --threshold 10000 --ring user",
	.flags = CALL_TARGET | CALL_LIVE_ONLY | CALL_SLOW | CALL_ENDS_EARLY,
	.params = params,
	.columns = columns,
	.run = run_hot,
};
