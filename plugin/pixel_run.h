/* Iterations done by the Pixel CPU service instead of this thread. Thread: the vCPU's, inside a
 * callback. */
#ifndef PLUGIN_PIXEL_RUN_H
#define PLUGIN_PIXEL_RUN_H
#include "internal.h"
#include "walk.h"

void pixel_open(const char *path); /* no such file: no service, ever */

/* Whether a service is there and this loop is of a shape for it. */
bool pixel_suits(const struct gb_plan *plan);
uint64_t pixel_most(const struct gb_plan *plan); /* iterations of one run */

struct pixel_job {
	const struct gb_plan *plan;
	struct walk_space *space;
	struct gb_regs *regs; /* replaced by those after `done` iterations */
	uint32_t kernel, serial; /* slot, and which kernel in it */
	uint64_t n; /* 1 .. pixel_most */
	uint64_t expected_ns; /* what they will take, as far as that is known; or 0 */
	uint64_t until_ns; /* since the epoch: then no more is asked for */
	uint64_t done; /* memory and registers are those after so many iterations */
};

enum pixel_outcome {
	PIXEL_RAN, /* all, or until time was over, or until a search ended */
	/* Some of it, or nothing: */
	PIXEL_NOT_READY, /* pages, or no request was free */
	PIXEL_REFUSED,
	PIXEL_LATE,
};
enum pixel_outcome pixel_run(struct pixel_job *job);
#endif
