#include "viz/frame.h"

#include <math.h>

#include "base/phys_mem.h"
#include "gpu/buffer.h"
#include "gpu/device.h"
#include "viz/picture.h"
#include "viz/scene.h"

struct viz_frames {
	struct viz_frames_params params;
	bool can_import_read_only;
	struct gpu *gpu;
	struct viz_scene *scene;
	struct viz_renderer *renderer;
	unsigned recoveries;
};

static void close_device(struct viz_frames *frames)
{
	viz_renderer_destroy(TAKE(frames->renderer));
	viz_scene_destroy(TAKE(frames->scene));
	gpu_destroy(TAKE(frames->gpu));
}

static struct error *open_device(struct viz_frames *frames)
{
	const struct viz_frames_params *params = &frames->params;
	TRY(gpu_create(&(struct gpu_params){ .device = params->device,
					     .validate = params->validate,
					     .allow_import = frames->can_import_read_only },
		       &frames->gpu));
	TRY(viz_scene_create(
		&(struct viz_scene_params){
			.gpu = frames->gpu,
			.top_bytes = params->top_bytes ? params->top_bytes
						       : phys_mem_end(params->mem),
			.budget_bytes = params->budget_bytes,
			.can_import_read_only = frames->can_import_read_only },
		&frames->scene));
	TRY(viz_renderer_create(frames->gpu, &frames->renderer));
	TRY(viz_scene_load(frames->scene, params->mem));
	if (params->label)
		return params->label(params->label_user, frames->scene);
	return viz_scene_guess_kinds(frames->scene, params->mem);
}

struct error *viz_frames_create(const struct viz_frames_params *params, struct viz_frames **ret)
{
	AUTO(own_viz_frames) struct viz_frames *frames = NULL;
	TRY(error_alloc(1, sizeof(*frames), &frames));
	frames->params = *params;
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

struct error *viz_frames_update(struct viz_frames *frames, const uint64_t *changed, size_t n,
				uint32_t now)
{
	TRY(ensure_open(frames));
	struct error *err =
		viz_scene_update(frames->scene, frames->params.mem, changed, n, now);
	recover(frames, &err);
	return err;
}

struct error *viz_frames_draw(struct viz_frames *frames, const struct viz_view *view,
			      struct viz_picture *picture, uint64_t *gpu_ns_ret)
{
	TRY(ensure_open(frames));
	struct error *err =
		viz_render(frames->renderer, frames->scene, view, picture, gpu_ns_ret);
	if (recover(frames, &err))
		err = viz_render(frames->renderer, frames->scene, view, picture, gpu_ns_ret);
	return err;
}

struct error *viz_frames_pick(struct viz_frames *frames, const struct viz_view *view,
			      uint32_t x, uint32_t y, struct viz_pick *ret)
{
	TRY(ensure_open(frames));
	struct error *err = viz_pick(frames->renderer, frames->scene, view, x, y, ret);
	if (recover(frames, &err))
		err = viz_pick(frames->renderer, frames->scene, view, x, y, ret);
	return err;
}

struct gpu *viz_frames_gpu(struct viz_frames *frames)
{
	return frames->gpu;
}

struct viz_scene *viz_frames_scene(struct viz_frames *frames)
{
	return frames->scene;
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
