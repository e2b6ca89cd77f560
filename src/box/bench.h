/* Benchmarks: each room's is a function that appends rows; a row's value stands beside a named
 * baseline measured in the same run, since absolute times of a shared machine mean little.
 * Thread: one. */
#ifndef BOX_BENCH_H
#define BOX_BENCH_H
#include <jansson.h>
#include <stddef.h>

#include "box/call.h"
struct error;

struct bench {
	const char *name; /* `glassbox bench NAME` */
	struct error *(*run)(struct call_context *context, json_t *rows);
};

/* ORDER benches: declared here, listed in call_bench.c. */
extern const struct bench bench_bridge;

struct bench_row {
	const char *name; /* "read bandwidth" */
	double value;
	const char *unit; /* "GB/s", "ms", "%" */
	const char *baseline; /* what it is compared with, or NULL */
	double baseline_value; /* in the same unit */
	bool smaller_is_better; /* the ratio is then baseline / value */
	double goal; /* for the ratio when there is a baseline, else for the value; 0: none */
	bool goal_is_most; /* the goal is an upper limit (else a lower one) */
	bool goal_is_for_value; /* even beside a baseline */
};

/* Appends {name, value, unit, baseline {name, value}, ratio, goal, pass}. */
void bench_add(json_t *rows, const struct bench_row *row);

/* The pth percentile (0 .. 100) of n values, which are sorted in place. */
double bench_percentile(double *values, size_t n, double p);
#endif
