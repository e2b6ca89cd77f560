#include "viz/scene.h"

#include <string.h>

#include "viz/palette.h"
#include "viz/scene_parts.h"
#include "viz/shaders.h"

static uint64_t side_of(const struct viz_scene *scene)
{
	return UINT64_C(1) << (scene->order - HILBERT_PAGE_LEVEL);
}

static uint32_t blocks_of(const struct viz_scene *scene)
{
	return scene->order > 7 ? 1u << (scene->order - 7) : 1;
}

static struct error *device_buffer(struct viz_scene *scene, uint64_t size_bytes,
				   struct gpu_buffer **ret)
{
	TRY(gpu_buffer_create(scene->gpu, GPU_BUFFER_DEVICE, size_bytes, ret));
	scene->stats.gpu_bytes += size_bytes;
	return NULL;
}

static struct error *create_banks(struct viz_scene *scene,
				  const struct viz_scene_params *params)
{
	const struct gpu_info *info = gpu_info(scene->gpu);
	uint64_t most = info->max_storage_range < info->max_buffer_bytes
				? info->max_storage_range
				: info->max_buffer_bytes;
	uint64_t bank_pages =
		scene_power_below(most < UINT64_C(1) << 30 ? most : UINT64_C(1) << 30) /
		PHYS_PAGE_SIZE;
	uint64_t wanted = scene->n_frames;
	uint64_t budget = params->budget_bytes ? params->budget_bytes / PHYS_PAGE_SIZE : wanted;
	uint64_t look_limit = most / (LOOK_WORDS * 4);
	wanted = wanted < budget ? wanted : budget;
	wanted = wanted < look_limit ? wanted : look_limit;
	wanted = wanted < N_BANKS * bank_pages ? wanted : N_BANKS * bank_pages;
	scene->n_slots = (uint32_t)(wanted ? wanted : 1);
	scene->bank_shift = (unsigned)__builtin_ctzll(bank_pages);
	for (uint64_t i = 0, left = scene->n_slots; left; i++) {
		uint64_t pages = left < bank_pages ? left : bank_pages;
		TRY(device_buffer(scene, pages * PHYS_PAGE_SIZE, &scene->banks[i]));
		left -= pages;
	}
	scene->stats.gpu_ram_bytes = scene->stats.gpu_bytes;
	return device_buffer(scene, (uint64_t)scene->n_slots * LOOK_WORDS * 4, &scene->looks);
}

/* The tables in front of the grid: bytes of voxels by orientation, then digits and turns. */
static struct error *upload_tables(struct viz_scene *scene, struct gpu_batch *batch)
{
	void *room;
	TRY(gpu_batch_stage(batch, scene->grid, 0, 4 * (TABLE_WORDS + TURN_WORDS), &room));
	uint16_t *byte_of = room;
	const hilbert_brick_row *rows = hilbert_brick_table();
	for (unsigned state = 0; state < HILBERT_STATES; state++)
		for (unsigned i = 0; i < HILBERT_PAGE_BYTES; i++)
			byte_of[state * HILBERT_PAGE_BYTES + rows[state][i]] = (uint16_t)i;
	hilbert_turns((uint32_t *)room + TABLE_WORDS);
	return NULL;
}

static struct error *create_lanes(struct viz_scene *scene)
{
	const uint64_t bytes = CHUNK_PAGES * PHYS_PAGE_SIZE;
	for (struct scene_lane *lane = scene->lanes; lane < scene->lanes + N_LANES; lane++) {
		TRY(gpu_buffer_create(scene->gpu, GPU_BUFFER_UPLOAD, bytes, &lane->staging));
		if (!gpu_info(scene->gpu)->is_software)
			TRY(device_buffer(scene, bytes, &lane->arrived));
	}
	return NULL;
}

static struct error *create_grid(struct viz_scene *scene)
{
	uint64_t side = side_of(scene);
	uint64_t words = TABLE_WORDS + TURN_WORDS + 2 * side * side * side;
	TRY(device_buffer(scene, words * 4, &scene->grid));
	TRY(device_buffer(scene, scene->n_frames * 16, &scene->pages));
	TRY(device_buffer(scene, sizeof(struct viz_view), &scene->uniform));
	TRY(device_buffer(scene, (2 * CHUNK_PAGES + 1) * 16, &scene->changes));
	TRY(create_lanes(scene));
	struct gpu_batch *batch = NULL;
	TRY(gpu_batch_begin(scene->gpu, &batch));
	struct error *err = upload_tables(scene, batch);
	if (err) {
		gpu_batch_destroy(batch);
		return err;
	}
	gpu_batch_fill(batch, scene->pages, 0, scene->n_frames * 16, 0);
	return gpu_batch_finish(batch);
}

static struct error *check_size(const struct viz_scene_params *params)
{
	if (hilbert_order(params->top_bytes) > ORDER_MAX)
		return error_create(ERR_LIMIT,
				    "%llu GiB of addresses are more than can be drawn",
				    (unsigned long long)(params->top_bytes >> 30));
	if (!params->top_bytes)
		return error_create(ERR_BAD_DATA, "there is no memory to draw");
	return NULL;
}

struct error *viz_scene_create(const struct viz_scene_params *params, struct viz_scene **ret)
{
	TRY(check_size(params));
	AUTO(own_viz_scene) struct viz_scene *scene = NULL;
	TRY(error_alloc(1, sizeof(*scene), &scene));
	scene->gpu = params->gpu;
	scene->order = hilbert_order(params->top_bytes);
	scene->n_frames = (params->top_bytes + PHYS_PAGE_SIZE - 1) / PHYS_PAGE_SIZE;
	scene->source = params->source;
	if (scene->source == VIZ_SOURCE_AUTO)
		scene->source =
			params->can_import_read_only ? VIZ_SOURCE_IMPORT : VIZ_SOURCE_STAGING;
	TRY(viz_kernel_create(scene->gpu, "bring_pages", &scene->bring));
	TRY(viz_kernel_create(scene->gpu, "build_grid", &scene->build));
	TRY(viz_kernel_create(scene->gpu, "widen_grid", &scene->widen));
	TRY(error_alloc(scene->n_frames, sizeof(*scene->mirror), &scene->mirror));
	TRY(error_alloc(scene->n_frames / 32 + 1, 4, &scene->touched_bits));
	for (uint64_t i = 0; i < scene->n_frames; i++)
		scene->mirror[i].slot = VIZ_NONE;
	TRY(create_banks(scene, params));
	TRY(create_grid(scene));
	scene->grid_is_old = true;
	*ret = TAKE(scene);
	return NULL;
}

void scene_drop_imports(struct viz_scene *scene)
{
	for (size_t i = 0; i < scene->imports.count; i++)
		gpu_buffer_destroy(scene->imports.items[i].buffer);
	scene->imports.count = 0;
	scene->imports_tried = false;
}

void viz_scene_destroy(struct viz_scene *scene)
{
	if (!scene)
		return;
	scene_drop_imports(scene);
	for (unsigned i = 0; i < N_BANKS; i++)
		gpu_buffer_destroy(scene->banks[i]);
	for (unsigned i = 0; i < N_LANES; i++) {
		gpu_batch_destroy(scene->lanes[i].batch);
		gpu_buffer_destroy(scene->lanes[i].staging);
		gpu_buffer_destroy(scene->lanes[i].arrived);
	}
	struct gpu_buffer *const buffers[] = { scene->looks, scene->pages, scene->grid,
					       scene->changes, scene->uniform };
	for (size_t i = 0; i < sizeof(buffers) / sizeof(*buffers); i++)
		gpu_buffer_destroy(buffers[i]);
	gpu_kernel_destroy(scene->bring);
	gpu_kernel_destroy(scene->build);
	gpu_kernel_destroy(scene->widen);
	VEC_FREE(&scene->touched);
	VEC_FREE(&scene->free_slots);
	VEC_FREE(&scene->imports);
	VEC_FREE(&scene->list);
	free(scene->touched_bits);
	free(scene->mirror);
	free(scene);
}

void viz_scene_bind(const struct viz_scene *scene, struct gpu_bind *binds)
{
	for (unsigned i = 0; i < N_BANKS; i++)
		binds[1 + i].buffer = scene->banks[i] ? scene->banks[i] : scene->banks[0];
	binds[5].buffer = scene->looks;
	binds[6].buffer = scene->pages;
	binds[7].buffer = scene->grid;
}

void viz_scene_describe(const struct viz_scene *scene, struct viz_view *view)
{
	view->order = scene->order;
	view->bank_shift = scene->bank_shift;
	view->n_pages = (uint32_t)scene->n_frames;
}

struct error *scene_upload_uniform(struct viz_scene *scene, struct gpu_batch *batch)
{
	struct viz_view view = { 0 };
	viz_scene_describe(scene, &view);
	return gpu_batch_upload(batch, scene->uniform, 0, &view, sizeof(view));
}

static struct error *record_grid(struct viz_scene *scene, struct gpu_batch *batch)
{
	struct gpu_bind binds[GPU_BINDINGS_MAX] = { 0 };
	viz_scene_bind(scene, binds);
	binds[0].buffer = scene->uniform;
	uint32_t blocks = blocks_of(scene);
	struct gpu_dispatch dispatch = { .binds = binds, .groups = { blocks, blocks, blocks } };
	dispatch.kernel = scene->build;
	TRY(gpu_batch_dispatch(batch, &dispatch));
	dispatch.kernel = scene->widen;
	if (blocks > 1)
		TRY(gpu_batch_dispatch(batch, &dispatch));
	scene->grid_is_old = false;
	return NULL;
}

/* --- attributes --- */

static void touch(struct viz_scene *scene, uint64_t frame)
{
	uint32_t bit = 1u << frame % 32;
	if (scene->touched_bits[frame / 32] & bit)
		return;
	if (VEC_PUSH(&scene->touched, (uint32_t)frame))
		scene->touched_bits[frame / 32] |= bit;
}

static void set_attributes(struct viz_scene *scene, uint64_t frame, uint32_t value)
{
	if (frame >= scene->n_frames || scene->mirror[frame].attributes == value)
		return;
	if ((scene->mirror[frame].attributes ^ value) & (VIZ_PAGE_HIDDEN | VIZ_PAGE_SELECTED))
		scene->grid_is_old = true;
	scene->mirror[frame].attributes = value;
	touch(scene, frame);
}

uint32_t viz_scene_attributes(const struct viz_scene *scene, uint64_t frame)
{
	return frame < scene->n_frames ? scene->mirror[frame].attributes : 0;
}

void viz_scene_set_kind(struct viz_scene *scene, uint64_t frame, unsigned kind)
{
	uint32_t old = viz_scene_attributes(scene, frame);
	set_attributes(scene, frame, (old & ~0xffu) | (kind & 0xff));
}

void viz_scene_set_owner(struct viz_scene *scene, uint64_t frame, unsigned owner_slot)
{
	uint32_t old = viz_scene_attributes(scene, frame);
	set_attributes(scene, frame, (old & ~0xff00u) | (owner_slot & 0xff) << 8);
}

void viz_scene_set_flags(struct viz_scene *scene, uint64_t frame, uint32_t set, uint32_t clear)
{
	const uint32_t allowed = VIZ_PAGE_HIDDEN | VIZ_PAGE_SELECTED;
	uint32_t old = viz_scene_attributes(scene, frame);
	set_attributes(scene, frame, (old & ~(clear & allowed)) | (set & allowed));
}

/* Sends attributes that changed; bytes and looks stay. */
static struct error *send_touched(struct viz_scene *scene)
{
	scene->list.count = 0;
	for (size_t i = 0; i < scene->touched.count; i++) {
		uint32_t frame = scene->touched.items[i];
		const struct scene_page *page = &scene->mirror[frame];
		scene->touched_bits[frame / 32] &= ~(1u << frame % 32);
		if (scene->list.count == CHUNK_PAGES)
			TRY(scene_send_list(scene));
		TRY(scene_add_change(scene, &(struct change){ .page = frame,
							      .slot = page->slot,
							      .attributes = page->attributes,
							      .written = page->written,
							      .source = VIZ_NONE,
							      .look = VIZ_NONE }));
	}
	scene->touched.count = 0;
	return scene_finish_lists(scene);
}

struct error *viz_scene_flush(struct viz_scene *scene)
{
	TRY(send_touched(scene));
	if (!scene->grid_is_old)
		return NULL;
	AUTO(own_gpu_batch) struct gpu_batch *batch = NULL;
	TRY(gpu_batch_begin(scene->gpu, &batch));
	TRY(scene_upload_uniform(scene, batch));
	TRY(record_grid(scene, batch));
	TRY(gpu_batch_submit(batch));
	return gpu_batch_wait(batch, 0);
}

struct error *viz_scene_guess_kinds(struct viz_scene *scene, struct phys_mem *mem)
{
	uint8_t page[PHYS_PAGE_SIZE];
	for (uint64_t frame = 0; frame < scene->n_frames; frame++) {
		if (!(scene->mirror[frame].attributes & VIZ_PAGE_DATA))
			continue;
		if (phys_mem_read(mem, frame * PHYS_PAGE_SIZE, page, sizeof(page)))
			viz_scene_set_kind(scene, frame, viz_content_guess(page));
	}
	return viz_scene_flush(scene);
}

unsigned viz_scene_order(const struct viz_scene *scene)
{
	return scene->order;
}

uint64_t viz_scene_frames(const struct viz_scene *scene)
{
	return scene->n_frames;
}

void viz_scene_stats(const struct viz_scene *scene, struct viz_scene_stats *ret)
{
	*ret = scene->stats;
	ret->source = scene->source == VIZ_SOURCE_IMPORT ? "import" : "staging";
}

static void grow(struct viz_bounds *bounds, const struct hilbert_box *box)
{
	const uint32_t at[3] = { box->at.x, box->at.y, box->at.z };
	const uint32_t size[3] = { box->size.x, box->size.y, box->size.z };
	for (unsigned i = 0; i < 3; i++) {
		float low = (float)at[i], high = (float)(at[i] + size[i]);
		bounds->low[i] = low < bounds->low[i] ? low : bounds->low[i];
		bounds->high[i] = high > bounds->high[i] ? high : bounds->high[i];
	}
}

struct viz_bounds viz_scene_bounds(const struct viz_scene *scene, uint64_t first, uint64_t end)
{
	struct viz_bounds bounds = viz_bounds_none;
	struct hilbert_box boxes[6 * HILBERT_ORDER_MAX];
	size_t count = hilbert_cover(scene->order, first, end, boxes, 6 * HILBERT_ORDER_MAX);
	for (size_t i = 0; i < count; i++)
		grow(&bounds, &boxes[i]);
	return bounds;
}

/* Box around the drawn pages of one block of 512; empty without any. walk is at its first page
 * and leaves at the last. */
static struct viz_bounds block_bounds(const struct viz_scene *scene, struct hilbert_walk *walk,
				      uint64_t first)
{
	struct viz_bounds bounds = viz_bounds_none;
	for (uint64_t frame = first; frame < first + BLOCK_PAGES && frame < scene->n_frames;
	     frame++) {
		if (frame)
			hilbert_walk_next(walk);
		uint32_t attributes = scene->mirror[frame].attributes;
		if (!(attributes & VIZ_PAGE_DATA) || attributes & VIZ_PAGE_HIDDEN)
			continue;
		grow(&bounds,
		     &(struct hilbert_box){ hilbert_walk_brick(walk)->at, { 16, 16, 16 } });
	}
	return bounds;
}

struct error *viz_scene_data_boxes(const struct viz_scene *scene, struct viz_bounds **ret,
				   size_t *n_ret)
{
	AUTO(own_free) struct viz_bounds *boxes = NULL;
	size_t n = 0;
	struct hilbert_walk walk;
	TRY(error_alloc(scene->n_frames / BLOCK_PAGES + 1, sizeof(*boxes), &boxes));
	hilbert_walk_init(&walk, scene->order, 0);
	for (uint64_t first = 0; first < scene->n_frames; first += BLOCK_PAGES) {
		boxes[n] = block_bounds(scene, &walk, first);
		n += boxes[n].low[0] < boxes[n].high[0];
	}
	if (!n)
		boxes[n++] = viz_scene_bounds(scene, 0, scene->n_frames * PHYS_PAGE_SIZE);
	*ret = TAKE(boxes);
	*n_ret = n;
	return NULL;
}
