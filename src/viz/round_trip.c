#include "viz/round_trip.h"

#include <string.h>

#include "gpu/batch.h"
#include "gpu/buffer.h"
#include "viz/hilbert.h"
#include "viz/shaders.h"

/* ORDER EACH in shaders/hilbert_check.wgsl: 64 threads with 16 indices each. */
enum { GROUP_INDICES = 64 * 16, GROUPS_WIDE = 1024, TURNS = HILBERT_STATES * 8 };

struct parts {
	struct gpu_kernel *kernel;
	struct gpu_buffer *items, *wrong, *turns, *back;
};

static void parts_deinit(struct parts *parts)
{
	gpu_kernel_destroy(parts->kernel);
	gpu_buffer_destroy(parts->items);
	gpu_buffer_destroy(parts->wrong);
	gpu_buffer_destroy(parts->turns);
	gpu_buffer_destroy(parts->back);
}

static struct error *make_parts(struct gpu *gpu, bool by_table, struct parts *parts)
{
	TRY(viz_kernel_create(gpu, by_table ? "hilbert_table" : "hilbert_loop",
			      &parts->kernel));
	TRY(gpu_buffer_create(gpu, GPU_BUFFER_DEVICE, 16, &parts->items));
	TRY(gpu_buffer_create(gpu, GPU_BUFFER_DEVICE, 16, &parts->wrong));
	TRY(gpu_buffer_create(gpu, GPU_BUFFER_DEVICE, 2 * TURNS * 4, &parts->turns));
	return gpu_buffer_create(gpu, GPU_BUFFER_READBACK, 16, &parts->back);
}

static struct error *record(const struct viz_round_trip *trip, struct parts *parts,
			    struct gpu_batch *batch, unsigned *first_ret)
{
	uint32_t head[4] = { trip->order, trip->count, trip->first };
	uint32_t turns[2 * TURNS];
	hilbert_turns(turns);
	TRY(gpu_batch_upload(batch, parts->items, 0, head, sizeof(head)));
	TRY(gpu_batch_upload(batch, parts->turns, 0, turns, sizeof(turns)));
	gpu_batch_fill(batch, parts->wrong, 0, 16, 0);
	struct gpu_bind binds[] = { { .buffer = parts->items },
				    { .buffer = parts->wrong },
				    { .buffer = parts->turns } };
	uint32_t groups = (trip->count + GROUP_INDICES - 1) / GROUP_INDICES;
	*first_ret = gpu_batch_timestamp(batch);
	TRY(gpu_batch_dispatch(
		batch, &(struct gpu_dispatch){
			       .kernel = parts->kernel,
			       .binds = binds,
			       .groups = { groups < GROUPS_WIDE ? groups : GROUPS_WIDE,
					   (groups + GROUPS_WIDE - 1) / GROUPS_WIDE } }));
	gpu_batch_timestamp(batch);
	gpu_batch_copy(batch, parts->wrong, 0, parts->back, 0, 16);
	return NULL;
}

struct error *viz_round_trip(struct gpu *gpu, const struct viz_round_trip *trip,
			     uint32_t *wrong_ret, uint64_t *gpu_ns_ret)
{
	AUTO(parts_deinit) struct parts parts = { 0 };
	TRY(make_parts(gpu, trip->by_table, &parts));
	AUTO(own_gpu_batch) struct gpu_batch *batch = NULL;
	unsigned first;
	TRY(gpu_batch_begin(gpu, &batch));
	TRY(record(trip, &parts, batch, &first));
	TRY(gpu_batch_submit(batch));
	TRY(gpu_batch_wait(batch, 0));
	memcpy(wrong_ret, gpu_buffer_map(parts.back), sizeof(*wrong_ret));
	if (gpu_ns_ret)
		*gpu_ns_ret = gpu_batch_elapsed_ns(batch, first, first + 1);
	return NULL;
}
