#include "trace/capture.h"

#include <stdbool.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "trace/source.h"

enum {
	BATCH_WORDS = 128 << 10,
	REQUEST_MS = 3000,
	NAP_NS = 200 * 1000,
	COUNTS_TRIES = 2000,
	FIRST_PRIORITY = -10
};

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static void nap(uint64_t ns)
{
	struct timespec time = { (time_t)(ns / 1000000000ull), (long)(ns % 1000000000ull) };
	nanosleep(&time, NULL);
}

struct capture {
	struct trace_source *source;
	const struct trace_capture_params *params;
	struct trace_capture_result *result;
	uint64_t *words;
};

/* One look at every ring. Says whether any of them filled a whole batch. */
static struct error *drain_all(struct capture *c, bool *busy_ret)
{
	*busy_ret = false;
	for (unsigned i = 0; i < trace_source_vcpus(c->source); i++) {
		size_t n;
		TRY(trace_source_drain(c->source, i, c->words, BATCH_WORDS, &n));
		if (n > c->result->max_lag_words)
			c->result->max_lag_words = n;
		c->result->words += n;
		*busy_ret |= n == BATCH_WORDS;
		if (n)
			TRY(c->params->sink(c->params->user, i, c->words, n));
	}
	return NULL;
}

static bool over_limit(const struct capture *c)
{
	return c->params->limit_words && c->result->words >= c->params->limit_words;
}

static struct error *drain_while(struct capture *c)
{
	uint64_t start = now_ns(), length = c->params->ms * 1000000ull;
	for (;;) {
		bool busy;
		uint64_t past = now_ns() - start;
		TRY(drain_all(c, &busy));
		if (past >= length || over_limit(c))
			break;
		if (c->params->progress)
			c->params->progress(c->params->progress_user,
					    (double)past / (double)length);
		if (!busy)
			nap(NAP_NS);
	}
	c->result->ns = now_ns() - start;
	return NULL;
}

/* What was written between the last look and the change of mode. */
static struct error *drain_rest(struct capture *c)
{
	bool busy = true;
	while (busy && !over_limit(c))
		TRY(drain_all(c, &busy));
	return NULL;
}

/* What is asked for beside the request in force; what it does not speak of stays. */
static struct gb_request beside(const struct gb_request *wanted, const struct gb_request *now)
{
	struct gb_request request = *wanted;
	request.offload = now->offload;
	request.slice_us = now->slice_us;
	request.clear = now->clear;
	return request;
}

int trace_go_first(void)
{
	id_t self = (id_t)gettid();
	int before = getpriority(PRIO_PROCESS, self);
	setpriority(PRIO_PROCESS, self, before < FIRST_PRIORITY ? before : FIRST_PRIORITY);
	return before;
}

struct error *trace_capture(struct trace_source *source,
			    const struct trace_capture_params *params,
			    struct trace_capture_result *ret)
{
	struct gb_control before;
	struct capture c = { source, params, ret, NULL };
	AUTO(own_free) uint64_t *words = NULL;
	uint64_t dropped;
	*ret = (struct trace_capture_result){ 0 };
	TRY(error_alloc(BATCH_WORDS, sizeof(*words), &words));
	c.words = words;
	TRY(trace_source_state(source, &before));
	TRY(trace_source_skip(source));
	TRY(trace_source_dropped(source, &dropped));
	struct gb_request request = beside(&params->request, &before.request);
	request.clear += params->forget;
	before.request.clear = request.clear;
	TRY(trace_source_request(source, &request, REQUEST_MS));
	int priority = trace_go_first();
	struct error *err = drain_while(&c);
	setpriority(PRIO_PROCESS, (id_t)gettid(), priority);
	struct error *back = trace_source_request(source, &before.request, REQUEST_MS);
	if (!err)
		err = TAKE(back);
	error_destroy(back);
	if (err)
		return err;
	TRY(drain_rest(&c));
	TRY(trace_source_dropped(source, &ret->dropped));
	ret->dropped -= dropped;
	return NULL;
}

struct error *trace_counts_now(struct trace_source *source, uint32_t *n_ret, uint64_t **ret)
{
	struct gb_control state;
	TRY(trace_source_state(source, &state));
	uint64_t seq = state.counts_seq;
	uint32_t wanted = state.counts_wanted + 1;
	TRY(trace_source_write(source, offsetof(struct gb_control, counts_wanted), &wanted,
			       sizeof(wanted)));
	for (int i = 0; i < COUNTS_TRIES && state.counts_seq == seq; i++) {
		nap(NAP_NS);
		TRY(trace_source_state(source, &state));
	}
	*n_ret = (uint32_t)state.n_blocks;
	return trace_source_counts(source, *n_ret, ret);
}

static struct error *count_between(struct trace_source *source, unsigned ms,
				   uint64_t **before_ret, uint64_t **after_ret, uint32_t *n_ret)
{
	AUTO(own_free) uint64_t *before = NULL, *after = NULL, *padded = NULL;
	uint32_t n_before;
	TRY(trace_counts_now(source, &n_before, &before));
	nap(ms * 1000000ull);
	TRY(trace_counts_now(source, n_ret, &after));
	TRY(error_alloc(*n_ret + 1, sizeof(*padded), &padded)); /* new blocks began at zero */
	for (uint32_t i = 0; i < n_before && i < *n_ret; i++)
		padded[i] = before[i];
	*before_ret = TAKE(padded);
	*after_ret = TAKE(after);
	return NULL;
}

struct error *trace_count(struct trace_source *source, const struct gb_request *request,
			  unsigned ms, uint64_t **before_ret, uint64_t **after_ret,
			  uint32_t *n_ret)
{
	struct gb_control old;
	TRY(trace_source_state(source, &old));
	struct gb_request wanted = beside(request, &old.request);
	wanted.mode = GB_MODE_COUNT;
	TRY(trace_source_request(source, &wanted, REQUEST_MS));
	struct error *err = count_between(source, ms, before_ret, after_ret, n_ret);
	struct error *back = trace_source_request(source, &old.request, REQUEST_MS);
	if (!err)
		return back;
	error_destroy(back);
	return err;
}
