/* Draws a scene: pictures and picks. Thread: the gpu's. */
#ifndef VIZ_RENDER_H
#define VIZ_RENDER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "viz/view.h"
struct gpu;
struct viz_picture;
struct viz_renderer;
struct viz_scene;

/* gpu is borrowed. Caller owns *ret. */
struct error *viz_renderer_create(struct gpu *gpu, struct viz_renderer **ret);
void viz_renderer_destroy(struct viz_renderer *renderer);
OWN_DECLARE(own_viz_renderer, struct viz_renderer *, viz_renderer_destroy)

/* A scene and the view as that scene sees it. */
struct viz_layer {
	struct viz_scene *scene;
	struct viz_view view;
};

/* Draws layers into one picture, each over the ones before (viz_map_order), which must have the
 * views' size; NULL: draw and forget, for timing. gpu_ns_ret (or NULL) gets the GPU time of the
 * drawing alone, 0 where it cannot be had. */
struct error *viz_render(struct viz_renderer *renderer, const struct viz_layer *layers,
			 size_t n, struct viz_picture *picture, uint64_t *gpu_ns_ret);

/* GPU time of n drawings one after another without a pause, so that the GPU runs at its full
 * clock: n <= VIZ_TIMES_MAX. All 0 where the device has no clock. */
enum { VIZ_TIMES_MAX = 40 };
struct error *viz_render_times(struct viz_renderer *renderer, struct viz_scene *scene,
			       const struct viz_view *view, unsigned n, uint64_t *ns);

struct viz_pick {
	bool hit;
	uint64_t gpa; /* of the byte; of the page when it is drawn coarse */
	bool is_exact; /* gpa is a single byte */
	float distance; /* voxels */
	uint32_t attributes;
	uint32_t voxel[3];
};

/* What lies under pixel x, y of the view. */
struct error *viz_pick(struct viz_renderer *renderer, struct viz_scene *scene,
		       const struct viz_view *view, uint32_t x, uint32_t y,
		       struct viz_pick *ret);
#endif
