/* Kernels on a GPU: compiles a kernel's shader for a device and runs iterations over memory
 * that is on the device already, or over views of host memory that are copied there and back.
 * Guard, setup and finish are the caller's (mcode/interp.h). Thread: the gpu's. */
#ifndef OFFLOAD_GPU_RUN_H
#define OFFLOAD_GPU_RUN_H
#include <stdbool.h>
#include <stdint.h>

#include "base/own.h"
struct error;
struct gpu;
struct gpu_buffer;
struct mcode_kernel;
struct mcode_view;
struct offload_gpu_kernel;

/* The kernel must be valid and outlive it. Caller owns *ret. ERR_UNSUPPORTED: the device lacks
 * integers that kernels need. */
struct error *offload_gpu_kernel_create(struct gpu *gpu, const struct mcode_kernel *kernel,
					struct offload_gpu_kernel **ret);
/* The same over lists of pages, at most n_pages in all. */
struct error *offload_gpu_kernel_create_paged(struct gpu *gpu,
					      const struct mcode_kernel *kernel,
					      uint32_t n_pages,
					      struct offload_gpu_kernel **ret);
/* The same, but the device interprets the kernel's pixels (shaders/pixel_cpu.wgsl): any device
 * will do, nothing is compiled, and it is some hundred times slower. Memory below 4 GiB.
 * ERR_UNSUPPORTED in a build without tint. */
struct error *offload_gpu_interpreter_create(struct gpu *gpu, const struct mcode_kernel *kernel,
					     struct offload_gpu_kernel **ret);
/* Gives an interpreter another program; nothing is compiled. On failure it has none. */
struct error *offload_gpu_interpreter_load(struct offload_gpu_kernel *interpreter,
					   const struct mcode_kernel *kernel);
void offload_gpu_kernel_destroy(struct offload_gpu_kernel *kernel);
OWN_DECLARE(own_offload_gpu_kernel, struct offload_gpu_kernel *, offload_gpu_kernel_destroy)

struct offload_gpu_result {
	uint64_t done; /* iterations before the first hit or fault */
	bool fault; /* done, slots and memory are then of no use: later iterations ran on */
	uint64_t ns; /* on the device, where it can tell */
	uint64_t record_ns, wait_ns; /* until it was submitted, and from then on */
};

/* Memory of a run: stream s's guest address a is at byte a - address[s] + offset[s] of the
 * buffer. For a paged kernel, address[s] is that of the stream's first page, and its page i is
 * at byte page[first[s] + i] of the buffer for loads, at page[first_stored[s] + i] for stores;
 * offset is not used. */
struct offload_gpu_memory {
	struct gpu_buffer *buffer;
	const uint64_t *address, *offset;
	const uint64_t *page;
	const uint32_t *first, *first_stored;
	uint32_t n_pages;
};

/* A run in two halves, so that the next one of a paged kernel can be prepared meanwhile:
 * `flight` says which of so many. A run is under way from a start that succeeds to its end. */
enum { OFFLOAD_GPU_FLIGHTS = 2 };
uint64_t offload_gpu_most(const struct offload_gpu_kernel *kernel); /* iterations at once */
bool offload_gpu_is_free(const struct offload_gpu_kernel *kernel, unsigned flight);
/* k0 .. k0 + n - 1, 0 < n <= most; slots: those after setup. Nothing of the arguments but the
 * buffer need be there when it returns. ERR_GPU: nothing is under way. */
struct error *offload_gpu_start(struct offload_gpu_kernel *kernel, unsigned flight,
				const struct offload_gpu_memory *memory, const uint64_t *slots,
				uint64_t k0, uint64_t n);
bool offload_gpu_is_done(struct offload_gpu_kernel *kernel, unsigned flight);
/* Waits, then folds reductions into slots: those after setup, or after the iterations before
 * k0. ERR_GPU: as offload_gpu_run. */
struct error *offload_gpu_end(struct offload_gpu_kernel *kernel, unsigned flight,
			      uint64_t *slots, struct offload_gpu_result *ret);

/* Runs k0 .. k0 + n - 1 and folds reductions into slots, those after setup.
 * Addresses must be aligned (mcode_spirv_aligned). ERR_GPU: the device failed; slots are
 * unchanged and memory is in an unknown state. */
struct error *offload_gpu_run(struct offload_gpu_kernel *kernel,
			      const struct offload_gpu_memory *memory, uint64_t *slots,
			      uint64_t k0, uint64_t n, struct offload_gpu_result *ret);

/* The same over host memory: views are copied to the device, written ones back unless an
 * iteration faulted. */
struct error *offload_gpu_run_staged(struct offload_gpu_kernel *kernel,
				     const struct mcode_view *views, uint64_t *slots,
				     uint64_t k0, uint64_t n, struct offload_gpu_result *ret);
#endif
