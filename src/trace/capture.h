/* A recording: asks the plugin for a mode, drains all rings while it lasts, and ends it, so
 * that the guest goes on as it was started. One at a time (trace_source_claim). Thread: the
 * caller's, for as long as it takes. */
#ifndef TRACE_CAPTURE_H
#define TRACE_CAPTURE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "plugin/control.h"
struct error;
struct trace_source;

/* Takes words of one vCPU in order; may cut inside a record. */
typedef struct error *trace_sink(void *user, unsigned vcpu, const uint64_t *words, size_t n);

struct trace_capture_params {
	struct gb_request request; /* offload stays as it is, clear is made here */
	bool forget; /* blocks and counts begin anew */
	unsigned ms; /* how long */
	uint64_t limit_words; /* ends early after so many; 0: no limit */
	trace_sink *sink;
	void *user;
	void (*progress)(void *user, double done); /* NULL: nobody looks */
	bool (*ended)(void *user); /* true: end early, keep what there is. NULL: never */
	void *user_of_calls; /* of these two */
};

struct trace_capture_result {
	uint64_t ns; /* between the first and the last drain */
	uint64_t words;
	uint64_t dropped; /* records missing in this capture */
	uint64_t max_lag_words; /* most that was unread at any look, one vCPU */
};

/* Fails with what the source, the request and the sink fail with, and with ERR_LIMIT when
 * another one watches; the guest goes on as it was started in any case. */
struct error *trace_capture(struct trace_source *source,
			    const struct trace_capture_params *params,
			    struct trace_capture_result *ret);

/* A full ring is a few milliseconds of trace: a thread that empties rings calls this to go
 * first, where the system lets it. Returns its old priority (setpriority). */
int trace_go_first(void);

/* Calls watch() while the plugin does what is wanted (offload stays as it is). Fails likewise.
 */
struct error *trace_watch(struct trace_source *source, const struct gb_request *wanted,
			  struct error *(*watch)(void *user), void *user);

/* Asks the plugin, which must be counting, for a copy of the counts and waits for it: they are
 * younger than a millisecond on a quiet machine. Caller owns *ret (free). */
struct error *trace_counts_now(struct trace_source *source, uint32_t *n_ret, uint64_t **ret);

/* Counts executions per block for a while (ms, request, progress and ended of params). Caller
 * owns *before_ret and *after_ret (free), of *n_ret entries; ids at or above *n_ret appeared
 * too late. */
struct error *trace_count(struct trace_source *source,
			  const struct trace_capture_params *params, uint64_t **before_ret,
			  uint64_t **after_ret, uint32_t *n_ret);
#endif
