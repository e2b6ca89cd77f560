#include "box/bench_viz.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "base/vec.h"
#include "box/bench.h"
#include "gpu/batch.h"
#include "gpu/buffer.h"
#include "gpu/device.h"
#include "viz/dense.h"
#include "viz/frame.h"
#include "viz/round_trip.h"
#include "viz/scene.h"
#include "vm/dump.h"

enum {
	FRAMES = 41, /* drawn for a median */
	CAMERAS = 60, /* looked from for the worst view */
	WARM_MS = 250,
	MADE_UP_BYTES = 64 << 20,
};

struct viz_bench {
	struct viz_frames *frames;
	struct phys_mem mem; /* in `bytes`, or borrowed from dump */
	struct phys_segment segment;
	struct phys_mem *dump;
	uint8_t *bytes;
	uint64_t size_bytes;
	uint64_t *dirty;
	bool is_software;
	struct viz_camera whole; /* sees all data */
	json_t *rows; /* borrowed */
};

static void bench_deinit(struct viz_bench *bench)
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

/* Milliseconds beside a baseline; goal 0: none. */
static void add_ms(struct viz_bench *bench, const char *name, double value,
		   const char *baseline, double baseline_value, double goal)
{
	bench_add(bench->rows, &(struct bench_row){ .name = name,
						    .value = value,
						    .unit = "ms",
						    .baseline = baseline,
						    .baseline_value = baseline_value,
						    .smaller_is_better = true,
						    .goal = goal,
						    .goal_is_most = true,
						    .goal_is_for_value = true });
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

static struct error *copy_dump(struct viz_bench *bench)
{
	uint64_t start, end, at = 0;
	while (phys_mem_next_data(bench->dump, at, &start, &end) && end > at) {
		if (!phys_mem_read(bench->dump, start, bench->bytes + start, end - start))
			return error_create(ERR_BAD_DATA, "cannot read the dump");
		at = end;
	}
	return NULL;
}

static struct error *prepare_memory(struct viz_bench *bench,
				    const struct bench_viz_params *params)
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

/* On the CPU drawing takes processor time; others' load must not count. */
static double now_ms(bool of_process)
{
	struct timespec t;
	clock_gettime(of_process ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* GPU milliseconds of a view, drawn without pauses: a GPU that waits between frames lowers its
 * clock, and takes a while to raise it again. So batches are drawn for WARM_MS and the least of
 * their medians counts. */
static struct error *time_on_gpu(struct viz_bench *bench, const struct viz_view *view,
				 double *ret)
{
	double start = now_ms(false), best = 1e9;
	do {
		uint64_t ns[VIZ_TIMES_MAX];
		double took[VIZ_TIMES_MAX];
		TRY(viz_render_times(viz_frames_renderer(bench->frames),
				     viz_frames_scene(bench->frames, 0), view, VIZ_TIMES_MAX,
				     ns));
		for (unsigned i = 0; i < VIZ_TIMES_MAX; i++)
			took[i] = (double)ns[i] / 1e6;
		double median = bench_percentile(took, VIZ_TIMES_MAX, 50);
		best = median < best ? median : best;
	} while (now_ms(false) - start < WARM_MS);
	*ret = best;
	return NULL;
}

/* Median milliseconds of drawing a view: GPU time; without a GPU the processor time of all
 * threads, divided by two, which is the wall time on two quiet cores. */
static struct error *time_view(struct viz_bench *bench, const struct viz_view *view,
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
	*ret = bench_percentile(took, frames, 50);
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

static struct viz_view view_of(struct viz_bench *bench, const struct camera_place *place,
			       uint32_t width, uint32_t height)
{
	struct viz_view view;
	struct viz_camera camera = bench->whole;
	viz_view_init(&view, width, height);
	camera.yaw = place->yaw;
	camera.pitch = place->pitch;
	camera.distance /= place->inside ? 8 : place->zoom;
	viz_view_aim(&view, &camera);
	/* In the midst of memory a sphere around the eye is kept free to look through. */
	if (place->inside)
		view.sphere = (struct viz_vec){ view.eye.x, view.eye.y, view.eye.z, 90 };
	return view;
}

static struct error *bench_views(struct viz_bench *bench, uint32_t width, uint32_t height,
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
		add_ms(bench, name, took, "without levels of detail", baseline, goal);
	}
	return NULL;
}

static struct error *bench_worst(struct viz_bench *bench)
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
	add_ms(bench, "frame worst of 60 views 1920x1080", worst, "mean of the 60 views",
	       sum / CAMERAS, 1.5);
	return NULL;
}

/* Milliseconds of filling as much memory as the volume has with one word: what the bus of the
 * GPU's memory allows at most. */
static struct error *time_filling(struct gpu *gpu, uint64_t bytes, double *ret)
{
	enum { TIMES = 4, PARTS = 4 };
	AUTO(own_gpu_buffer) struct gpu_buffer *buffer = NULL;
	AUTO(own_gpu_batch) struct gpu_batch *batch = NULL;
	TRY(gpu_buffer_create(gpu, GPU_BUFFER_DEVICE, bytes / PARTS, &buffer));
	TRY(gpu_batch_begin(gpu, &batch));
	unsigned first = gpu_batch_timestamp(batch);
	for (unsigned i = 0; i < TIMES; i++) {
		for (unsigned part = 0; part < PARTS; part++)
			gpu_batch_fill(batch, buffer, 0, bytes / PARTS, i);
		gpu_batch_timestamp(batch);
	}
	TRY(gpu_batch_submit(batch));
	TRY(gpu_batch_wait(batch, 0));
	*ret = (double)gpu_batch_elapsed_ns(batch, first + TIMES - 1, first + TIMES) / 1e6;
	return NULL;
}

/* Fastest of five fills of the volume. */
static struct error *time_dense(struct viz_dense *dense, const struct viz_view *view,
				bool by_table, double *ret)
{
	*ret = 1e9;
	for (unsigned i = 0; i < 5; i++) {
		uint64_t ns;
		TRY(viz_dense_fill(dense, view, by_table, &ns));
		*ret = (double)ns / 1e6 < *ret ? (double)ns / 1e6 : *ret;
	}
	return NULL;
}

static struct error *bench_dense(struct viz_bench *bench)
{
	AUTO(own_viz_dense) struct viz_dense *dense = NULL;
	struct gpu *gpu = viz_frames_gpu(bench->frames);
	struct viz_view view = view_of(bench, &places[0], 1920, 1080);
	unsigned order = viz_scene_order(viz_frames_scene(bench->frames, 0));
	double sparse, table, loop, filling;
	uint64_t draw_ns = 0;
	TRY(viz_dense_create(gpu, viz_frames_scene(bench->frames, 0), &dense));
	TRY(time_view(bench, &view, 1, &sparse)); /* raises the clock */
	TRY(time_dense(dense, &view, false, &loop));
	TRY(time_dense(dense, &view, true, &table));
	for (unsigned i = 0; i < 3; i++)
		TRY(viz_dense_draw(dense, &view, NULL, &draw_ns));
	TRY(time_view(bench, &view, 5, &sparse));
	TRY(time_filling(gpu, UINT64_C(4) << 3 * order, &filling));
	add_ms(bench, "frame whole, sparse beside dense", sparse,
	       "dense volume voxel by voxel, no light", (double)draw_ns / 1e6, 0);
	add_ms(bench, "dense volume of all voxels", table, "Skilling's loop in every voxel",
	       loop, order == 10 ? 3 : 0);
	add_ms(bench, "dense volume beside plain filling", table,
	       "the same memory filled with one word", filling, 0);
	return NULL;
}

/* Milliseconds for `count` indices from 0 on, in runs that a binding's counter can take. */
static struct error *time_round_trip(struct viz_bench *bench, uint64_t count, bool by_table,
				     double *ret)
{
	struct viz_round_trip trip = { .order = 10, .by_table = by_table };
	*ret = 0;
	for (uint64_t at = 0; at < count; at += trip.count) {
		uint32_t wrong = 0;
		uint64_t ns = 0;
		trip.first = (uint32_t)at;
		trip.count = count - at < 1 << 26 ? (uint32_t)(count - at) : 1 << 26;
		double start = now_ms(bench->is_software);
		TRY(viz_round_trip(viz_frames_gpu(bench->frames), &trip, &wrong, &ns));
		if (wrong)
			return error_create(ERR_BAD_DATA,
					    "%u indices do not come back from the curve",
					    wrong);
		*ret += bench->is_software ? (now_ms(true) - start) / 2 : (double)ns / 1e6;
	}
	return NULL;
}

/* Skilling's transform there and back; every index checks itself. */
static struct error *bench_curve(struct viz_bench *bench)
{
	uint64_t some = bench->is_software ? 1 << 20 : 1 << 26;
	uint64_t all = bench->is_software ? 1 << 20 : 1 << 30;
	double loop, table, loop_all, table_all;
	TRY(time_round_trip(bench, some, false, &loop)); /* raises the clock */
	TRY(time_round_trip(bench, some, false, &loop));
	TRY(time_round_trip(bench, some, true, &table));
	add_ms(bench,
	       bench->is_software ? "Skilling's transform and back, 2^20 addresses"
				  : "Skilling's transform and back, 2^26 addresses",
	       loop, "back by table", table, bench->is_software ? 0 : 16);
	if (bench->is_software)
		return NULL;
	TRY(time_round_trip(bench, all, false, &loop_all));
	TRY(time_round_trip(bench, all, true, &table_all));
	add_ms(bench, "table equal to loop on all 2^30 indices", table_all,
	       "loop there and back on all", loop_all, 0);
	return NULL;
}

/* Writes into every tenth page. */
static struct error *make_dirty(struct viz_bench *bench, uint64_t *n_ret)
{
	uint64_t n = bench->size_bytes / PHYS_PAGE_SIZE / 10, seed = 4;
	TRY(error_alloc(n + 1, sizeof(*bench->dirty), &bench->dirty));
	for (uint64_t i = 0; i < n; i++) {
		bench->dirty[i] = 10 * i + next_random(&seed) % 10;
		bench->bytes[bench->dirty[i] * PHYS_PAGE_SIZE + i % PHYS_PAGE_SIZE] ^= 0x55;
	}
	*n_ret = n;
	return NULL;
}

/* Milliseconds of copying the dirty pages from host memory to host memory. */
static struct error *time_copy(struct viz_bench *bench, uint64_t n, double *ret)
{
	AUTO(own_free) uint8_t *room = NULL;
	TRY(error_alloc(n, PHYS_PAGE_SIZE, &room));
	for (unsigned round = 0; round < 2; round++) { /* the first one meets new pages */
		double start = now_ms(false);
		for (uint64_t i = 0; i < n; i++)
			memcpy(room + i * PHYS_PAGE_SIZE,
			       bench->bytes + bench->dirty[i] * PHYS_PAGE_SIZE, PHYS_PAGE_SIZE);
		*ret = now_ms(false) - start;
	}
	return NULL;
}

static struct error *bench_update(struct viz_bench *bench)
{
	enum { ROUNDS = 5 };
	struct viz_scene_stats all, some;
	double on_gpu[ROUNDS], on_bus[ROUNDS], whole[ROUNDS], copy;
	uint64_t n;
	viz_scene_stats(viz_frames_scene(bench->frames, 0), &all);
	TRY(make_dirty(bench, &n));
	for (unsigned i = 0; i < ROUNDS; i++) {
		double start = now_ms(false);
		TRY(viz_frames_update(bench->frames, 0, bench->dirty, n, i + 1));
		whole[i] = now_ms(false) - start;
		viz_scene_stats(viz_frames_scene(bench->frames, 0), &some);
		on_gpu[i] = (double)some.last_gpu_ns / 1e6;
		on_bus[i] = (double)some.last_transfer_ns / 1e6;
	}
	TRY(time_copy(bench, n, &copy));
	add_ms(bench, "update of 10 % dirty pages, on the GPU",
	       bench_percentile(on_gpu, ROUNDS, 50), "all pages", (double)all.last_gpu_ns / 1e6,
	       bench->is_software ? 0 : 1);
	double bus = bench_percentile(on_bus, ROUNDS, 50);
	if (bus > 0)
		add_ms(bench, "update of 10 % dirty pages, over the bus", bus, "all pages",
		       (double)all.last_transfer_ns / 1e6, 0);
	add_ms(bench, "update of 10 % dirty pages, from call to done",
	       bench_percentile(whole, ROUNDS, 50), "copying them in host memory", copy, 0);
	return NULL;
}

static void bench_memory(struct viz_bench *bench)
{
	struct viz_scene_stats stats;
	viz_scene_stats(viz_frames_scene(bench->frames, 0), &stats);
	unsigned order = viz_scene_order(viz_frames_scene(bench->frames, 0));
	double besides = (double)(stats.gpu_bytes - stats.gpu_ram_bytes);
	double volume = (double)(UINT64_C(4) << 3 * order);
	double ram = (double)bench->size_bytes;
	bench_add(bench->rows,
		  &(struct bench_row){ .name = "GPU memory beside the guest's bytes",
				       .value = 100 * besides / ram,
				       .unit = "% of RAM",
				       .baseline = "dense RGBA8 volume",
				       .baseline_value = 100 * volume / ram,
				       .smaller_is_better = true,
				       .goal = 10,
				       .goal_is_most = true,
				       .goal_is_for_value = true });
}

static struct error *bench_software(struct viz_bench *bench)
{
	struct viz_view view = view_of(bench, &places[0], 640, 360), exact = view;
	double took, baseline;
	exact.flags |= VIZ_EXACT;
	TRY(time_view(bench, &view, 9, &took));
	TRY(time_view(bench, &exact, 3, &baseline));
	bench_add(bench->rows,
		  &(struct bench_row){ .name = "frames a second without a GPU 640x360, 2 cores",
				       .value = 1000 / took,
				       .unit = "1/s",
				       .baseline = "without levels of detail",
				       .baseline_value = 1000 / baseline,
				       .goal = 10,
				       .goal_is_for_value = true });
	return NULL;
}

struct error *bench_viz(const struct bench_viz_params *params, json_t *rows)
{
	AUTO(bench_deinit) struct viz_bench bench = { .rows = rows };
	TRY(prepare_memory(&bench, params));
	struct viz_volume volume = { .mem = &bench.mem };
	TRY(viz_frames_create(&(struct viz_frames_params){ .device = params->device,
							   .volumes = &volume,
							   .n_volumes = 1 },
			      &bench.frames));
	const struct gpu_info *info = gpu_info(viz_frames_gpu(bench.frames));
	bench.is_software = info->is_software;
	bench.whole = (struct viz_camera){ .yaw = places[0].yaw, .pitch = places[0].pitch };
	TRY(viz_frames_fit(bench.frames, 0, 16 / 9.0f, NULL, &bench.whole));
	bench_memory(&bench);
	if (bench.is_software) {
		TRY(bench_software(&bench));
		TRY(bench_views(&bench, 640, 360, 0));
	} else {
		TRY(bench_views(&bench, 1920, 1080, 0.7));
		TRY(bench_worst(&bench));
		TRY(bench_views(&bench, 3840, 2160, 4));
	}
	bool fits = info->local_bytes > UINT64_C(8) << 30 &&
		    viz_scene_order(viz_frames_scene(bench.frames, 0)) <= 10;
	if (!bench.is_software && fits)
		TRY(bench_dense(&bench));
	TRY(bench_curve(&bench));
	return bench_update(&bench);
}
