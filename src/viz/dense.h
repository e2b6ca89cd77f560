/* The dense volume, one voxel of RGBA8 for each byte: the reference that the sparse renderer is
 * compared with, by tests and by `bench viz`. Thread: the gpu's. */
#ifndef VIZ_DENSE_H
#define VIZ_DENSE_H
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "viz/view.h"
struct gpu;
struct viz_dense;
struct viz_picture;
struct viz_scene;

/* Both are borrowed. Caller owns *ret. Fails: ERR_LIMIT above order 10, ERR_GPU. */
struct error *viz_dense_create(struct gpu *gpu, struct viz_scene *scene,
			       struct viz_dense **ret);
void viz_dense_destroy(struct viz_dense *dense);
OWN_DECLARE(own_viz_dense, struct viz_dense *, viz_dense_destroy)

/* Fills the volume with the colours of a view's mode: by Skilling's loop, or by the table. */
struct error *viz_dense_fill(struct viz_dense *dense, const struct viz_view *view,
			     bool by_table, uint64_t *gpu_ns_ret);

/* Draws the volume without light; picture NULL: only for the time. */
struct error *viz_dense_draw(struct viz_dense *dense, const struct viz_view *view,
			     struct viz_picture *picture, uint64_t *gpu_ns_ret);

/* Copies all voxels out, x fastest. Caller owns the bytes (free): 4 << 3 * order. */
struct error *viz_dense_read(struct viz_dense *dense, uint8_t **ret);
#endif
