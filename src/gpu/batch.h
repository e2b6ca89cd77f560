/* Kernels (compute pipelines) and batches (recorded work). Steps of a batch run in the order
 * they were recorded, each seeing what the earlier ones wrote. Thread: the gpu's. */
#ifndef GPU_BATCH_H
#define GPU_BATCH_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
struct gpu;
struct gpu_batch;
struct gpu_buffer;
struct gpu_image;
struct gpu_kernel;

enum {
	GPU_BINDINGS_MAX = 16,
	GPU_TIMESTAMPS_MAX = 64,
};

/* One letter for each binding number, from 0: 'u' uniform buffer, 's' storage buffer, 'i'
 * storage image, 't' sampled image, '-' none. */
struct gpu_kernel_params {
	const char *name; /* for messages */
	const uint32_t *words; /* SPIR-V with one entry point */
	size_t n_words;
	const char *entry; /* NULL: "main" */
	const char *bindings;
	uint32_t push_bytes; /* size of the push constants, or 0 */
};

/* Caller owns *ret. The SPIR-V must be valid: it is our own. */
struct error *gpu_kernel_create(struct gpu *gpu, const struct gpu_kernel_params *params,
				struct gpu_kernel **ret);
void gpu_kernel_destroy(struct gpu_kernel *kernel);
OWN_DECLARE(own_gpu_kernel, struct gpu_kernel *, gpu_kernel_destroy)

/* What a binding number gets. Give either a buffer (range_bytes 0: to its end) or an image;
 * neither when the kernel's entry point does not use that number. */
struct gpu_bind {
	struct gpu_buffer *buffer;
	uint64_t offset_bytes, range_bytes;
	struct gpu_image *image;
};

struct gpu_dispatch {
	struct gpu_kernel *kernel;
	const struct gpu_bind *binds; /* one for each letter of the kernel's bindings */
	uint32_t groups[3]; /* 0 means 1 */
	const void *push;
};

/* Starts recording. Caller owns *ret until gpu_batch_submit or gpu_batch_destroy. */
struct error *gpu_batch_begin(struct gpu *gpu, struct gpu_batch **ret);
/* Starts recording anew in a batch that is done or was never submitted, with the objects it
 * has: making them anew costs many times what a small dispatch takes. */
struct error *gpu_batch_again(struct gpu_batch *batch);
void gpu_batch_destroy(struct gpu_batch *batch);
OWN_DECLARE(own_gpu_batch, struct gpu_batch *, gpu_batch_destroy)

struct error *gpu_batch_dispatch(struct gpu_batch *batch, const struct gpu_dispatch *dispatch);

/* Copies data (read now) into a buffer when the batch runs. offset and size: multiples of 4. */
struct error *gpu_batch_upload(struct gpu_batch *batch, struct gpu_buffer *to,
			       uint64_t offset_bytes, const void *data, uint64_t size_bytes);

/* Room in the batch's staging memory that goes to the buffer when the batch runs: saves the
 * copy that gpu_batch_upload makes. *ret is valid until the batch is submitted. */
struct error *gpu_batch_stage(struct gpu_batch *batch, struct gpu_buffer *to,
			      uint64_t offset_bytes, uint64_t size_bytes, void **ret);
void gpu_batch_fill(struct gpu_batch *batch, struct gpu_buffer *to, uint64_t offset_bytes,
		    uint64_t size_bytes, uint32_t word);
void gpu_batch_copy(struct gpu_batch *batch, struct gpu_buffer *from, uint64_t from_bytes,
		    struct gpu_buffer *to, uint64_t to_bytes, uint64_t size_bytes);

/* Copies the first layer of an image, rows packed, to the start of a buffer. */
void gpu_batch_copy_image(struct gpu_batch *batch, struct gpu_image *from,
			  struct gpu_buffer *to);

/* Marks a moment after everything recorded so far; returns its number in this batch. */
unsigned gpu_batch_timestamp(struct gpu_batch *batch);

/* Starts the work. The batch stays the caller's: wait for it, then destroy it. */
struct error *gpu_batch_submit(struct gpu_batch *batch);

/* Waits for a submitted batch. Fails: ERR_GPU when the device was lost or timeout_ns (0: 30 s)
 * passed, which counts as a lost device. */
struct error *gpu_batch_wait(struct gpu_batch *batch, uint64_t timeout_ns);
bool gpu_batch_is_done(struct gpu_batch *batch);

/* Nanoseconds between two marks of a batch that is done; 0 on a device without timestamps. */
uint64_t gpu_batch_elapsed_ns(struct gpu_batch *batch, unsigned first, unsigned second);

/* Submits, waits and destroys. Takes batch. */
struct error *gpu_batch_finish(struct gpu_batch *batch);
#endif
