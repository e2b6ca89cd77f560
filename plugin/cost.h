/* The price of a kernel against TCG's, and its retirement: plugin/cost.c tells how. Thread:
 * vCPU threads, inside a callback. */
#ifndef PLUGIN_COST_H
#define PLUGIN_COST_H
#include "internal.h"

/* Trip count from which the kernel is worth a call. */
uint64_t cost_least(const struct loaded *l);
void cost_short(struct loaded *l, uint64_t iterations); /* a call was not */

/* Iterations that the guest is to do itself so that they can be timed; 0: none now. */
uint64_t cost_probe_begin(struct loaded *l, struct vcpu *v, const void *head,
			  const struct gb_plan *plan);
/* The call after it, and what is still to come then. */
void cost_probe_end(struct loaded *l, struct vcpu *v, const struct gb_plan *plan,
		    uint64_t now_ns);

/* Iterations to ask the Pixel CPU service for, of those possible; 0: native code is better. */
uint64_t cost_gpu(struct loaded *l, uint64_t possible, uint64_t slice_ns);
uint64_t cost_gpu_ns(const struct loaded *l, uint64_t iterations); /* their price; 0: unknown */
void cost_gpu_failed(struct loaded *l, bool refused); /* a request came to nothing */

struct cost_execution {
	enum gb_tier tier;
	uint64_t iterations;
	uint64_t entry_ns; /* before the first iteration and after the last */
	uint64_t run_ns;
};
void cost_executed(struct loaded *l, const struct cost_execution *x);
void cost_idle(struct loaded *l, uint64_t spent_ns); /* a call that did nothing */
#endif
