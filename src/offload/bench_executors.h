/* How fast each executor runs the sample loops, against the same loops in C. Thread: one. */
#ifndef OFFLOAD_BENCH_EXECUTORS_H
#define OFFLOAD_BENCH_EXECUTORS_H
#include <stdint.h>
struct error;

struct offload_bench_result {
	const char *executor; /* "interpreter", "native", "gpu", "gpu imported", ... */
	const char *sample;
	double ns; /* per iteration, best of the runs */
	double c_ns; /* of gcc -O3 on one core */
	uint64_t n; /* iterations of one run */
};

struct offload_bench_params {
	uint64_t n; /* iterations; 0: 4 million */
	const char *device; /* part of a GPU's name; NULL: the best */
	void (*result)(void *user, const struct offload_bench_result *result);
	void *user;
};

/* Executors this machine lacks are left out. */
struct error *offload_bench_executors(const struct offload_bench_params *params);
#endif
