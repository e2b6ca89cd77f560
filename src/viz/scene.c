#include "viz/scene.h"

#include <string.h>

#include "base/bytes.h"
#include "base/phys_mem.h"
#include "base/vec.h"
#include "gpu/batch.h"
#include "gpu/buffer.h"
#include "gpu/device.h"
#include "viz/hilbert.h"
#include "viz/palette.h"
#include "viz/shaders.h"

/*
 * Rules.
 * 1. A page with a byte that is not zero wants a slot: 4 KiB in a bank and 73 looks. Slots are
 *    given in the order pages are met and given back when a page becomes all zeros. Without a
 *    free slot the page is drawn from its one look, worked out here.
 * 2. Every change, of bytes or of attributes, is one entry of a list that the kernel
 * bring_pages works through; nothing else writes banks, looks or pages after creation.
 * 3. The grid is made again when the set of drawn pages changed: it costs microseconds.
 */
enum {
	N_BANKS = 4,
	LOOK_WORDS = 73, /* of a slot: 64 of 64 bytes, 8 of 512 bytes, 1 of the page */
	CHUNK_PAGES = 4096, /* staged at a time */
	ORDER_MAX = 12, /* 64 GiB: the grid then takes 64 MiB */
	TABLE_WORDS = 49152, /* ORDER GRID_TURNS in shaders/grid.wgsl */
	TURN_WORDS = 2 * HILBERT_STATES * 8,
};

/* ORDER pages in shaders/bring.wgsl. look lives on the GPU alone. */
struct page {
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

struct viz_scene {
	struct gpu *gpu;
	unsigned order, bank_shift;
	uint64_t n_frames;
	uint32_t n_slots, next_slot;
	bool grid_is_old, imports_tried;
	enum viz_source source;
	struct gpu_buffer *banks[N_BANKS], *looks, *pages, *grid, *changes, *staging, *uniform;
	struct gpu_buffer
		*arrived; /* copy of staging on the GPU; NULL where it is the same memory */
	struct gpu_kernel *bring, *build, *widen;
	struct page *mirror;
	uint32_t *touched_bits; /* pages whose attributes wait for the GPU */
	VEC(uint32_t) touched;
	VEC(uint32_t) free_slots;
	VEC(struct import) imports;
	VEC(struct change) list; /* of the chunk being gathered; [0] is the head */
	uint64_t chunk_gpa; /* of the import window that the chunk reads from */
	struct viz_scene_stats stats;
};

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

static uint64_t power_below(uint64_t value)
{
	return UINT64_C(1) << (63 - __builtin_clzll(value));
}

/* Room for the bytes: up to four banks, each no larger than one binding can be. */
static struct error *create_banks(struct viz_scene *scene,
				  const struct viz_scene_params *params)
{
	const struct gpu_info *info = gpu_info(scene->gpu);
	uint64_t most = info->max_storage_range < info->max_buffer_bytes
				? info->max_storage_range
				: info->max_buffer_bytes;
	uint64_t bank_pages = power_below(most < UINT64_C(1) << 30 ? most : UINT64_C(1) << 30) /
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
	uint32_t *digits = (uint32_t *)room + TABLE_WORDS, *turns = digits + TURN_WORDS / 2;
	for (unsigned state = 0; state < HILBERT_STATES; state++) {
		for (unsigned octant = 0; octant < 8; octant++) {
			unsigned digit = HILBERT_DIGIT[state][octant];
			digits[state * 8 + octant] = digit;
			turns[state * 8 + octant] = HILBERT_NEXT[state][digit];
		}
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
	TRY(gpu_buffer_create(scene->gpu, GPU_BUFFER_UPLOAD, CHUNK_PAGES * PHYS_PAGE_SIZE,
			      &scene->staging));
	if (!gpu_info(scene->gpu)->is_software)
		TRY(device_buffer(scene, CHUNK_PAGES * PHYS_PAGE_SIZE, &scene->arrived));
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

static void drop_imports(struct viz_scene *scene)
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
	drop_imports(scene);
	for (unsigned i = 0; i < N_BANKS; i++)
		gpu_buffer_destroy(scene->banks[i]);
	gpu_buffer_destroy(scene->arrived);
	struct gpu_buffer *const buffers[] = { scene->looks,   scene->pages,   scene->grid,
					       scene->changes, scene->staging, scene->uniform };
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

static struct error *upload_uniform(struct viz_scene *scene, struct gpu_batch *batch)
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

/* --- lists of changes --- */

static void begin_list(struct viz_scene *scene)
{
	scene->list.count = 0;
}

static struct gpu_buffer *source_of_list(struct viz_scene *scene)
{
	if (scene->source == VIZ_SOURCE_IMPORT)
		for (size_t i = 0; i < scene->imports.count; i++)
			if (scene->imports.items[i].gpa == scene->chunk_gpa)
				return scene->imports.items[i].buffer;
	return scene->arrived ? scene->arrived : scene->staging;
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
	TRY(upload_uniform(scene, batch));
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

/* Sends what was gathered and waits, so that the staging memory can be filled again. */
static struct error *send_list(struct viz_scene *scene)
{
	if (!scene->list.count)
		return NULL;
	AUTO(own_gpu_batch) struct gpu_batch *batch = NULL;
	TRY(gpu_batch_begin(scene->gpu, &batch));
	unsigned start = gpu_batch_timestamp(batch);
	if (source_of_list(scene) == scene->arrived && list_has_bytes(scene))
		gpu_batch_copy(batch, scene->staging, 0, scene->arrived, 0,
			       scene->list.count * PHYS_PAGE_SIZE);
	unsigned first = gpu_batch_timestamp(batch);
	TRY(record_list(scene, batch));
	unsigned second = gpu_batch_timestamp(batch);
	TRY(gpu_batch_submit(batch));
	TRY(gpu_batch_wait(batch, 0));
	scene->stats.last_gpu_ns += gpu_batch_elapsed_ns(batch, first, second);
	if (scene->arrived)
		scene->stats.last_transfer_ns += gpu_batch_elapsed_ns(batch, start, first);
	scene->stats.last_changes += scene->list.count;
	begin_list(scene);
	return NULL;
}

static struct error *add_change(struct viz_scene *scene, const struct change *change)
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
	struct page *page = &scene->mirror[frame];
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
	uint64_t window = power_below(gpu_info(scene->gpu)->max_storage_range);
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
	drop_imports(scene);
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
		TRY(send_list(scene));
	scene->chunk_gpa = import->gpa;
	*ret = (uint32_t)((gpa - import->gpa) / PHYS_PAGE_SIZE);
	return NULL;
}

static struct error *bring_page(struct viz_scene *scene, struct phys_mem *mem, uint64_t frame,
				uint32_t now)
{
	if (scene->list.count == CHUNK_PAGES)
		TRY(send_list(scene));
	uint64_t gpa = frame * PHYS_PAGE_SIZE;
	uint32_t source;
	TRY(source_page(scene, gpa, &source));
	uint8_t copy[PHYS_PAGE_SIZE];
	uint8_t *room = copy;
	if (scene->source != VIZ_SOURCE_IMPORT)
		room = (uint8_t *)gpu_buffer_map(scene->staging) +
		       (size_t)source * PHYS_PAGE_SIZE;
	const uint8_t *bytes =
		scene->source == VIZ_SOURCE_IMPORT ? phys_mem_at(mem, gpa, sizeof(copy)) : NULL;
	if (!bytes) {
		if (!phys_mem_read(mem, gpa, room, sizeof(copy)))
			memset(room, 0, sizeof(copy));
		bytes = room;
	}
	bool has_data = !is_zero_page(bytes);
	struct page *page = &scene->mirror[frame];
	if (!has_data && !(page->attributes & VIZ_PAGE_DATA))
		return NULL;
	settle_page(scene, frame, has_data);
	if (now)
		page->written = now;
	scene->stats.last_bytes += has_data ? PHYS_PAGE_SIZE : 0;
	return add_change(scene, &(struct change){ .page = (uint32_t)frame,
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
	begin_list(scene);
}

struct error *viz_scene_update(struct viz_scene *scene, struct phys_mem *mem,
			       const uint64_t *frames, size_t n, uint32_t now)
{
	prepare_source(scene, mem);
	begin_update(scene);
	for (size_t i = 0; i < n; i++)
		if (frames[i] < scene->n_frames)
			TRY(bring_page(scene, mem, frames[i], now));
	return send_list(scene);
}

struct error *viz_scene_load(struct viz_scene *scene, struct phys_mem *mem)
{
	drop_imports(scene);
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
	TRY(send_list(scene));
	return viz_scene_flush(scene);
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
	begin_list(scene);
	for (size_t i = 0; i < scene->touched.count; i++) {
		uint32_t frame = scene->touched.items[i];
		const struct page *page = &scene->mirror[frame];
		scene->touched_bits[frame / 32] &= ~(1u << frame % 32);
		if (scene->list.count == CHUNK_PAGES)
			TRY(send_list(scene));
		TRY(add_change(scene, &(struct change){ .page = frame,
							.slot = page->slot,
							.attributes = page->attributes,
							.written = page->written,
							.source = VIZ_NONE,
							.look = VIZ_NONE }));
	}
	scene->touched.count = 0;
	return send_list(scene);
}

struct error *viz_scene_flush(struct viz_scene *scene)
{
	TRY(send_touched(scene));
	if (!scene->grid_is_old)
		return NULL;
	AUTO(own_gpu_batch) struct gpu_batch *batch = NULL;
	TRY(gpu_batch_begin(scene->gpu, &batch));
	TRY(upload_uniform(scene, batch));
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

struct viz_bounds viz_scene_data_bounds(const struct viz_scene *scene)
{
	struct viz_bounds bounds = viz_bounds_none;
	struct hilbert_walk walk;
	bool any = false;
	for (uint64_t frame = 0; frame < scene->n_frames; frame++) {
		if (frame)
			hilbert_walk_next(&walk);
		else
			hilbert_walk_init(&walk, scene->order, 0);
		uint32_t attributes = scene->mirror[frame].attributes;
		if (!(attributes & VIZ_PAGE_DATA) || attributes & VIZ_PAGE_HIDDEN)
			continue;
		struct hilbert_box brick = { hilbert_walk_brick(&walk)->at, { 16, 16, 16 } };
		grow(&bounds, &brick);
		any = true;
	}
	return any ? bounds : viz_scene_bounds(scene, 0, scene->n_frames * PHYS_PAGE_SIZE);
}
