#include "viz/scene.h"

#include <string.h>

#include "base/bytes.h"
#include "viz/scene_parts.h"

/* --- lists of changes --- */

static struct scene_lane *lane_of(struct viz_scene *scene)
{
	return &scene->lanes[scene->lane];
}

static struct gpu_buffer *source_of_list(struct viz_scene *scene)
{
	if (scene->source == VIZ_SOURCE_IMPORT)
		for (size_t i = 0; i < scene->imports.count; i++)
			if (scene->imports.items[i].gpa == scene->chunk_gpa)
				return scene->imports.items[i].buffer;
	struct scene_lane *lane = lane_of(scene);
	return lane->arrived ? lane->arrived : lane->staging;
}

/* Lists of attributes alone bring no bytes. */
static bool list_has_bytes(const struct viz_scene *scene)
{
	for (size_t i = 0; i < scene->list.count; i++)
		if (scene->list.items[i].source != VIZ_NONE)
			return true;
	return false;
}

static struct error *record_list(struct viz_scene *scene, struct gpu_batch *batch)
{
	uint32_t count = (uint32_t)scene->list.count;
	uint32_t head[4] = { count };
	TRY(scene_upload_uniform(scene, batch));
	TRY(gpu_batch_upload(batch, scene->changes, 0, head, sizeof(head)));
	TRY(gpu_batch_upload(batch, scene->changes, 16, scene->list.items,
			     count * sizeof(struct change)));
	struct gpu_bind binds[GPU_BINDINGS_MAX] = { 0 };
	viz_scene_bind(scene, binds);
	binds[0].buffer = scene->uniform;
	binds[7].buffer = scene->changes;
	binds[10].buffer = source_of_list(scene);
	return gpu_batch_dispatch(batch, &(struct gpu_dispatch){ .kernel = scene->bring,
								 .binds = binds,
								 .groups = { count } });
}

/* Waits for a lane's batch, if it is under way, and notes its times. */
static struct error *await_lane(struct viz_scene *scene, struct scene_lane *lane)
{
	if (!lane->is_busy)
		return NULL;
	lane->is_busy = false;
	AUTO(own_gpu_batch) struct gpu_batch *batch = TAKE(lane->batch);
	TRY(gpu_batch_wait(batch, 0)); /* a batch that failed is not used again */
	unsigned first = lane->first_stamp;
	scene->stats.last_gpu_ns += gpu_batch_elapsed_ns(batch, first + 1, first + 2);
	if (lane->arrived)
		scene->stats.last_transfer_ns += gpu_batch_elapsed_ns(batch, first, first + 1);
	lane->batch = TAKE(batch);
	return NULL;
}

struct error *scene_send_list(struct viz_scene *scene)
{
	if (!scene->list.count)
		return NULL;
	struct scene_lane *lane = lane_of(scene);
	TRY(lane->batch ? gpu_batch_again(lane->batch)
			: gpu_batch_begin(scene->gpu, &lane->batch));
	struct gpu_batch *batch = lane->batch;
	lane->first_stamp = gpu_batch_timestamp(batch);
	if (source_of_list(scene) == lane->arrived && list_has_bytes(scene))
		gpu_batch_copy(batch, lane->staging, 0, lane->arrived, 0,
			       scene->list.count * PHYS_PAGE_SIZE);
	gpu_batch_timestamp(batch);
	TRY(record_list(scene, batch));
	gpu_batch_timestamp(batch);
	TRY(gpu_batch_submit(batch));
	lane->is_busy = true;
	scene->stats.last_changes += scene->list.count;
	scene->list.count = 0;
	scene->lane = (scene->lane + 1) % N_LANES;
	return await_lane(scene, lane_of(scene));
}

struct error *scene_finish_lists(struct viz_scene *scene)
{
	TRY(scene_send_list(scene));
	for (unsigned i = 0; i < N_LANES; i++)
		TRY(await_lane(scene, &scene->lanes[i]));
	return NULL;
}

struct error *scene_add_change(struct viz_scene *scene, const struct change *change)
{
	if (!VEC_PUSH(&scene->list, *change))
		return error_create(ERR_MEMORY, "no memory for changed pages");
	return NULL;
}

static bool is_zero_page(const uint8_t *page)
{
	uint64_t any = 0;
	for (unsigned i = 0; i < PHYS_PAGE_SIZE && !any; i += 64)
		for (unsigned k = 0; k < 64; k += 8)
			any |= load_u64(page + i + k);
	return !any;
}

static uint32_t take_slot(struct viz_scene *scene)
{
	if (scene->free_slots.count)
		return scene->free_slots.items[--scene->free_slots.count];
	return scene->next_slot < scene->n_slots ? scene->next_slot++ : VIZ_NONE;
}

/* Gives the page a slot if it wants and can have one; takes it away from a page of zeros. */
static void settle_page(struct viz_scene *scene, uint64_t frame, bool has_data)
{
	struct scene_page *page = &scene->mirror[frame];
	bool had_data = page->attributes & VIZ_PAGE_DATA;
	if (had_data != has_data)
		scene->grid_is_old = true;
	scene->stats.data_pages += (uint64_t)has_data - (uint64_t)had_data;
	page->attributes =
		(page->attributes & ~(uint32_t)VIZ_PAGE_DATA) | (has_data ? VIZ_PAGE_DATA : 0);
	if (has_data && page->slot == VIZ_NONE) {
		page->slot = take_slot(scene);
		scene->stats.resident_pages += page->slot != VIZ_NONE;
	} else if (!has_data && page->slot != VIZ_NONE) {
		/* Without memory for the list the slot is lost, which only costs room. */
		(void)VEC_PUSH(&scene->free_slots, page->slot);
		page->slot = VIZ_NONE;
		scene->stats.resident_pages--;
	}
}

/* --- where bytes come from --- */

static struct error *import_window(struct viz_scene *scene, const struct phys_segment *segment,
				   uint64_t at, uint64_t size)
{
	struct import import = { .gpa = segment->gpa + at, .size_bytes = size };
	/* The mapping may be read-only; the kernels only read from it. */
	TRY(gpu_buffer_import(scene->gpu, (void *)(uintptr_t)(segment->host + at), size,
			      &import.buffer));
	if (VEC_PUSH(&scene->imports, import))
		return NULL;
	gpu_buffer_destroy(import.buffer);
	return error_create(ERR_MEMORY, "no memory for imports");
}

static struct error *import_segments(struct viz_scene *scene, struct phys_mem *mem)
{
	uint64_t window = scene_power_below(gpu_info(scene->gpu)->max_storage_range);
	window = window < UINT64_C(1) << 30 ? window : UINT64_C(1) << 30;
	for (size_t i = 0; i < mem->n_segments; i++) {
		const struct phys_segment *segment = &mem->segments[i];
		if (!segment->host)
			return error_create(ERR_UNSUPPORTED, "memory is not mapped");
		for (uint64_t at = 0; at < segment->size_bytes; at += window) {
			uint64_t left = segment->size_bytes - at;
			TRY(import_window(scene, segment, at, left < window ? left : window));
		}
	}
	return NULL;
}

/* Falls back to staging when the mapping cannot be imported after all. */
static void prepare_source(struct viz_scene *scene, struct phys_mem *mem)
{
	if (scene->source != VIZ_SOURCE_IMPORT || scene->imports_tried)
		return;
	scene->imports_tried = true;
	struct error *err = import_segments(scene, mem);
	if (!err)
		return;
	error_destroy(err);
	scene_drop_imports(scene);
	scene->source = VIZ_SOURCE_STAGING;
}

static const struct import *import_of(const struct viz_scene *scene, uint64_t gpa)
{
	for (size_t i = 0; i < scene->imports.count; i++)
		if (gpa - scene->imports.items[i].gpa < scene->imports.items[i].size_bytes)
			return &scene->imports.items[i];
	return NULL;
}

/* Source page of the change, sending the list first when it reads from another window. */
static struct error *source_page(struct viz_scene *scene, uint64_t gpa, uint32_t *ret)
{
	const struct import *import =
		scene->source == VIZ_SOURCE_IMPORT ? import_of(scene, gpa) : NULL;
	if (!import) {
		*ret = (uint32_t)scene->list.count;
		return NULL;
	}
	if (scene->chunk_gpa != import->gpa)
		TRY(scene_send_list(scene));
	scene->chunk_gpa = import->gpa;
	*ret = (uint32_t)((gpa - import->gpa) / PHYS_PAGE_SIZE);
	return NULL;
}

/* The bytes of a page, read once: in place where they are imported, else in `copy`. */
static const uint8_t *page_bytes(struct viz_scene *scene, struct phys_mem *mem, uint64_t gpa,
				 uint8_t copy[PHYS_PAGE_SIZE])
{
	const uint8_t *bytes = NULL;
	if (scene->source == VIZ_SOURCE_IMPORT)
		bytes = phys_mem_at(mem, gpa, PHYS_PAGE_SIZE);
	if (!bytes && !phys_mem_read(mem, gpa, copy, PHYS_PAGE_SIZE))
		memset(copy, 0, PHYS_PAGE_SIZE);
	return bytes ? bytes : copy;
}

/* Staging memory is often not cached: it is written once and never read here. */
static void stage_page(struct viz_scene *scene, uint32_t source, const uint8_t *bytes)
{
	uint8_t *room = gpu_buffer_map(lane_of(scene)->staging);
	if (scene->source != VIZ_SOURCE_IMPORT)
		memcpy(room + (size_t)source * PHYS_PAGE_SIZE, bytes, PHYS_PAGE_SIZE);
}

static struct error *bring_page(struct viz_scene *scene, struct phys_mem *mem, uint64_t frame,
				uint32_t now)
{
	if (scene->list.count == CHUNK_PAGES)
		TRY(scene_send_list(scene));
	uint64_t gpa = frame * PHYS_PAGE_SIZE;
	uint32_t source;
	uint8_t copy[PHYS_PAGE_SIZE];
	TRY(source_page(scene, gpa, &source));
	const uint8_t *bytes = page_bytes(scene, mem, gpa, copy);
	bool has_data = !is_zero_page(bytes);
	struct scene_page *page = &scene->mirror[frame];
	if (!has_data && !(page->attributes & VIZ_PAGE_DATA))
		return NULL;
	settle_page(scene, frame, has_data);
	if (now)
		page->written = now;
	if (has_data)
		stage_page(scene, source, bytes);
	scene->stats.last_bytes += has_data ? PHYS_PAGE_SIZE : 0;
	return scene_add_change(scene, &(struct change){ .page = (uint32_t)frame,
							 .slot = page->slot,
							 .attributes = page->attributes,
							 .written = page->written,
							 .source = has_data ? source : VIZ_NONE,
							 .look = 0 });
}

static void begin_update(struct viz_scene *scene)
{
	scene->stats.last_gpu_ns = scene->stats.last_transfer_ns = 0;
	scene->stats.last_changes = scene->stats.last_bytes = 0;
	scene->list.count = 0;
}

struct error *viz_scene_update(struct viz_scene *scene, struct phys_mem *mem,
			       const uint64_t *frames, size_t n, uint32_t now)
{
	prepare_source(scene, mem);
	begin_update(scene);
	for (size_t i = 0; i < n; i++)
		if (frames[i] < scene->n_frames)
			TRY(bring_page(scene, mem, frames[i], now));
	return scene_finish_lists(scene);
}

struct error *viz_scene_load(struct viz_scene *scene, struct phys_mem *mem)
{
	scene_drop_imports(scene);
	prepare_source(scene, mem);
	begin_update(scene);
	scene->stats.ram_pages = phys_mem_size(mem) / PHYS_PAGE_SIZE;
	uint64_t start, end, at = 0;
	while (phys_mem_next_data(mem, at, &start, &end)) {
		uint64_t frame = start / PHYS_PAGE_SIZE;
		uint64_t last = (end + PHYS_PAGE_SIZE - 1) / PHYS_PAGE_SIZE;
		for (; frame < last && frame < scene->n_frames; frame++)
			TRY(bring_page(scene, mem, frame, 0));
		at = end > at ? end : at + PHYS_PAGE_SIZE;
	}
	TRY(scene_finish_lists(scene));
	return viz_scene_flush(scene);
}
