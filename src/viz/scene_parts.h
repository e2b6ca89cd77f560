/* The inside of a scene, shared by the files that make it, change it and fill it. Thread: the
 * gpu's. */
#ifndef VIZ_SCENE_PARTS_H
#define VIZ_SCENE_PARTS_H
#include "base/phys_mem.h"
#include "base/vec.h"
#include "gpu/batch.h"
#include "gpu/buffer.h"
#include "gpu/device.h"
#include "viz/hilbert.h"
#include "viz/scene.h"

/*
 * Rules.
 * 1. A page with a byte that is not zero wants a slot: 4 KiB in a bank and 73 looks. Slots are
 *    given in the order pages are met and given back when a page becomes all zeros. Without a
 *    free slot the page is drawn from its one look, worked out here.
 * 2. Every change, of bytes or of attributes, is one entry of a list that the kernel
 * bring_pages works through; nothing else writes banks, looks or pages after creation.
 * 3. Lists go in lanes that take turns: while the GPU works on one, the CPU gathers the next.
 * 4. The grid is made again when the set of drawn pages changed: it costs microseconds.
 */
enum {
	N_BANKS = 4,
	LOOK_WORDS = 73, /* of a slot: 64 of 64 bytes, 8 of 512 bytes, 1 of the page */
	CHUNK_PAGES = 2048, /* staged at a time */
	N_LANES = 2,
	BLOCK_PAGES = 512, /* a cube of 128^3, 2 MiB */
	ORDER_MAX = 12, /* 64 GiB: the grid then takes 64 MiB */
	TABLE_WORDS = 49152, /* ORDER GRID_TURNS in shaders/grid.wgsl */
	TURN_WORDS = 2 * HILBERT_STATES * 8,
};

/* ORDER pages in shaders/bring.wgsl. look lives on the GPU alone. */
struct scene_page {
	uint32_t slot, attributes, written;
};

struct change {
	uint32_t page, slot, attributes, written;
	uint32_t source, look, unused[2];
};

struct import {
	uint64_t gpa, size_bytes;
	struct gpu_buffer *buffer;
};

/* Staging memory of one list, its copy on the GPU (NULL where that is the same memory), and the
 * batch that works on it. */
struct scene_lane {
	struct gpu_buffer *staging, *arrived;
	struct gpu_batch *batch; /* made by the first list, recorded again by later ones */
	bool is_busy;
	unsigned first_stamp;
};

struct viz_scene {
	struct gpu *gpu;
	unsigned order, bank_shift;
	uint64_t n_frames;
	uint32_t n_slots, next_slot;
	bool grid_is_old, imports_tried;
	enum viz_source source;
	struct gpu_buffer *banks[N_BANKS], *looks, *pages, *grid, *changes, *uniform;
	struct scene_lane lanes[N_LANES];
	unsigned lane; /* that is being filled */
	struct gpu_kernel *bring, *build, *widen;
	struct scene_page *mirror;
	uint32_t *touched_bits; /* pages whose attributes wait for the GPU */
	VEC(uint32_t) touched;
	VEC(uint32_t) free_slots;
	VEC(struct import) imports;
	VEC(struct change) list; /* of the chunk being gathered; [0] is the head */
	uint64_t chunk_gpa; /* of the import window that the chunk reads from */
	struct viz_scene_stats stats;
};

/* The largest power of two that is not above value, which is not 0. */
static inline uint64_t scene_power_below(uint64_t value)
{
	return UINT64_C(1) << (63 - __builtin_clzll(value));
}

/* Sends the gathered list of changes to the GPU; returns when the next can be gathered. */
struct error *scene_send_list(struct viz_scene *scene);

/* Sends the last list and waits for all. */
struct error *scene_finish_lists(struct viz_scene *scene);
struct error *scene_add_change(struct viz_scene *scene, const struct change *change);
struct error *scene_upload_uniform(struct viz_scene *scene, struct gpu_batch *batch);
void scene_drop_imports(struct viz_scene *scene);
#endif
