#include "box/bench_viz.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "base/vec.h"
#include "gpu/device.h"
#include "viz/dense.h"
#include "viz/frame.h"
#include "viz/palette.h"
#include "viz/scene.h"
#include "vm/dump.h"

enum {
	FRAMES = 41, /* drawn for a median */
	CAMERAS = 60, /* looked from for the worst view */
	MADE_UP_BYTES = 64 << 20,
};

struct bench {
	struct viz_frames *frames;
	struct phys_mem mem; /* in `bytes`, or borrowed from dump */
	struct phys_segment segment;
	struct phys_mem *dump;
	uint8_t *bytes;
	uint64_t size_bytes;
	uint64_t *dirty;
	bool is_software;
	json_t *rows; /* borrowed */
};

static void bench_deinit(struct bench *bench)
{
	viz_frames_destroy(bench->frames);
	phys_mem_destroy(bench->dump);
	free(bench->bytes);
	free(bench->dirty);
}

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	return z ^ z >> 27;
}

/* One measured value beside a named baseline of the same run. goal 0: none. */
struct row {
	const char *name, *unit, *baseline;
	double value, baseline_value, goal;
	bool higher_is_better;
};

static struct error *add_row(struct bench *bench, const struct row *row)
{
	double ratio = 0;
	if (row->value > 0 && row->baseline_value > 0)
		ratio = row->higher_is_better ? row->value / row->baseline_value
					      : row->baseline_value / row->value;
	bool pass = row->higher_is_better ? row->value >= row->goal : row->value <= row->goal;
	json_t *object =
		json_pack("{s:s, s:f, s:s, s:{s:s, s:f}, s:f, s:o, s:o}", "name", row->name,
			  "value", row->value, "unit", row->unit, "baseline", "name",
			  row->baseline, "value", row->baseline_value, "ratio", ratio, "goal",
			  row->goal > 0 ? json_real(row->goal) : json_null(), "pass",
			  row->goal > 0 ? json_boolean(pass) : json_null());
	if (!object || json_array_append_new(bench->rows, object))
		return error_create(ERR_MEMORY, "no memory for a result");
	return NULL;
}

/* --- the memory --- */

/* Structures, text, code-like and random pages, and as many empty ones. */
static void make_up(uint8_t *bytes, uint64_t size)
{
	uint64_t seed = 5;
	for (uint64_t page = 0; page < size / PHYS_PAGE_SIZE; page++) {
		uint8_t *at = bytes + page * PHYS_PAGE_SIZE;
		unsigned kind = (unsigned)(page / 64 * 5 % 8);
		for (unsigned i = 0; kind < 4 && i < PHYS_PAGE_SIZE; i++) {
			uint64_t r = next_random(&seed);
			at[i] = kind == 0   ? (uint8_t)r
				: kind == 1 ? (uint8_t)('a' + r % 26)
				: kind == 2 ? (uint8_t)(i % 32 < 9 ? r >> 9 : 0)
					    : (uint8_t)(r % 5 ? r >> 11 & 0x7f : 0);
		}
	}
}

static bool is_zero(const uint8_t *page)
{
	return !page[0] && !memcmp(page, page + 1, PHYS_PAGE_SIZE - 1);
}

/* Pages of zeros become copies of the pages with data, in turn. */
static void fill_zeros(uint8_t *bytes, uint64_t size)
{
	uint64_t donor = 0, n_pages = size / PHYS_PAGE_SIZE;
	VEC(uint64_t) donors = { 0 };
	for (uint64_t page = 0; page < n_pages; page++)
		if (!is_zero(bytes + page * PHYS_PAGE_SIZE))
			(void)VEC_PUSH(&donors, page);
	for (uint64_t page = 0; donors.count && page < n_pages; page++)
		if (is_zero(bytes + page * PHYS_PAGE_SIZE))
			memcpy(bytes + page * PHYS_PAGE_SIZE,
			       bytes + donors.items[donor++ % donors.count] * PHYS_PAGE_SIZE,
			       PHYS_PAGE_SIZE);
	VEC_FREE(&donors);
}

static struct error *copy_dump(struct bench *bench)
{
	uint64_t start, end, at = 0;
	while (phys_mem_next_data(bench->dump, at, &start, &end) && end > at) {
		if (!phys_mem_read(bench->dump, start, bench->bytes + start, end - start))
			return error_create(ERR_BAD_DATA, "cannot read the dump");
		at = end;
	}
	return NULL;
}

static struct error *prepare_memory(struct bench *bench, const struct bench_viz_params *params)
{
	bench->size_bytes = MADE_UP_BYTES;
	if (params->file) {
		TRY(dump_open(params->file, &bench->dump));
		bench->size_bytes = phys_mem_end(bench->dump);
	}
	bench->size_bytes -= bench->size_bytes % PHYS_PAGE_SIZE;
	TRY(error_alloc(bench->size_bytes, 1, &bench->bytes));
	if (params->file)
		TRY(copy_dump(bench));
	else
		make_up(bench->bytes, bench->size_bytes);
	if (params->fill)
		fill_zeros(bench->bytes, bench->size_bytes);
	bench->segment =
		(struct phys_segment){ .size_bytes = bench->size_bytes, .host = bench->bytes };
	bench->mem = (struct phys_mem){ .segments = &bench->segment, .n_segments = 1 };
	return NULL;
}

/* --- views --- */

static int by_value(const void *a, const void *b)
{
	double l = *(const double *)a, r = *(const double *)b;
	return l < r ? -1 : l > r;
}

/* On the CPU drawing takes processor time; others' load must not count. */
static double now_ms(bool of_process)
{
	struct timespec t;
	clock_gettime(of_process ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Median GPU milliseconds of a view, drawn without pauses: a GPU that waits between frames
 * lowers its clock. The first batches are for the clock to rise. */
static struct error *time_on_gpu(struct bench *bench, const struct viz_view *view, double *ret)
{
	double took[VIZ_TIMES_MAX];
	uint64_t ns[VIZ_TIMES_MAX];
	double start = now_ms(false);
	do {
		TRY(viz_render_times(viz_frames_renderer(bench->frames),
				     viz_frames_scene(bench->frames), view, VIZ_TIMES_MAX, ns));
	} while (now_ms(false) - start < 150);
	for (unsigned i = 0; i < VIZ_TIMES_MAX; i++)
		took[i] = (double)ns[i] / 1e6;
	qsort(took, VIZ_TIMES_MAX, sizeof(*took), by_value);
	*ret = took[VIZ_TIMES_MAX / 2];
	return NULL;
}

/* Median milliseconds of drawing a view: GPU time; without a GPU the processor time of all
 * threads, divided by two, which is the wall time on two quiet cores. */
static struct error *time_view(struct bench *bench, const struct viz_view *view,
			       unsigned frames, double *ret)
{
	double took[FRAMES];
	if (!bench->is_software && gpu_info(viz_frames_gpu(bench->frames))->can_time)
		return time_on_gpu(bench, view, ret);
	TRY(viz_frames_draw(bench->frames, view, NULL, NULL));
	for (unsigned i = 0; i < frames; i++) {
		double start = now_ms(bench->is_software);
		TRY(viz_frames_draw(bench->frames, view, NULL, NULL));
		took[i] = (now_ms(bench->is_software) - start) / (bench->is_software ? 2 : 1);
	}
	qsort(took, frames, sizeof(*took), by_value);
	*ret = took[frames / 2];
	return NULL;
}

struct camera_place {
	const char *name;
	float yaw, pitch, zoom;
	bool inside;
};

static const struct camera_place places[] = {
	{ "whole", 38, 27, 1, false },
	{ "mid", 38, 27, 2.5f, false },
	{ "inside", 70, 12, 1, true },
	{ "opaque", 20, 15, 6, false },
};

static struct viz_view view_of(struct bench *bench, const struct camera_place *place,
			       uint32_t width, uint32_t height)
{
	struct viz_view view;
	struct viz_camera camera = { .yaw = place->yaw, .pitch = place->pitch };
	struct viz_bounds bounds = viz_scene_data_bounds(viz_frames_scene(bench->frames));
	viz_view_init(&view, width, height);
	viz_camera_fit(&camera, &bounds, (float)width / (float)height);
	camera.distance /= place->zoom;
	if (place->inside)
		camera.distance = (bounds.high[0] - bounds.low[0]) * 0.2f;
	viz_view_aim(&view, &camera);
	/* In the midst of memory a sphere around the eye is kept free to look through. */
	if (place->inside)
		view.sphere = (struct viz_vec){ view.eye.x, view.eye.y, view.eye.z, 90 };
	return view;
}

static struct error *bench_views(struct bench *bench, uint32_t width, uint32_t height,
				 double goal)
{
	unsigned frames = bench->is_software ? 5 : FRAMES;
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		struct viz_view view = view_of(bench, &places[i], width, height), exact = view;
		double took, baseline;
		char name[64];
		exact.flags |= VIZ_EXACT;
		TRY(time_view(bench, &view, frames, &took));
		TRY(time_view(bench, &exact, bench->is_software ? 1 : 5, &baseline));
		snprintf(name, sizeof(name), "frame %s %ux%u", places[i].name, width, height);
		TRY(add_row(bench, &(struct row){ .name = name,
						  .unit = "ms",
						  .value = took,
						  .baseline = "without levels of detail",
						  .baseline_value = baseline,
						  .goal = goal }));
	}
	return NULL;
}

static struct error *bench_worst(struct bench *bench)
{
	double worst = 0, sum = 0;
	uint64_t seed = 3;
	for (unsigned i = 0; i < CAMERAS; i++) {
		struct camera_place place = { "random", (float)(next_random(&seed) % 360),
					      (float)(next_random(&seed) % 120) - 60,
					      0.8f + (float)(next_random(&seed) % 100) / 12,
					      next_random(&seed) % 4 == 0 };
		struct viz_view view = view_of(bench, &place, 1920, 1080);
		double took;
		TRY(time_view(bench, &view, 3, &took));
		worst = took > worst ? took : worst;
		sum += took;
	}
	return add_row(bench, &(struct row){ .name = "frame worst of 60 views 1920x1080",
					     .unit = "ms",
					     .value = worst,
					     .baseline = "mean of the 60 views",
					     .baseline_value = sum / CAMERAS,
					     .goal = 1.5 });
}

static struct error *bench_dense(struct bench *bench)
{
	AUTO(own_viz_dense) struct viz_dense *dense = NULL;
	struct viz_view view = view_of(bench, &places[0], 1920, 1080);
	TRY(viz_dense_create(viz_frames_gpu(bench->frames), viz_frames_scene(bench->frames),
			     &dense));
	double best[2] = { 1e9, 1e9 };
	double busy;
	TRY(time_view(bench, &view, 1, &busy));
	for (unsigned i = 0; i < 10; i++) {
		uint64_t ns;
		TRY(viz_dense_fill(dense, &view, i & 1, &ns));
		best[i & 1] = (double)ns / 1e6 < best[i & 1] ? (double)ns / 1e6 : best[i & 1];
	}
	uint64_t draw_ns = 0;
	for (unsigned i = 0; i < 3; i++)
		TRY(viz_dense_draw(dense, &view, NULL, &draw_ns));
	double sparse;
	TRY(time_view(bench, &view, 5, &sparse));
	unsigned order = viz_scene_order(viz_frames_scene(bench->frames));
	TRY(add_row(bench, &(struct row){ .name = "frame whole, sparse beside dense",
					  .unit = "ms",
					  .value = sparse,
					  .baseline = "dense volume voxel by voxel, no light",
					  .baseline_value = (double)draw_ns / 1e6 }));
	return add_row(bench, &(struct row){ .name = "dense volume of all voxels",
					     .unit = "ms",
					     .value = best[1],
					     .baseline = "Skilling's loop in every voxel",
					     .baseline_value = best[0],
					     .goal = order == 10 ? 3 : 0 });
}

static struct error *bench_update(struct bench *bench)
{
	struct viz_scene_stats all, some;
	viz_scene_stats(viz_frames_scene(bench->frames), &all);
	uint64_t n_pages = bench->size_bytes / PHYS_PAGE_SIZE, seed = 4;
	TRY(error_alloc(n_pages / 10 + 1, sizeof(*bench->dirty), &bench->dirty));
	for (uint64_t i = 0; i < n_pages / 10; i++) {
		bench->dirty[i] = 10 * i + next_random(&seed) % 10;
		bench->bytes[bench->dirty[i] * PHYS_PAGE_SIZE + i % PHYS_PAGE_SIZE] ^= 0x55;
	}
	double took[5], moved[5];
	for (unsigned i = 0; i < 5; i++) {
		TRY(viz_frames_update(bench->frames, bench->dirty, n_pages / 10, i + 1));
		viz_scene_stats(viz_frames_scene(bench->frames), &some);
		took[i] = (double)some.last_gpu_ns / 1e6;
		moved[i] = (double)some.last_transfer_ns / 1e6;
	}
	qsort(took, 5, sizeof(*took), by_value);
	qsort(moved, 5, sizeof(*moved), by_value);
	TRY(add_row(bench, &(struct row){ .name = "update of 10 % dirty pages, on the GPU",
					  .unit = "ms",
					  .value = took[2],
					  .baseline = "all pages",
					  .baseline_value = (double)all.last_gpu_ns / 1e6,
					  .goal = bench->is_software ? 0 : 1 }));
	if (moved[2] <= 0)
		return NULL;
	return add_row(bench,
		       &(struct row){ .name = "update of 10 % dirty pages, over the bus",
				      .unit = "ms",
				      .value = moved[2],
				      .baseline = "all pages",
				      .baseline_value = (double)all.last_transfer_ns / 1e6 });
}

static struct error *bench_memory(struct bench *bench)
{
	struct viz_scene_stats stats;
	viz_scene_stats(viz_frames_scene(bench->frames), &stats);
	unsigned order = viz_scene_order(viz_frames_scene(bench->frames));
	double besides = (double)(stats.gpu_bytes - stats.gpu_ram_bytes);
	double volume = (double)(UINT64_C(4) << 3 * order);
	return add_row(bench, &(struct row){ .name = "GPU memory beside the guest's bytes",
					     .unit = "% of RAM",
					     .value = 100 * besides / (double)bench->size_bytes,
					     .baseline = "dense RGBA8 volume",
					     .baseline_value =
						     100 * volume / (double)bench->size_bytes,
					     .goal = 10 });
}

static struct error *bench_software(struct bench *bench)
{
	struct viz_view view = view_of(bench, &places[0], 640, 360), exact = view;
	double took, baseline;
	exact.flags |= VIZ_EXACT;
	TRY(time_view(bench, &view, 9, &took));
	TRY(time_view(bench, &exact, 3, &baseline));
	return add_row(bench,
		       &(struct row){ .name = "frames a second without a GPU 640x360, 2 cores",
				      .unit = "1/s",
				      .value = 1000 / took,
				      .baseline = "without levels of detail",
				      .baseline_value = 1000 / baseline,
				      .goal = 10,
				      .higher_is_better = true });
}

struct error *bench_viz(const struct bench_viz_params *params, json_t *rows)
{
	AUTO(bench_deinit) struct bench bench = { .rows = rows };
	TRY(prepare_memory(&bench, params));
	TRY(viz_frames_create(
		&(struct viz_frames_params){ .device = params->device, .mem = &bench.mem },
		&bench.frames));
	const struct gpu_info *info = gpu_info(viz_frames_gpu(bench.frames));
	bench.is_software = info->is_software;
	TRY(bench_memory(&bench));
	if (bench.is_software) {
		TRY(bench_software(&bench));
		TRY(bench_views(&bench, 640, 360, 0));
	} else {
		TRY(bench_views(&bench, 1920, 1080, 0.7));
		TRY(bench_worst(&bench));
		TRY(bench_views(&bench, 3840, 2160, 4));
	}
	bool fits = info->local_bytes > UINT64_C(8) << 30 &&
		    viz_scene_order(viz_frames_scene(bench.frames)) <= 10;
	if (!bench.is_software && fits)
		TRY(bench_dense(&bench));
	return bench_update(&bench);
}
