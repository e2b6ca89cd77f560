#include "viz/dense.h"

#include <string.h>

#include "gpu/batch.h"
#include "gpu/buffer.h"
#include "viz/picture.h"
#include "viz/scene.h"
#include "viz/shaders.h"

enum { ORDER_MAX = 10 };

struct viz_dense {
	struct gpu *gpu;
	struct viz_scene *scene;
	struct gpu_kernel *skilling, *table, *draw;
	struct gpu_buffer *uniform;
	struct gpu_image *volume;
	unsigned order;
};

struct error *viz_dense_create(struct gpu *gpu, struct viz_scene *scene, struct viz_dense **ret)
{
	AUTO(own_viz_dense) struct viz_dense *dense = NULL;
	TRY(error_alloc(1, sizeof(*dense), &dense));
	dense->gpu = gpu;
	dense->scene = scene;
	dense->order = viz_scene_order(scene);
	if (dense->order > ORDER_MAX)
		return error_create(ERR_LIMIT, "a dense volume of order %u is too large",
				    dense->order);
	TRY(viz_kernel_create(gpu, "dense_skilling", &dense->skilling));
	TRY(viz_kernel_create(gpu, "dense_table", &dense->table));
	TRY(viz_kernel_create(gpu, "draw_dense", &dense->draw));
	TRY(gpu_buffer_create(gpu, GPU_BUFFER_DEVICE, sizeof(struct viz_view),
			      &dense->uniform));
	uint32_t side = 1u << dense->order;
	/* Four voxels of RGBA8 in a texel. */
	TRY(gpu_image_create(
		gpu, &(struct gpu_image_params){ GPU_RGBA32UI, side / 4, side, side, true },
		&dense->volume));
	*ret = TAKE(dense);
	return NULL;
}

void viz_dense_destroy(struct viz_dense *dense)
{
	if (!dense)
		return;
	gpu_image_destroy(dense->volume);
	gpu_buffer_destroy(dense->uniform);
	gpu_kernel_destroy(dense->skilling);
	gpu_kernel_destroy(dense->table);
	gpu_kernel_destroy(dense->draw);
	free(dense);
}

static struct error *begin(struct viz_dense *dense, const struct viz_view *view,
			   struct gpu_batch **ret)
{
	struct viz_view full = *view;
	viz_scene_describe(dense->scene, &full);
	AUTO(own_gpu_batch) struct gpu_batch *batch = NULL;
	TRY(gpu_batch_begin(dense->gpu, &batch));
	TRY(gpu_batch_upload(batch, dense->uniform, 0, &full, sizeof(full)));
	*ret = TAKE(batch);
	return NULL;
}

/* Runs one dispatch between two timestamps. */
static struct error *run(struct gpu_batch *batch, const struct gpu_dispatch *dispatch,
			 uint64_t *gpu_ns_ret)
{
	unsigned first = gpu_batch_timestamp(batch);
	TRY(gpu_batch_dispatch(batch, dispatch));
	unsigned second = gpu_batch_timestamp(batch);
	TRY(gpu_batch_submit(batch));
	TRY(gpu_batch_wait(batch, 0));
	if (gpu_ns_ret)
		*gpu_ns_ret = gpu_batch_elapsed_ns(batch, first, second);
	return NULL;
}

struct error *viz_dense_fill(struct viz_dense *dense, const struct viz_view *view,
			     bool by_table, uint64_t *gpu_ns_ret)
{
	TRY(viz_scene_flush(dense->scene));
	AUTO(own_gpu_batch) struct gpu_batch *batch = NULL;
	TRY(begin(dense, view, &batch));
	struct gpu_bind binds[GPU_BINDINGS_MAX] = { 0 };
	viz_scene_bind(dense->scene, binds);
	binds[0].buffer = dense->uniform;
	binds[11].image = dense->volume;
	uint32_t groups = (1u << dense->order) / (by_table ? 16 : 8);
	return run(batch,
		   &(struct gpu_dispatch){ .kernel = by_table ? dense->table : dense->skilling,
					   .binds = binds,
					   .groups = { groups, groups, groups } },
		   gpu_ns_ret);
}

struct error *viz_dense_draw(struct viz_dense *dense, const struct viz_view *view,
			     struct viz_picture *picture, uint64_t *gpu_ns_ret)
{
	size_t bytes = (size_t)view->width * view->height * 4;
	AUTO(own_gpu_buffer) struct gpu_buffer *out = NULL, *back = NULL;
	TRY(gpu_buffer_create(dense->gpu, GPU_BUFFER_DEVICE, bytes, &out));
	TRY(gpu_buffer_create(dense->gpu, GPU_BUFFER_READBACK, bytes, &back));
	AUTO(own_gpu_batch) struct gpu_batch *batch = NULL, *copy = NULL;
	TRY(begin(dense, view, &batch));
	struct gpu_bind binds[GPU_BINDINGS_MAX] = { [0] = { .buffer = dense->uniform },
						    [8] = { .buffer = out },
						    [12] = { .image = dense->volume } };
	TRY(run(batch,
		&(struct gpu_dispatch){
			.kernel = dense->draw,
			.binds = binds,
			.groups = { (view->width + 7) / 8, (view->height + 7) / 8, 1 } },
		gpu_ns_ret));
	if (!picture)
		return NULL;
	TRY(gpu_batch_begin(dense->gpu, &copy));
	gpu_batch_copy(copy, out, 0, back, 0, bytes);
	TRY(gpu_batch_submit(copy));
	TRY(gpu_batch_wait(copy, 0));
	memcpy(picture->rgba, gpu_buffer_map(back), bytes);
	return NULL;
}

struct error *viz_dense_read(struct viz_dense *dense, uint8_t **ret)
{
	size_t bytes = (size_t)4 << 3 * dense->order;
	AUTO(own_free) uint8_t *voxels = NULL;
	TRY(error_alloc(bytes, 1, &voxels));
	AUTO(own_gpu_buffer) struct gpu_buffer *back = NULL;
	TRY(gpu_buffer_create(dense->gpu, GPU_BUFFER_READBACK, bytes, &back));
	struct gpu_batch *batch = NULL;
	TRY(gpu_batch_begin(dense->gpu, &batch));
	gpu_batch_copy_image(batch, dense->volume, back);
	TRY(gpu_batch_finish(batch));
	memcpy(voxels, gpu_buffer_map(back), bytes);
	*ret = TAKE(voxels);
	return NULL;
}
