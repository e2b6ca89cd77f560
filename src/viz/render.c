#include "viz/render.h"

#include <string.h>

#include "gpu/batch.h"
#include "gpu/buffer.h"
#include "gpu/device.h"
#include "viz/picture.h"
#include "viz/scene.h"
#include "viz/shaders.h"

struct viz_renderer {
	struct gpu *gpu;
	struct gpu_kernel *draw, *pick;
	struct gpu_buffer *uniform, *found, *found_back;
	struct gpu_buffer *picture, *picture_back; /* colours, then depths */
	uint32_t width, height;
};

struct error *viz_renderer_create(struct gpu *gpu, struct viz_renderer **ret)
{
	AUTO(own_viz_renderer) struct viz_renderer *renderer = NULL;
	TRY(error_alloc(1, sizeof(*renderer), &renderer));
	renderer->gpu = gpu;
	TRY(viz_kernel_create(gpu, "draw_frame", &renderer->draw));
	TRY(viz_kernel_create(gpu, "pick", &renderer->pick));
	TRY(gpu_buffer_create(gpu, GPU_BUFFER_DEVICE, sizeof(struct viz_view),
			      &renderer->uniform));
	TRY(gpu_buffer_create(gpu, GPU_BUFFER_DEVICE, 32, &renderer->found));
	TRY(gpu_buffer_create(gpu, GPU_BUFFER_READBACK, 32, &renderer->found_back));
	*ret = TAKE(renderer);
	return NULL;
}

static void drop_picture(struct viz_renderer *renderer)
{
	gpu_buffer_destroy(TAKE(renderer->picture));
	gpu_buffer_destroy(TAKE(renderer->picture_back));
	renderer->width = renderer->height = 0;
}

void viz_renderer_destroy(struct viz_renderer *renderer)
{
	if (!renderer)
		return;
	drop_picture(renderer);
	gpu_buffer_destroy(renderer->uniform);
	gpu_buffer_destroy(renderer->found);
	gpu_buffer_destroy(renderer->found_back);
	gpu_kernel_destroy(renderer->draw);
	gpu_kernel_destroy(renderer->pick);
	free(renderer);
}

static struct error *fit_picture(struct viz_renderer *renderer, uint32_t width, uint32_t height)
{
	if (renderer->width == width && renderer->height == height)
		return NULL;
	drop_picture(renderer);
	uint64_t bytes = (uint64_t)width * height * 8;
	TRY(gpu_buffer_create(renderer->gpu, GPU_BUFFER_DEVICE, bytes, &renderer->picture));
	TRY(gpu_buffer_create(renderer->gpu, GPU_BUFFER_READBACK, bytes,
			      &renderer->picture_back));
	renderer->width = width;
	renderer->height = height;
	return NULL;
}

static struct error *upload_view(struct viz_renderer *renderer, struct viz_scene *scene,
				 const struct viz_view *view, struct gpu_batch *batch)
{
	struct viz_view full = *view;
	viz_scene_describe(scene, &full);
	return gpu_batch_upload(batch, renderer->uniform, 0, &full, sizeof(full));
}

static struct error *record_draw(struct viz_renderer *renderer, struct viz_scene *scene,
				 const struct viz_view *view, struct gpu_batch *batch)
{
	struct gpu_bind binds[GPU_BINDINGS_MAX] = { 0 };
	viz_scene_bind(scene, binds);
	binds[0].buffer = renderer->uniform;
	binds[8].buffer = renderer->picture;
	return gpu_batch_dispatch(
		batch, &(struct gpu_dispatch){ .kernel = renderer->draw,
					       .binds = binds,
					       .groups = { (view->width + 7) / 8,
							   (view->height + 7) / 8, 1 } });
}

static struct error *record_layers(struct viz_renderer *renderer,
				   const struct viz_layer *layers, size_t n,
				   struct gpu_batch *batch)
{
	for (size_t i = 0; i < n; i++) {
		struct viz_view view = layers[i].view;
		view.flags |= i ? VIZ_OVER : 0;
		TRY(upload_view(renderer, layers[i].scene, &view, batch));
		TRY(record_draw(renderer, layers[i].scene, &view, batch));
	}
	return NULL;
}

static void read_picture(struct viz_renderer *renderer, struct viz_picture *picture)
{
	size_t bytes = (size_t)renderer->width * renderer->height * 4;
	CHECK(picture->width == renderer->width && picture->height == renderer->height);
	const uint8_t *back = gpu_buffer_map(renderer->picture_back);
	memcpy(picture->rgba, back, bytes);
	if (picture->depth)
		memcpy(picture->depth, back + bytes, bytes);
}

struct error *viz_render(struct viz_renderer *renderer, const struct viz_layer *layers,
			 size_t n, struct viz_picture *picture, uint64_t *gpu_ns_ret)
{
	for (size_t i = 0; i < n; i++)
		TRY(viz_scene_flush(layers[i].scene));
	TRY(fit_picture(renderer, layers->view.width, layers->view.height));
	AUTO(own_gpu_batch) struct gpu_batch *batch = NULL;
	TRY(gpu_batch_begin(renderer->gpu, &batch));
	unsigned first = gpu_batch_timestamp(batch);
	TRY(record_layers(renderer, layers, n, batch));
	unsigned second = gpu_batch_timestamp(batch);
	if (picture)
		gpu_batch_copy(batch, renderer->picture, 0, renderer->picture_back, 0,
			       gpu_buffer_size(renderer->picture));
	TRY(gpu_batch_submit(batch));
	TRY(gpu_batch_wait(batch, 0));
	if (gpu_ns_ret)
		*gpu_ns_ret = gpu_batch_elapsed_ns(batch, first, second);
	if (picture)
		read_picture(renderer, picture);
	return NULL;
}

struct error *viz_render_times(struct viz_renderer *renderer, struct viz_scene *scene,
			       const struct viz_view *view, unsigned n, uint64_t *ns)
{
	CHECK(n <= VIZ_TIMES_MAX);
	TRY(viz_scene_flush(scene));
	TRY(fit_picture(renderer, view->width, view->height));
	AUTO(own_gpu_batch) struct gpu_batch *batch = NULL;
	TRY(gpu_batch_begin(renderer->gpu, &batch));
	TRY(upload_view(renderer, scene, view, batch));
	unsigned first = gpu_batch_timestamp(batch);
	for (unsigned i = 0; i < n; i++) {
		TRY(record_draw(renderer, scene, view, batch));
		gpu_batch_timestamp(batch);
	}
	TRY(gpu_batch_submit(batch));
	TRY(gpu_batch_wait(batch, 0));
	for (unsigned i = 0; i < n; i++)
		ns[i] = gpu_batch_elapsed_ns(batch, first + i, first + i + 1);
	return NULL;
}

struct error *viz_pick(struct viz_renderer *renderer, struct viz_scene *scene,
		       const struct viz_view *view, uint32_t x, uint32_t y,
		       struct viz_pick *ret)
{
	TRY(viz_scene_flush(scene));
	struct viz_view at = *view;
	at.pick_x = x;
	at.pick_y = y;
	AUTO(own_gpu_batch) struct gpu_batch *batch = NULL;
	TRY(gpu_batch_begin(renderer->gpu, &batch));
	TRY(upload_view(renderer, scene, &at, batch));
	struct gpu_bind binds[GPU_BINDINGS_MAX] = { 0 };
	viz_scene_bind(scene, binds);
	binds[0].buffer = renderer->uniform;
	binds[10].buffer = renderer->found;
	TRY(gpu_batch_dispatch(
		batch, &(struct gpu_dispatch){ .kernel = renderer->pick, .binds = binds }));
	gpu_batch_copy(batch, renderer->found, 0, renderer->found_back, 0, 32);
	TRY(gpu_batch_submit(batch));
	TRY(gpu_batch_wait(batch, 0));
	uint32_t found[8];
	memcpy(found, gpu_buffer_map(renderer->found_back), sizeof(found));
	float side; /* of the cube that was hit: 1 is a byte */
	*ret = (struct viz_pick){
		.hit = found[0] != VIZ_NONE,
		.gpa = (uint64_t)found[0] << 12 | (found[1] & 4095),
		.attributes = found[3],
		.voxel = { found[4], found[5], found[6] },
	};
	memcpy(&ret->distance, &found[2], sizeof(float));
	memcpy(&side, &found[7], sizeof(side));
	ret->is_exact = side < 2;
	return NULL;
}
