#include "offload/gpu_run.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "gpu/batch.h"
#include "gpu/buffer.h"
#include "gpu/device.h"
#include "mcode/interp.h"
#include "mcode/program.h"
#include "mcode/spirv.h"

#define MOST_GROUPS 4096u

struct offload_gpu_kernel {
	struct gpu *gpu;
	const struct mcode_kernel *kernel;
	struct mcode_spirv_layout layout;
	struct gpu_kernel *shader;
	struct gpu_buffer *arguments, *results, *read_results;
};

static struct error *compile(struct offload_gpu_kernel *kernel)
{
	AUTO(own_free) uint32_t *words = NULL;
	size_t n_words;
	TRY(mcode_spirv_make(kernel->kernel, 0, &words, &n_words, &kernel->layout));
	struct gpu_kernel_params params = {
		.name = kernel->kernel->name,
		.words = words,
		.n_words = n_words,
		.bindings = "sss",
	};
	return gpu_kernel_create(kernel->gpu, &params, &kernel->shader);
}

struct error *offload_gpu_kernel_create(struct gpu *gpu, const struct mcode_kernel *kernel,
					struct offload_gpu_kernel **ret)
{
	AUTO(own_offload_gpu_kernel) struct offload_gpu_kernel *made = NULL;
	if (!gpu_info(gpu)->has_all_integers)
		return error_create(ERR_UNSUPPORTED, "%s lacks 8-, 16- or 64-bit integers",
				    gpu_info(gpu)->name);
	TRY(error_alloc(1, sizeof(*made), &made));
	made->gpu = gpu;
	made->kernel = kernel;
	TRY(compile(made));
	uint64_t result_bytes = 4 * MCODE_SPIRV_RESULT_WORDS(MOST_GROUPS, kernel->n_reductions);
	TRY(gpu_buffer_create(gpu, GPU_BUFFER_DEVICE, 8 * made->layout.argument_words,
			      &made->arguments));
	TRY(gpu_buffer_create(gpu, GPU_BUFFER_DEVICE, result_bytes, &made->results));
	TRY(gpu_buffer_create(gpu, GPU_BUFFER_READBACK, result_bytes, &made->read_results));
	*ret = TAKE(made);
	return NULL;
}

void offload_gpu_kernel_destroy(struct offload_gpu_kernel *kernel)
{
	if (!kernel)
		return;
	gpu_kernel_destroy(kernel->shader);
	gpu_buffer_destroy(kernel->arguments);
	gpu_buffer_destroy(kernel->results);
	gpu_buffer_destroy(kernel->read_results);
	free(kernel);
}

/* Enough groups to fill a device, few enough that reading partial results is cheap. */
static uint32_t groups_for(const struct offload_gpu_kernel *kernel, uint64_t n)
{
	uint64_t wanted = (n + MCODE_SPIRV_LANES - 1) / MCODE_SPIRV_LANES;
	uint64_t most = kernel->kernel->n_reductions ? 1024 : MOST_GROUPS;
	if (gpu_info(kernel->gpu)->is_software)
		most = 64;
	return (uint32_t)(wanted < most ? wanted : most);
}

static struct error *upload_arguments(struct offload_gpu_kernel *kernel,
				      struct gpu_batch *batch,
				      const struct offload_gpu_memory *memory,
				      const uint64_t *slots, uint64_t k0, uint64_t n)
{
	uint64_t *words;
	uint32_t at = 0;
	TRY(gpu_batch_stage(batch, kernel->arguments, 0, 8 * kernel->layout.argument_words,
			    (void **)&words));
	words[at++] = k0;
	words[at++] = n;
	for (uint32_t s = 0; s < kernel->layout.n_slots; s++)
		words[at++] = slots[s];
	for (uint32_t s = 0; s < kernel->layout.n_streams; s++) {
		words[at++] = memory->offset[s] - memory->address[s];
		words[at++] = 0;
	}
	return NULL;
}

static void read_results(struct offload_gpu_kernel *kernel, uint64_t *slots, uint32_t groups,
			 uint64_t n, struct offload_gpu_result *ret)
{
	const uint32_t *results = gpu_buffer_map(kernel->read_results);
	ret->fault = results[1] < results[0] && results[1] < n;
	ret->done = results[0] < n ? results[0] : n;
	if (ret->fault)
		ret->done = results[1];
	else
		mcode_spirv_fold(kernel->kernel, slots, results, groups);
}

struct error *offload_gpu_run(struct offload_gpu_kernel *kernel,
			      const struct offload_gpu_memory *memory, uint64_t *slots,
			      uint64_t k0, uint64_t n, struct offload_gpu_result *ret)
{
	AUTO(own_gpu_batch) struct gpu_batch *batch = NULL;
	*ret = (struct offload_gpu_result){ 0 };
	if (!n)
		return NULL;
	if (n >= UINT64_C(1) << 31)
		return error_create(ERR_LIMIT,
				    "a GPU runs at most 2^31 - 1 iterations at once");
	uint32_t groups = groups_for(kernel, n);
	uint64_t result_bytes =
		4 * MCODE_SPIRV_RESULT_WORDS((uint64_t)groups, kernel->layout.n_reductions);
	TRY(gpu_batch_begin(kernel->gpu, &batch));
	TRY(upload_arguments(kernel, batch, memory, slots, k0, n));
	gpu_batch_fill(batch, kernel->results, 0, 8, UINT32_MAX);
	const struct gpu_bind binds[MCODE_SPIRV_BINDINGS] = {
		[MCODE_SPIRV_MEMORY] = { .buffer = memory->buffer },
		[MCODE_SPIRV_ARGUMENTS] = { .buffer = kernel->arguments },
		[MCODE_SPIRV_RESULTS] = { .buffer = kernel->results },
	};
	unsigned start = gpu_batch_timestamp(batch);
	TRY(gpu_batch_dispatch(batch, &(struct gpu_dispatch){ .kernel = kernel->shader,
							      .binds = binds,
							      .groups = { groups } }));
	unsigned end = gpu_batch_timestamp(batch);
	gpu_batch_copy(batch, kernel->results, 0, kernel->read_results, 0, result_bytes);
	TRY(gpu_batch_submit(batch));
	TRY(gpu_batch_wait(batch, 0));
	ret->ns = gpu_batch_elapsed_ns(batch, start, end);
	read_results(kernel, slots, groups, n, ret);
	return NULL;
}

/* Views in one buffer, each at a multiple of 256 bytes plus its address's own low bits, so that
 * alignment on the device is alignment in the guest. */
struct staging {
	uint64_t address[MCODE_MAX_STREAMS], offset[MCODE_MAX_STREAMS], size_bytes;
	struct gpu_buffer *device, *back;
};

static void staging_free(struct staging *staging)
{
	gpu_buffer_destroy(staging->device);
	gpu_buffer_destroy(staging->back);
}

static void place_views(const struct mcode_kernel *kernel, const struct mcode_view *views,
			struct staging *staging)
{
	for (uint32_t s = 0; s < kernel->n_streams; s++) {
		staging->address[s] = views[s].address;
		staging->offset[s] = staging->size_bytes + (views[s].address & 255);
		staging->size_bytes = align_up(staging->offset[s] + views[s].size_bytes, 256);
	}
	if (!staging->size_bytes)
		staging->size_bytes = 256;
}

static struct error *copy_in(struct gpu *gpu, const struct mcode_kernel *kernel,
			     const struct mcode_view *views, struct staging *staging)
{
	AUTO(own_gpu_batch) struct gpu_batch *batch = NULL;
	uint8_t *room;
	TRY(gpu_buffer_create(gpu, GPU_BUFFER_DEVICE, staging->size_bytes, &staging->device));
	TRY(gpu_buffer_create(gpu, GPU_BUFFER_READBACK, staging->size_bytes, &staging->back));
	TRY(gpu_batch_begin(gpu, &batch));
	TRY(gpu_batch_stage(batch, staging->device, 0, staging->size_bytes, (void **)&room));
	for (uint32_t s = 0; s < kernel->n_streams; s++)
		memcpy(room + staging->offset[s], views[s].bytes, views[s].size_bytes);
	return gpu_batch_finish(TAKE(batch));
}

static struct error *copy_out(struct gpu *gpu, const struct mcode_kernel *kernel,
			      const struct mcode_view *views, struct staging *staging)
{
	AUTO(own_gpu_batch) struct gpu_batch *batch = NULL;
	TRY(gpu_batch_begin(gpu, &batch));
	gpu_batch_copy(batch, staging->device, 0, staging->back, 0, staging->size_bytes);
	TRY(gpu_batch_finish(TAKE(batch)));
	const uint8_t *bytes = gpu_buffer_map(staging->back);
	for (uint32_t s = 0; s < kernel->n_streams; s++)
		if (kernel->streams[s].flags & MCODE_STREAM_WRITE)
			memcpy(views[s].bytes, bytes + staging->offset[s], views[s].size_bytes);
	return NULL;
}

struct error *offload_gpu_run_staged(struct offload_gpu_kernel *kernel,
				     const struct mcode_view *views, uint64_t *slots,
				     uint64_t k0, uint64_t n, struct offload_gpu_result *ret)
{
	AUTO(staging_free) struct staging staging = { .size_bytes = 0 };
	place_views(kernel->kernel, views, &staging);
	TRY(copy_in(kernel->gpu, kernel->kernel, views, &staging));
	struct offload_gpu_memory memory = { staging.device, staging.address, staging.offset };
	TRY(offload_gpu_run(kernel, &memory, slots, k0, n, ret));
	if (ret->fault)
		return NULL;
	return copy_out(kernel->gpu, kernel->kernel, views, &staging);
}
