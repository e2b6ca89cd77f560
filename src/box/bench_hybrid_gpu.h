/* The part of `bench hybrid` that needs a GPU: loops over large arrays by TCG, by native code
 * in the vCPU's thread and by the Pixel CPU service. Thread: one. */
#ifndef BOX_BENCH_HYBRID_GPU_H
#define BOX_BENCH_HYBRID_GPU_H
#include <jansson.h>
struct error;
struct guest_shell;
struct target;

struct bench_hybrid_gpu { /* all borrowed */
	struct guest_shell *shell; /* of a guest whose loops are learned */
	struct target *target;
	int native_fd; /* the guest's workload program */
	const char *gpu; /* as for `offload on`: "auto", or "any" */
};

extern const char *const bench_hybrid_gpu_loops[]; /* to be learned before; NULL ends them */

/* Appends rows; none where no GPU is. Fails: ERR_BAD_DATA when a loop
 * had another result on one of them. */
struct error *bench_hybrid_gpu(const struct bench_hybrid_gpu *bench, json_t *rows);
#endif
