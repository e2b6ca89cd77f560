/* A guest's memory on the GPU, as the shaders want it: bytes in banks, looks of 64 bytes, 512
 * bytes and pages, attributes of pages, and the grid of bricks. Pages of zeros take no room.
 * Everything is driven by lists of changed pages. Thread: the gpu's. */
#ifndef VIZ_SCENE_H
#define VIZ_SCENE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "viz/view.h"
struct gpu;
struct gpu_batch;
struct gpu_bind;
struct phys_mem;
struct viz_scene;

enum viz_source {
	VIZ_SOURCE_AUTO, /* import where a probe showed that it works, else staging */
	VIZ_SOURCE_STAGING,
	VIZ_SOURCE_IMPORT,
};

struct viz_scene_params {
	struct gpu *gpu; /* borrowed; must outlive the scene */
	uint64_t top_bytes; /* one past the highest address; the order comes from it */
	uint64_t
		budget_bytes; /* GPU memory for bytes of the guest; 0: what the device allows */
	enum viz_source source;
	/* For VIZ_SOURCE_AUTO: read-only mappings may be imported on this device. */
	bool can_import_read_only;
};

struct viz_scene_stats {
	uint64_t ram_pages; /* pages of RAM seen */
	uint64_t data_pages; /* that are not all zeros */
	uint64_t resident_pages; /* whose bytes are on the GPU; the others are drawn coarse */
	uint64_t gpu_bytes; /* all buffers of the scene */
	uint64_t gpu_ram_bytes; /* of which banks of guest bytes */
	const char *source; /* "import" or "staging" */
	uint64_t last_changes; /* pages of the last update */
	uint64_t last_gpu_ns; /* GPU time of the last update, transfer not counted */
	uint64_t last_transfer_ns; /* of its copies from host memory; 0 without a GPU */
	uint64_t last_bytes; /* copied to the GPU by the last update */
};

/* Caller owns *ret. Fails: ERR_LIMIT when the memory is too large to draw, ERR_GPU. */
struct error *viz_scene_create(const struct viz_scene_params *params, struct viz_scene **ret);
void viz_scene_destroy(struct viz_scene *scene);
OWN_DECLARE(own_viz_scene, struct viz_scene *, viz_scene_destroy)

/* Brings all of memory in. */
struct error *viz_scene_load(struct viz_scene *scene, struct phys_mem *mem);

/* Brings these frames (numbers, ascending) in again; now is their time of writing, or 0. */
struct error *viz_scene_update(struct viz_scene *scene, struct phys_mem *mem,
			       const uint64_t *frames, size_t n, uint32_t now);

/* Attributes. They reach the GPU with viz_scene_flush or the next picture. */
void viz_scene_set_kind(struct viz_scene *scene, uint64_t frame, unsigned kind);
void viz_scene_set_owner(struct viz_scene *scene, uint64_t frame, unsigned owner_slot);
void viz_scene_set_flags(struct viz_scene *scene, uint64_t frame, uint32_t set, uint32_t clear);
uint32_t viz_scene_attributes(const struct viz_scene *scene, uint64_t frame);
struct error *viz_scene_flush(struct viz_scene *scene);

/* Guesses the kind of every page from its bytes, for memory without a known kernel. */
struct error *viz_scene_guess_kinds(struct viz_scene *scene, struct phys_mem *mem);

unsigned viz_scene_order(const struct viz_scene *scene);
uint64_t viz_scene_frames(const struct viz_scene *scene);
void viz_scene_stats(const struct viz_scene *scene, struct viz_scene_stats *ret);

/* Box around [first, end) of addresses, for cameras. */
struct viz_bounds viz_scene_bounds(const struct viz_scene *scene, uint64_t first, uint64_t end);

/* Boxes around the pages that are drawn (have data and are not hidden), one for each block of
 * 2 MiB; all of memory when there are none. Caller owns *ret (free). */
struct error *viz_scene_data_boxes(const struct viz_scene *scene, struct viz_bounds **ret,
				   size_t *n_ret);

/* For the frame kernels: fills bindings 1 to 7, and the fields of a view that say how the scene
 * is laid out. */
void viz_scene_bind(const struct viz_scene *scene, struct gpu_bind *binds);
void viz_scene_describe(const struct viz_scene *scene, struct viz_view *view);
#endif
