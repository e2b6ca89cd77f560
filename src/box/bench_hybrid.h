/* `bench hybrid`: what executing loops elsewhere gains, inside one running guest. Thread: one.
 */
#ifndef BOX_BENCH_HYBRID_H
#define BOX_BENCH_HYBRID_H
#include <jansson.h>
#include <stdbool.h>
struct error;

struct bench_hybrid_params {
	bool software; /* use the Pixel CPU service also without a GPU */
	const char *library; /* where kernels are kept; NULL: the user's own */
};

/* Appends rows. Without a GPU, times are the vCPU thread's processor time; with one, wall time,
 * since the vCPU sleeps meanwhile. */
struct error *bench_hybrid(const struct bench_hybrid_params *params, json_t *rows);
#endif
