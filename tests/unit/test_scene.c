/* The sparse renderer against the curve in C, against the dense volume, and against pictures
 * kept in tests/golden/viz (GLASSBOX_BLESS=1 writes them anew). On whatever Vulkan device there
 * is, under the validation layers: any message fails. */
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

#include "base/phys_mem.h"
#include "gpu/device.h"
#include "viz/dense.h"
#include "viz/frame.h"
#include "viz/hilbert.h"
#include "viz/palette.h"
#include "viz/picture.h"
#include "viz/scene.h"
#include "viz/shaders.h"

enum { RAM_BYTES = 3 << 19, WIDTH = 320, HEIGHT = 180 };

static uint8_t *ram;
static struct phys_segment segments[2];
static struct phys_mem mem = { .segments = segments, .n_segments = 2 };
static const struct viz_volume whole = { .mem = &mem };
static struct viz_frames *frames;

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	return z ^ z >> 27;
}

/* Pages of every kind of content: random, text, sparse structures, ramps, and none at all. */
static void fill_page(uint8_t *page, unsigned number, uint64_t *seed)
{
	static const char words[] = "the quick brown fox jumps over the lazy dog\n";
	unsigned kind = number / 8 * 7 % 11 % 6;
	for (unsigned i = 0; i < 4096; i++) {
		uint64_t r = next_random(seed);
		switch (kind) {
		case 0:
			page[i] = (uint8_t)(r >> 20);
			break;
		case 1:
			page[i] = (uint8_t)words[i % (sizeof(words) - 1)];
			break;
		case 2:
			page[i] = i % 64 < 12 ? (uint8_t)(r >> 30) : 0;
			break;
		case 3:
			page[i] = (uint8_t)(i >> 4);
			break;
		default:
			page[i] = 0;
		}
	}
}

/* 1 MiB at 0 and 512 KiB behind a hole of 256 KiB. */
static int open_frames(void **state)
{
	uint64_t seed = 7;
	ram = aligned_alloc(4096, RAM_BYTES);
	for (unsigned i = 0; i < RAM_BYTES / 4096; i++)
		fill_page(ram + 4096 * i, i, &seed);
	segments[0] = (struct phys_segment){ .size_bytes = 1 << 20, .host = ram };
	segments[1] = (struct phys_segment){ .gpa = 5 << 18,
					     .size_bytes = 1 << 19,
					     .host = ram + (1 << 20) };
	if (!viz_shaders[0].name)
		return 0;
	struct error *err = viz_frames_create(&(struct viz_frames_params){ .validate = true,
									   .volumes = &whole,
									   .n_volumes = 1 },
					      &frames);
	if (err)
		print_message("cannot draw: %s\n", error_message(err));
	error_destroy(err);
	return 0;
}

static int close_frames(void **state)
{
	viz_frames_destroy(frames);
	free(ram);
	return 0;
}

static void need_frames(void)
{
	if (!frames)
		skip();
}

static void no_messages(void)
{
	struct gpu *gpu = viz_frames_gpu(frames);
	if (gpu_messages(gpu))
		print_error("validation: %s\n", gpu_last_message(gpu));
	assert_int_equal(gpu_messages(gpu), 0);
}

static struct viz_view make_view(float yaw, float pitch, float zoom)
{
	struct viz_view view;
	struct viz_camera camera = { .yaw = yaw, .pitch = pitch };
	viz_view_init(&view, WIDTH, HEIGHT);
	assert_ok(viz_frames_fit(frames, 0, (float)WIDTH / HEIGHT, NULL, &camera));
	camera.distance /= zoom;
	viz_view_aim(&view, &camera);
	return view;
}

static struct viz_picture *draw(const struct viz_view *view)
{
	struct viz_picture *picture = NULL;
	assert_ok(viz_picture_create(view->width, view->height, &picture));
	assert_ok(viz_frames_draw(frames, view, picture, NULL));
	return picture;
}

/* Share of pixels of which a channel differs by more than `by`. */
static double differing(const uint8_t *a, const uint8_t *b, size_t n_pixels, int by)
{
	size_t count = 0;
	for (size_t i = 0; i < n_pixels; i++) {
		int worst = 0;
		for (size_t c = 0; c < 3; c++) {
			int d = abs(a[4 * i + c] - b[4 * i + c]);
			worst = d > worst ? d : worst;
		}
		count += worst > by;
	}
	return (double)count / (double)n_pixels;
}

static void picks_name_the_byte(void **state)
{
	need_frames();
	struct viz_view view = make_view(38, 27, 1);
	view.flags |= VIZ_EXACT;
	unsigned order = viz_scene_order(viz_frames_scene(frames, 0)), hits = 0;
	for (uint32_t y = 5; y < HEIGHT; y += 11) {
		for (uint32_t x = 5; x < WIDTH; x += 13) {
			struct viz_pick pick;
			unsigned volume;
			assert_ok(viz_frames_pick(frames, &view, x, y, &pick, &volume));
			if (!pick.hit)
				continue;
			hits++;
			struct hilbert_point p = hilbert_skilling_point(order, pick.gpa);
			assert_true(pick.is_exact);
			assert_true(p.x == pick.voxel[0] && p.y == pick.voxel[1] &&
				    p.z == pick.voxel[2]);
			const uint8_t *byte = phys_mem_at(&mem, pick.gpa, 1);
			assert_non_null(byte);
			assert_int_not_equal(*byte, 0);
		}
	}
	assert_true(hits > 60);
	no_messages();
}

/* The same picture from the dense volume, but for ties where a ray runs along an edge. */
static void sparse_is_dense(void **state)
{
	need_frames();
	static const float cameras[][3] = { { 38, 27, 1 }, { -70, -10, 1.5f }, { 190, 60, 4 } };
	AUTO(own_viz_dense) struct viz_dense *dense = NULL;
	assert_ok(
		viz_dense_create(viz_frames_gpu(frames), viz_frames_scene(frames, 0), &dense));
	for (unsigned i = 0; i < 3; i++) {
		struct viz_view view = make_view(cameras[i][0], cameras[i][1], cameras[i][2]);
		view.flags = VIZ_EXACT | VIZ_FLAT;
		view.mode = i == 2 ? VIZ_MODE_BYTE : VIZ_MODE_KIND;
		AUTO(own_viz_picture) struct viz_picture *sparse = draw(&view), *wanted = NULL;
		assert_ok(viz_picture_create(WIDTH, HEIGHT, &wanted));
		assert_ok(viz_dense_fill(dense, &view, false, NULL));
		assert_ok(viz_dense_draw(dense, &view, wanted, NULL));
		double share = differing(sparse->rgba, wanted->rgba, WIDTH * HEIGHT, 3);
		print_message("view %u: %.4f %% of pixels differ\n", i, 100 * share);
		assert_true(share < 0.002);
	}
	no_messages();
}

static void table_fills_what_the_loop_fills(void **state)
{
	need_frames();
	AUTO(own_viz_dense) struct viz_dense *dense = NULL;
	AUTO(own_free) uint8_t *by_loop = NULL, *by_table = NULL;
	struct viz_view view = make_view(0, 0, 1);
	unsigned order = viz_scene_order(viz_frames_scene(frames, 0));
	assert_ok(
		viz_dense_create(viz_frames_gpu(frames), viz_frames_scene(frames, 0), &dense));
	for (view.mode = VIZ_MODE_KIND; view.mode <= VIZ_MODE_HEAT; view.mode++) {
		free(TAKE(by_loop));
		free(TAKE(by_table));
		assert_ok(viz_dense_fill(dense, &view, false, NULL));
		assert_ok(viz_dense_read(dense, &by_loop));
		assert_ok(viz_dense_fill(dense, &view, true, NULL));
		assert_ok(viz_dense_read(dense, &by_table));
		assert_memory_equal(by_loop, by_table, (size_t)4 << 3 * order);
	}
	/* And both are where C says that the bytes are. */
	uint64_t seed = 9;
	for (unsigned i = 0; i < 2000; i++) {
		uint64_t gpa = next_random(&seed) % (7 << 18);
		struct hilbert_point p = hilbert_skilling_point(order, gpa);
		size_t at = (((size_t)p.z << order | p.y) << order) | p.x;
		const uint8_t *byte = phys_mem_at(&mem, gpa, 1);
		assert_int_equal(by_loop[4 * at + 3], byte && *byte ? 255 : 0);
	}
}

/* Bringing in only what changed gives the picture of bringing in everything. */
static void updates_are_enough(void **state)
{
	need_frames();
	struct viz_view view = make_view(38, 27, 1);
	uint64_t changed[40], seed = 11;
	for (unsigned i = 0; i < 40; i++) {
		changed[i] = 5 * i + 2;
		fill_page(ram + 4096 * changed[i], (unsigned)(next_random(&seed) % 64), &seed);
	}
	assert_ok(viz_frames_update(frames, 0, changed, 40, 1000));
	AUTO(own_viz_picture) struct viz_picture *updated = draw(&view);
	struct viz_scene_stats stats;
	viz_scene_stats(viz_frames_scene(frames, 0), &stats);
	assert_true(stats.last_changes > 0 && stats.last_changes <= 40);
	assert_ok(viz_scene_load(viz_frames_scene(frames, 0), &mem));
	AUTO(own_viz_picture) struct viz_picture *loaded = draw(&view);
	assert_memory_equal(updated->rgba, loaded->rgba, (size_t)WIDTH * HEIGHT * 4);
	/* Heat shows what was written. */
	view.mode = VIZ_MODE_HEAT;
	view.now = 1000;
	AUTO(own_viz_picture) struct viz_picture *hot = draw(&view);
	view.now = 60000;
	AUTO(own_viz_picture) struct viz_picture *cold = draw(&view);
	assert_true(differing(hot->rgba, cold->rgba, WIDTH * HEIGHT, 20) > 0.005);
	no_messages();
}

static void a_lost_device_is_replaced(void **state)
{
	need_frames();
	struct viz_view view = make_view(20, 10, 1);
	assert_ok(viz_scene_guess_kinds(viz_frames_scene(frames, 0), &mem));
	AUTO(own_viz_picture) struct viz_picture *before = draw(&view);
	gpu_lose(viz_frames_gpu(frames));
	AUTO(own_viz_picture) struct viz_picture *after = draw(&view);
	assert_memory_equal(before->rgba, after->rgba, (size_t)WIDTH * HEIGHT * 4);
	assert_int_equal(viz_frames_recoveries(frames), 1);
	assert_false(gpu_is_lost(viz_frames_gpu(frames)));
	no_messages();
}

/* Where there is no room for the bytes of a page, its look stands in. */
static void little_memory_still_draws(void **state)
{
	need_frames();
	AUTO(own_viz_frames) struct viz_frames *small = NULL;
	assert_ok(viz_frames_create(&(struct viz_frames_params){ .volumes = &whole,
								 .n_volumes = 1,
								 .budget_bytes = 64 << 10 },
				    &small));
	struct viz_scene_stats stats;
	viz_scene_stats(viz_frames_scene(small, 0), &stats);
	assert_int_equal(stats.resident_pages, 16);
	assert_true(stats.data_pages > 100);
	struct viz_view view = make_view(38, 27, 1);
	AUTO(own_viz_picture) struct viz_picture *full = draw(&view), *coarse = NULL;
	assert_ok(viz_picture_create(WIDTH, HEIGHT, &coarse));
	assert_ok(viz_frames_draw(small, &view, coarse, NULL));
	size_t covered = 0, both = 0;
	for (size_t i = 0; i < WIDTH * HEIGHT; i++) {
		covered += full->depth[i] > 0;
		both += full->depth[i] > 0 && coarse->depth[i] > 0;
	}
	assert_true(both * 10 > covered * 8);
}

/* --- several volumes --- */

/* The same memory three times: each stands in its own cell, and a nearer one covers a farther.
 */
static void several_memories_share_a_picture(void **state)
{
	need_frames();
	const struct viz_volume three[] = { whole, whole, whole };
	AUTO(own_viz_frames) struct viz_frames *many = NULL;
	assert_ok(viz_frames_create(&(struct viz_frames_params){ .validate = true,
								 .volumes = three,
								 .n_volumes = 3 },
				    &many));
	struct viz_view view;
	struct viz_camera camera = { .yaw = 38, .pitch = 27 };
	viz_view_init(&view, WIDTH, HEIGHT);
	view.flags |= VIZ_EXACT;
	assert_ok(viz_frames_fit(many, 0, (float)WIDTH / HEIGHT, NULL, &camera));
	viz_view_aim(&view, &camera);
	AUTO(own_viz_picture) struct viz_picture *picture = NULL;
	assert_ok(viz_picture_create(WIDTH, HEIGHT, &picture));
	assert_ok(viz_frames_draw(many, &view, picture, NULL));
	unsigned seen[3] = { 0 };
	for (uint32_t y = 4; y < HEIGHT; y += 16) {
		for (uint32_t x = 4; x < WIDTH; x += 24) {
			struct viz_pick pick;
			unsigned volume = 9;
			assert_ok(viz_frames_pick(many, &view, x, y, &pick, &volume));
			float depth = picture->depth[y * WIDTH + x];
			assert_true(pick.hit == (depth > 0));
			if (!pick.hit)
				continue;
			assert_true(fabsf(pick.distance - depth) < 0.01f);
			seen[volume]++;
		}
	}
	assert_true(seen[0] > 2 && seen[1] > 2 && seen[2] > 2);
	assert_int_equal(gpu_messages(viz_frames_gpu(many)), 0);
}

static void cells_are_drawn_from_afar(void **state)
{
	struct viz_map map;
	struct viz_view view = { .eye = { 5000, 300, 4000, 1 } };
	unsigned order[VIZ_MAP_MAX];
	viz_map_init(&map, 11, 7, 0.5f);
	viz_map_order(&map, &view, order);
	float last = 1e9f;
	unsigned met = 0;
	for (unsigned i = 0; i < 11; i++) {
		float at[3];
		viz_map_origin(&map, order[i], at);
		float far = hypotf(at[0] + map.side / 2 - 5000, at[2] + map.side / 2 - 4000);
		assert_true(far <= last);
		last = far;
		met |= 1u << order[i];
		for (unsigned k = 0; k < i; k++) {
			float other[3];
			viz_map_origin(&map, order[k], other);
			assert_true(fabsf(at[0] - other[0]) >= map.side ||
				    fabsf(at[2] - other[2]) >= map.side);
		}
	}
	assert_int_equal(met, (1u << 11) - 1);
}

/* --- levels of detail --- */

/* Mean difference of pixels that show something in either picture. */
static double change(const struct viz_picture *a, const struct viz_picture *b)
{
	double sum = 0, shown = 1;
	for (size_t i = 0; i < (size_t)a->width * a->height; i++) {
		if (a->depth[i] <= 0 && b->depth[i] <= 0)
			continue;
		shown++;
		for (size_t c = 0; c < 3; c++)
			sum += abs(a->rgba[4 * i + c] - b->rgba[4 * i + c]);
	}
	return sum / shown;
}

/* Going away in steps of 6 %, from voxels of several pixels to pages of less than one, through
 * all levels of detail: no step changes the picture by much more than the steps around it do.
 */
static void zooming_does_not_pop(void **state)
{
	need_frames();
	enum { STEPS = 60, AROUND = 4 };
	double changes[STEPS] = { 0 }, worst = 0;
	AUTO(own_viz_picture) struct viz_picture *last = NULL;
	for (unsigned i = 0; i < STEPS; i++) {
		struct viz_view view = make_view(38, 27, 4 * powf(0.94f, (float)i));
		view.width /= 2;
		view.height /= 2;
		view.up.w *= 2;
		struct viz_picture *picture = draw(&view);
		changes[i] = last ? change(last, picture) : 0;
		viz_picture_destroy(last);
		last = picture;
	}
	for (unsigned i = 1 + AROUND; i + AROUND < STEPS; i++) {
		double around = 0;
		for (unsigned k = i - AROUND; k <= i + AROUND; k++)
			around += k == i ? 0 : changes[k] / (2 * AROUND);
		worst = fmax(worst, changes[i] / around);
	}
	print_message("largest step: %.2f times the steps around it\n", worst);
	assert_true(worst < 1.6);
}

static void sizes_out_of_range_are_refused(void **state)
{
	need_frames();
	struct viz_scene *scene = NULL;
	struct gpu *gpu = viz_frames_gpu(frames);
	assert_error(viz_scene_create(
			     &(struct viz_scene_params){ .gpu = gpu, .top_bytes = 1ull << 40 },
			     &scene),
		     ERR_LIMIT);
	assert_error(viz_scene_create(&(struct viz_scene_params){ .gpu = gpu }, &scene),
		     ERR_BAD_DATA);
	struct viz_picture *picture = NULL;
	assert_error(viz_picture_create(0, 10, &picture), ERR_LIMIT);
	assert_error(viz_picture_create(100000, 10, &picture), ERR_LIMIT);
}

/* --- golden pictures ---
 * Tolerance: at most 1 % of pixels may differ by more than 10 of 255 in a channel. Drivers
 * round differently where a ray runs along an edge. */

static void compare_golden(const struct viz_picture *picture, const char *path)
{
	png_image image = { .version = PNG_IMAGE_VERSION };
	if (!png_image_begin_read_from_file(&image, path))
		fail_msg("%s: %s (GLASSBOX_BLESS=1 makes it)", path, image.message);
	image.format = PNG_FORMAT_RGBA;
	assert_true(image.width == picture->width && image.height == picture->height);
	AUTO(own_free) uint8_t *wanted = malloc(PNG_IMAGE_SIZE(image));
	assert_true(png_image_finish_read(&image, NULL, wanted, 0, NULL));
	double share = differing(picture->rgba, wanted, WIDTH * HEIGHT, 10);
	print_message("%s: %.4f %% of pixels differ\n", path, 100 * share);
	assert_true(share < 0.01);
}

static void check_golden(const struct viz_view *view, const char *name)
{
	AUTO(own_free) char *path = NULL;
	assert_true(asprintf(&path, "%s/viz/%s.png", GOLDEN_DIR, name) > 0);
	AUTO(own_viz_picture) struct viz_picture *picture = draw(view);
	if (getenv("GLASSBOX_BLESS"))
		assert_ok(viz_picture_save(picture, path));
	compare_golden(picture, path);
}

static void pictures_are_the_golden_ones(void **state)
{
	need_frames();
	struct viz_view view = make_view(38, 27, 1);
	for (uint32_t mode = VIZ_MODE_KIND; mode <= VIZ_MODE_ENTROPY; mode++) {
		if (mode == VIZ_MODE_OWNER)
			continue;
		view.mode = mode;
		check_golden(&view, viz_mode_names[mode]);
	}
	view = make_view(38, 27, 0.7f);
	view.explode = 0.5f;
	check_golden(&view, "explode");
	view = make_view(120, 20, 1);
	view.opacity = 0.1f;
	check_golden(&view, "xray");
	view = make_view(38, 27, 1);
	view.clip_low.x = 24;
	view.clip_high.y = 90;
	view.sphere = (struct viz_vec){ 64, 64, 128, 40 };
	check_golden(&view, "cut");
	view = make_view(38, 27, 14);
	check_golden(&view, "near");
	view = make_view(38, 27, 0.06f);
	check_golden(&view, "far");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pictures_are_the_golden_ones),
		cmocka_unit_test(picks_name_the_byte),
		cmocka_unit_test(sparse_is_dense),
		cmocka_unit_test(table_fills_what_the_loop_fills),
		cmocka_unit_test(little_memory_still_draws),
		cmocka_unit_test(several_memories_share_a_picture),
		cmocka_unit_test(cells_are_drawn_from_afar),
		cmocka_unit_test(zooming_does_not_pop),
		cmocka_unit_test(sizes_out_of_range_are_refused),
		cmocka_unit_test(updates_are_enough),
		cmocka_unit_test(a_lost_device_is_replaced),
	};
	return cmocka_run_group_tests(tests, open_frames, close_frames);
}
