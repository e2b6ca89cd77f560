#include "viz/frame.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/phys_mem.h"
#include "base/vec.h"
#include "gpu/buffer.h"
#include "gpu/device.h"
#include "viz/picture.h"
#include "viz/scene.h"

struct viz_frames {
	struct viz_frames_params params;
	struct viz_volume *volumes;
	bool can_import_read_only;
	struct gpu *gpu;
	struct viz_scene **scenes; /* one for each volume */
	struct viz_renderer *renderer;
	unsigned recoveries;
};

static void close_device(struct viz_frames *frames)
{
	viz_renderer_destroy(TAKE(frames->renderer));
	for (unsigned i = 0; frames->scenes && i < frames->params.n_volumes; i++)
		viz_scene_destroy(TAKE(frames->scenes[i]));
	gpu_destroy(TAKE(frames->gpu));
}

static struct error *open_scene(struct viz_frames *frames, const struct viz_volume *volume,
				struct viz_scene **ret)
{
	TRY(viz_scene_create(
		&(struct viz_scene_params){
			.gpu = frames->gpu,
			.top_bytes = volume->top_bytes ? volume->top_bytes
						       : phys_mem_end(volume->mem),
			.budget_bytes = frames->params.budget_bytes,
			.can_import_read_only = frames->can_import_read_only },
		ret));
	TRY(viz_scene_load(*ret, volume->mem));
	if (volume->label)
		return volume->label(volume->label_user, *ret);
	return viz_scene_guess_kinds(*ret, volume->mem);
}

static struct error *open_device(struct viz_frames *frames)
{
	TRY(gpu_create(&(struct gpu_params){ .device = frames->params.device,
					     .validate = frames->params.validate,
					     .allow_import = frames->can_import_read_only },
		       &frames->gpu));
	for (unsigned i = 0; i < frames->params.n_volumes; i++)
		TRY(open_scene(frames, &frames->volumes[i], &frames->scenes[i]));
	return viz_renderer_create(frames->gpu, &frames->renderer);
}

struct error *viz_frames_create(const struct viz_frames_params *params, struct viz_frames **ret)
{
	AUTO(own_viz_frames) struct viz_frames *frames = NULL;
	TRY(error_alloc(1, sizeof(*frames), &frames));
	CHECK(params->n_volumes && params->n_volumes <= VIZ_MAP_MAX);
	frames->params = *params;
	TRY(error_alloc(params->n_volumes, sizeof(*frames->volumes), &frames->volumes));
	TRY(error_alloc(params->n_volumes, sizeof(*frames->scenes), &frames->scenes));
	memcpy(frames->volumes, params->volumes, params->n_volumes * sizeof(*frames->volumes));
	if (params->probe_import) {
		struct gpu_import_probe probe = { 0 };
		/* Without an answer staging serves. */
		error_destroy(gpu_probe_import(params->device, &probe));
		frames->can_import_read_only = probe.read_only && probe.sees_writes;
	}
	TRY(open_device(frames));
	*ret = TAKE(frames);
	return NULL;
}

void viz_frames_destroy(struct viz_frames *frames)
{
	if (!frames)
		return;
	close_device(frames);
	free(frames->scenes);
	free(frames->volumes);
	free(frames);
}

/* If err is because the device was lost: opens it anew, destroys err, says to try again. */
static bool recover(struct viz_frames *frames, struct error **err)
{
	if (!*err || !frames->gpu || !gpu_is_lost(frames->gpu))
		return false;
	error_destroy(*err);
	frames->recoveries++;
	close_device(frames);
	*err = error_wrap(open_device(frames), "after the GPU was lost");
	return !*err;
}

/* A recovery that failed left no device: try again before doing anything. */
static struct error *ensure_open(struct viz_frames *frames)
{
	if (frames->renderer)
		return NULL;
	close_device(frames);
	return open_device(frames);
}

struct error *viz_frames_update(struct viz_frames *frames, unsigned volume,
				const uint64_t *changed, size_t n, uint32_t now)
{
	TRY(ensure_open(frames));
	struct error *err = viz_scene_update(frames->scenes[volume],
					     frames->volumes[volume].mem, changed, n, now);
	recover(frames, &err);
	return err;
}

struct viz_map viz_frames_map(const struct viz_frames *frames, float explode)
{
	struct viz_map map;
	unsigned largest = 0;
	for (unsigned i = 0; i < frames->params.n_volumes; i++) {
		unsigned order = viz_scene_order(frames->scenes[i]);
		largest = order > largest ? order : largest;
	}
	viz_map_init(&map, frames->params.n_volumes, largest, explode);
	return map;
}

typedef VEC(struct viz_bounds) box_vec;

/* Adds the boxes of a volume's data where the map has them. */
static struct error *add_boxes(struct viz_frames *frames, const struct viz_map *map,
			       unsigned volume, float explode, box_vec *boxes)
{
	AUTO(own_free) struct viz_bounds *own = NULL;
	size_t n = 0;
	float origin[3];
	TRY(viz_scene_data_boxes(frames->scenes[volume], &own, &n));
	viz_map_origin(map, volume, origin);
	for (size_t i = 0; i < n; i++) {
		viz_bounds_explode(&own[i], explode);
		viz_bounds_shift(&own[i], origin);
		if (!VEC_PUSH(boxes, own[i]))
			return error_create(ERR_MEMORY, "no memory for a camera");
	}
	return NULL;
}

struct error *viz_frames_fit(struct viz_frames *frames, float explode, float aspect,
			     const struct viz_margins *margins, struct viz_camera *camera)
{
	TRY(ensure_open(frames));
	struct viz_map map = viz_frames_map(frames, explode);
	struct error *err = NULL;
	box_vec boxes = { 0 };
	for (unsigned i = 0; i < map.n && !err; i++)
		err = add_boxes(frames, &map, i, explode, &boxes);
	if (!err)
		viz_camera_fit(camera, boxes.items, boxes.count, aspect, margins);
	VEC_FREE(&boxes);
	return err;
}

static struct error *draw(struct viz_frames *frames, const struct viz_view *view,
			  struct viz_picture *picture, uint64_t *gpu_ns_ret)
{
	struct viz_layer layers[VIZ_MAP_MAX];
	unsigned order[VIZ_MAP_MAX];
	struct viz_map map = viz_frames_map(frames, view->explode);
	viz_map_order(&map, view, order);
	for (unsigned i = 0; i < map.n; i++)
		layers[i] = (struct viz_layer){ frames->scenes[order[i]],
						viz_map_view(&map, order[i], view) };
	return viz_render(frames->renderer, layers, map.n, picture, gpu_ns_ret);
}

struct error *viz_frames_draw(struct viz_frames *frames, const struct viz_view *view,
			      struct viz_picture *picture, uint64_t *gpu_ns_ret)
{
	TRY(ensure_open(frames));
	struct error *err = draw(frames, view, picture, gpu_ns_ret);
	if (recover(frames, &err))
		err = draw(frames, view, picture, gpu_ns_ret);
	return err;
}

/* The nearest hit of all volumes. */
static struct error *pick(struct viz_frames *frames, const struct viz_view *view, uint32_t x,
			  uint32_t y, struct viz_pick *ret, unsigned *volume_ret)
{
	struct viz_map map = viz_frames_map(frames, view->explode);
	struct viz_pick best = { 0 };
	unsigned hit = 0;
	for (unsigned i = 0; i < map.n; i++) {
		struct viz_view seen = viz_map_view(&map, i, view);
		struct viz_pick found;
		TRY(viz_pick(frames->renderer, frames->scenes[i], &seen, x, y, &found));
		if (found.hit && (!best.hit || found.distance < best.distance)) {
			best = found;
			hit = i;
		}
	}
	*ret = best;
	*volume_ret = hit;
	return NULL;
}

struct error *viz_frames_pick(struct viz_frames *frames, const struct viz_view *view,
			      uint32_t x, uint32_t y, struct viz_pick *ret,
			      unsigned *volume_ret)
{
	TRY(ensure_open(frames));
	struct error *err = pick(frames, view, x, y, ret, volume_ret);
	if (recover(frames, &err))
		err = pick(frames, view, x, y, ret, volume_ret);
	return err;
}

struct gpu *viz_frames_gpu(struct viz_frames *frames)
{
	return frames->gpu;
}

struct viz_scene *viz_frames_scene(struct viz_frames *frames, unsigned volume)
{
	return frames->scenes[volume];
}

struct viz_renderer *viz_frames_renderer(struct viz_frames *frames)
{
	return frames->renderer;
}

unsigned viz_frames_recoveries(const struct viz_frames *frames)
{
	return frames->recoveries;
}

void viz_governor_init(struct viz_governor *governor)
{
	*governor = (struct viz_governor){ .scale = 1 };
}

void viz_governor_note(struct viz_governor *governor, double took_ms, double wanted_ms,
		       bool moved)
{
	governor->still = moved ? 0 : governor->still + 1;
	if (governor->still)
		return;
	/* Time goes with the number of pixels: a step towards the wanted side, damped. */
	double factor = sqrt(wanted_ms / fmax(took_ms, 0.1));
	factor = fmin(fmax(factor, 0.7), 1.15);
	governor->scale = (float)fmin(fmax(governor->scale * factor, 0.25), 1);
	governor->lod_bias = governor->scale < 0.5f ? (0.5f - governor->scale) * 4 : 0;
}

void viz_governor_apply(const struct viz_governor *governor, uint32_t width, uint32_t height,
			struct viz_view *view)
{
	bool rests = governor->still >= 2;
	float scale = rests ? 1 : governor->scale;
	view->width = (uint32_t)fmaxf(16, (float)width * scale);
	view->height = (uint32_t)fmaxf(16, (float)height * scale);
	view->lod_bias = rests ? 0 : governor->lod_bias;
}
