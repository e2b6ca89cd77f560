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
	CLAIM_MS = 5000,
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

static bool told_to_end(const struct trace_capture_params *params)
{
	return params->ended && params->ended(params->user_of_calls);
}

static void tell(const struct trace_capture_params *params, uint64_t past_ns)
{
	if (params->progress)
		params->progress(params->user_of_calls, (double)past_ns / (params->ms * 1e6));
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
		if (past >= length || over_limit(c) || told_to_end(c->params))
			break;
		tell(c->params, past);
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

/* What is wanted, beside what others have set. */
struct wish {
	const struct gb_request *wanted;
	bool forget;
};

static void begin_change(struct gb_request *request, const void *user)
{
	const struct wish *wish = user;
	struct gb_request before = *request;
	*request = *wish->wanted;
	request->offload = before.offload;
	request->slice_us = before.slice_us;
	request->tier = before.tier;
	request->clear = before.clear + wish->forget;
}

/* Back to what the guest was started with: a watcher that was killed leaves its own wish. */
static void end_change(struct gb_request *request, const void *user)
{
	struct gb_request usual = { .mode = *(const uint32_t *)user };
	begin_change(request, &(struct wish){ &usual, false });
}

static struct error *ask(struct trace_source *source, const struct gb_request *wanted,
			 bool forget)
{
	struct wish wish = { wanted, forget };
	return trace_source_change(source, begin_change, &wish, REQUEST_MS);
}

/* Ends what was asked for. Takes and returns the error of the watching, if there is one. */
static struct error *ask_no_more(struct trace_source *source, struct error *err)
{
	struct gb_control state;
	struct error *back = trace_source_state(source, &state);
	if (!back)
		back = trace_source_change(source, end_change, &state.start_mode, REQUEST_MS);
	if (!err)
		return back;
	error_destroy(back);
	return err;
}

struct error *trace_watch(struct trace_source *source, const struct gb_request *wanted,
			  struct error *(*watch)(void *user), void *user)
{
	TRY(trace_source_claim(source, CLAIM_MS));
	struct error *err = ask(source, wanted, false);
	if (!err)
		err = watch(user);
	err = ask_no_more(source, err);
	trace_source_unclaim(source);
	return err;
}

int trace_go_first(void)
{
	id_t self = (id_t)gettid();
	int before = getpriority(PRIO_PROCESS, self);
	setpriority(PRIO_PROCESS, self, before < FIRST_PRIORITY ? before : FIRST_PRIORITY);
	return before;
}

/* With the claim held. */
static struct error *record(struct capture *c)
{
	const struct trace_capture_params *params = c->params;
	uint64_t dropped;
	TRY(trace_source_skip(c->source));
	TRY(trace_source_dropped(c->source, &dropped));
	TRY(ask(c->source, &params->request, params->forget));
	int priority = trace_go_first();
	struct error *err = drain_while(c);
	setpriority(PRIO_PROCESS, (id_t)gettid(), priority);
	TRY(ask_no_more(c->source, err));
	TRY(drain_rest(c));
	TRY(trace_source_dropped(c->source, &c->result->dropped));
	c->result->dropped -= dropped;
	return NULL;
}

struct error *trace_capture(struct trace_source *source,
			    const struct trace_capture_params *params,
			    struct trace_capture_result *ret)
{
	AUTO(own_free) uint64_t *words = NULL;
	*ret = (struct trace_capture_result){ 0 };
	TRY(error_alloc(BATCH_WORDS, sizeof(*words), &words));
	TRY(trace_source_claim(source, CLAIM_MS));
	struct error *err = record(&(struct capture){ source, params, ret, words });
	trace_source_unclaim(source);
	return err;
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

/* While nobody drains anything. */
static void wait_while(const struct trace_capture_params *params)
{
	enum { STEP_NS = 20 * 1000 * 1000 };
	uint64_t start = now_ns(), length = params->ms * 1000000ull, past;
	while ((past = now_ns() - start) < length && !told_to_end(params)) {
		tell(params, past);
		nap(length - past < STEP_NS ? length - past : STEP_NS);
	}
}

struct counting {
	struct trace_source *source;
	const struct trace_capture_params *params;
	uint64_t **before_ret, **after_ret;
	uint32_t *n_ret;
};

static struct error *count_between(void *user)
{
	struct counting *c = user;
	AUTO(own_free) uint64_t *before = NULL, *after = NULL, *padded = NULL;
	uint32_t n_before;
	TRY(trace_counts_now(c->source, &n_before, &before));
	wait_while(c->params);
	TRY(trace_counts_now(c->source, c->n_ret, &after));
	TRY(error_alloc(*c->n_ret + 1, sizeof(*padded), &padded)); /* new blocks began at 0 */
	for (uint32_t i = 0; i < n_before && i < *c->n_ret; i++)
		padded[i] = before[i];
	*c->before_ret = TAKE(padded);
	*c->after_ret = TAKE(after);
	return NULL;
}

struct error *trace_count(struct trace_source *source,
			  const struct trace_capture_params *params, uint64_t **before_ret,
			  uint64_t **after_ret, uint32_t *n_ret)
{
	struct counting counting = { source, params, before_ret, after_ret, n_ret };
	struct gb_request wanted = params->request;
	wanted.mode = GB_MODE_COUNT;
	return trace_watch(source, &wanted, count_between, &counting);
}
