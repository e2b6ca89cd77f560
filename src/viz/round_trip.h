/* Skilling's transform on the GPU, there and back for runs of indices: proof that it is a
 * bijection and that the table of orientations is the same curve, and how fast it is. Thread:
 * the gpu's. */
#ifndef VIZ_ROUND_TRIP_H
#define VIZ_ROUND_TRIP_H
#include <stdbool.h>
#include <stdint.h>
struct error;
struct gpu;

struct viz_round_trip {
	unsigned order; /* 1 .. 10 */
	uint32_t first, count; /* indices */
	bool by_table; /* back by the table instead of the loop */
};

/* How many indices did not come back to themselves; gpu_ns_ret (or NULL) gets the GPU time.
 * Fails: ERR_GPU. */
struct error *viz_round_trip(struct gpu *gpu, const struct viz_round_trip *trip,
			     uint32_t *wrong_ret, uint64_t *gpu_ns_ret);
#endif
