/* Everything needed to draw memories again and again: the device, their scenes and the
 * renderer, for `render` and for streaming frames to a browser without WebGPU. Several memories
 * stand in one coordinate system (viz/map.h). A lost device is opened anew and memory brought
 * in again. Thread: one. */
#ifndef VIZ_FRAME_H
#define VIZ_FRAME_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "viz/map.h"
#include "viz/render.h"
#include "viz/view.h"
struct gpu;
struct phys_mem;
struct viz_frames;
struct viz_picture;
struct viz_scene;

/* One memory to draw. */
struct viz_volume {
	struct phys_mem *mem; /* borrowed */
	uint64_t top_bytes; /* largest address the machine can have; 0: the end of mem */
	/* Gives pages their kinds and owners, after each load. NULL: guessed from bytes. */
	struct error *(*label)(void *user, struct viz_scene *scene);
	void *label_user;
};

struct viz_frames_params {
	const char *device; /* part of the GPU's name; NULL: the best */
	bool validate;
	bool probe_import; /* find out whether the guest's memory can be imported */
	uint64_t budget_bytes; /* GPU memory for bytes of each memory; 0: no limit of ours */
	const struct viz_volume *volumes; /* copied */
	unsigned n_volumes; /* 1 .. VIZ_MAP_MAX */
};

/* Opens the device and brings the memory in. Caller owns *ret. */
struct error *viz_frames_create(const struct viz_frames_params *params,
				struct viz_frames **ret);
void viz_frames_destroy(struct viz_frames *frames);
OWN_DECLARE(own_viz_frames, struct viz_frames *, viz_frames_destroy)

/* A memory changed: frame numbers, ascending. now: a clock in milliseconds, never 0. */
struct error *viz_frames_update(struct viz_frames *frames, unsigned volume,
				const uint64_t *changed, size_t n, uint32_t now);

struct error *viz_frames_draw(struct viz_frames *frames, const struct viz_view *view,
			      struct viz_picture *picture, uint64_t *gpu_ns_ret);

/* volume_ret gets the number of the memory that was hit. */
struct error *viz_frames_pick(struct viz_frames *frames, const struct viz_view *view,
			      uint32_t x, uint32_t y, struct viz_pick *ret,
			      unsigned *volume_ret);

/* How the memories stand when blocks are that far apart. */
struct viz_map viz_frames_map(const struct viz_frames *frames, float explode);

/* Fits a camera (viz_camera_fit) to what is drawn of all memories. */
struct error *viz_frames_fit(struct viz_frames *frames, float explode, float aspect,
			     const struct viz_margins *margins, struct viz_camera *camera);

/* Borrowed; all change when a lost device was replaced. */
struct gpu *viz_frames_gpu(struct viz_frames *frames);
struct viz_scene *viz_frames_scene(struct viz_frames *frames, unsigned volume);
struct viz_renderer *viz_frames_renderer(struct viz_frames *frames);
unsigned viz_frames_recoveries(const struct viz_frames *frames);

/* Holds a frame time by drawing fewer pixels and coarser while the camera moves, and in full
 * once it rests. Plain values: one for each viewer. */
struct viz_governor {
	float scale; /* of the sides of the picture, 0.25 .. 1 */
	float lod_bias;
	unsigned still; /* pictures since the view changed */
};
void viz_governor_init(struct viz_governor *governor);

/* After a picture: how long it took, what is wanted, and whether the view moved since the last.
 */
void viz_governor_note(struct viz_governor *governor, double took_ms, double wanted_ms,
		       bool moved);

/* Size and level for the next picture of a full width x height. */
void viz_governor_apply(const struct viz_governor *governor, uint32_t width, uint32_t height,
			struct viz_view *view);
#endif
