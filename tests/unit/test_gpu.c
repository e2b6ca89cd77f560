/* Room gpu on whatever Vulkan device there is, under the validation layers: any message fails.
 */
#include "test.h"

#include <string.h>

#include "gpu/batch.h"
#include "gpu/buffer.h"
#include "gpu/device.h"
#include "viz/hilbert.h"
#include "viz/round_trip.h"
#include "viz/shaders.h"

static struct gpu *gpu;

static int open_gpu(void **state)
{
	struct error *err = gpu_create(
		&(struct gpu_params){ .validate = true, .allow_import = true }, &gpu);
	if (!err)
		return 0;
	print_message("no gpu: %s\n", error_message(err));
	error_destroy(err);
	gpu = NULL;
	return 0;
}

static int close_gpu(void **state)
{
	gpu_destroy(gpu);
	return 0;
}

static void need_gpu(void)
{
	if (!gpu)
		skip();
}

static void no_messages(void)
{
	if (gpu_messages(gpu))
		print_error("validation: %s\n", gpu_last_message(gpu));
	assert_int_equal(gpu_messages(gpu), 0);
}

static void copies_come_back(void **state)
{
	need_gpu();
	AUTO(own_gpu_buffer) struct gpu_buffer *buffer = NULL, *back = NULL;
	assert_ok(gpu_buffer_create(gpu, GPU_BUFFER_DEVICE, 4096, &buffer));
	assert_ok(gpu_buffer_create(gpu, GPU_BUFFER_READBACK, 4096, &back));
	uint8_t bytes[2048];
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7);
	struct gpu_batch *batch = NULL;
	assert_ok(gpu_batch_begin(gpu, &batch));
	gpu_batch_fill(batch, buffer, 0, 4096, 0x01020304);
	assert_ok(gpu_batch_upload(batch, buffer, 1024, bytes, sizeof(bytes)));
	gpu_batch_copy(batch, buffer, 0, back, 0, 4096);
	assert_ok(gpu_batch_finish(batch));
	const uint8_t *seen = gpu_buffer_map(back);
	assert_int_equal(seen[0], 4);
	assert_memory_equal(seen + 1024, bytes, sizeof(bytes));
	assert_int_equal(seen[4095], 1);
	no_messages();
}

static void later_steps_see_earlier_ones(void **state)
{
	need_gpu();
	AUTO(own_gpu_buffer) struct gpu_buffer *a = NULL, *b = NULL, *back = NULL;
	assert_ok(gpu_buffer_create(gpu, GPU_BUFFER_DEVICE, 64, &a));
	assert_ok(gpu_buffer_create(gpu, GPU_BUFFER_DEVICE, 64, &b));
	assert_ok(gpu_buffer_create(gpu, GPU_BUFFER_READBACK, 64, &back));
	struct gpu_batch *batch = NULL;
	assert_ok(gpu_batch_begin(gpu, &batch));
	for (uint32_t i = 1; i <= 20; i++) {
		gpu_batch_fill(batch, a, 0, 64, i);
		gpu_batch_copy(batch, a, 0, b, 0, 64);
	}
	gpu_batch_copy(batch, b, 0, back, 0, 64);
	assert_ok(gpu_batch_finish(batch));
	assert_int_equal(*(uint32_t *)gpu_buffer_map(back), 20);
	no_messages();
}

/* WGSL's bit loop, run on the device, is C's. */
static void check_transform(unsigned order, uint32_t first, uint32_t count)
{
	AUTO(own_gpu_kernel) struct gpu_kernel *kernel = NULL;
	assert_ok(viz_kernel_create(gpu, "hilbert_check", &kernel));
	uint64_t bytes = 16 + 16 * (uint64_t)count;
	AUTO(own_gpu_buffer) struct gpu_buffer *items = NULL, *back = NULL;
	assert_ok(gpu_buffer_create(gpu, GPU_BUFFER_DEVICE, bytes, &items));
	assert_ok(gpu_buffer_create(gpu, GPU_BUFFER_READBACK, bytes, &back));
	uint32_t head[4] = { order, count, first };
	struct gpu_batch *batch = NULL;
	assert_ok(gpu_batch_begin(gpu, &batch));
	assert_ok(gpu_batch_upload(batch, items, 0, head, sizeof(head)));
	struct gpu_bind binds[3] = { { .buffer = items } };
	assert_ok(gpu_batch_dispatch(
		batch, &(struct gpu_dispatch){ .kernel = kernel,
					       .binds = binds,
					       .groups = { (count + 63) / 64 } }));
	gpu_batch_copy(batch, items, 0, back, 0, bytes);
	assert_ok(gpu_batch_finish(batch));
	const uint32_t *seen = (const uint32_t *)gpu_buffer_map(back) + 4;
	for (uint32_t i = 0; i < count; i++, seen += 4) {
		struct hilbert_point p = hilbert_skilling_point(order, first + i);
		assert_true(seen[0] == p.x && seen[1] == p.y && seen[2] == p.z);
		assert_int_equal(seen[3], first + i);
	}
}

static void hilbert_in_wgsl_is_hilbert_in_c(void **state)
{
	need_gpu();
	if (!viz_shaders[0].name)
		skip();
	for (unsigned order = 1; order <= 5; order++)
		check_transform(order, 0, 1u << 3 * order);
	for (unsigned order = 6; order <= 10; order++) {
		check_transform(order, 0, 2000);
		check_transform(order, (1u << 3 * order) / 7 * 3, 5000);
		check_transform(order, (1u << 3 * order) - 3000, 3000);
	}
	no_messages();
}

/* Every index of order 7, and the ends of order 10, come back; by the table as by the loop. */
static void every_index_comes_back(void **state)
{
	need_gpu();
	if (!viz_shaders[0].name)
		skip();
	static const struct viz_round_trip trips[] = {
		{ 7, 0, 1 << 21, false },
		{ 7, 0, 1 << 21, true },
		{ 10, (1 << 30) - 5000, 5000, false },
		{ 10, (1 << 30) - 5000, 5000, true },
		{ 3, 0, 100, true },
	};
	for (size_t i = 0; i < sizeof(trips) / sizeof(*trips); i++) {
		uint32_t wrong = 1;
		assert_ok(viz_round_trip(gpu, &trips[i], &wrong, NULL));
		assert_int_equal(wrong, 0);
	}
	/* The kernel does count: half of what is asked for lies beyond the curve's end. */
	uint32_t wrong = 0;
	assert_ok(
		viz_round_trip(gpu, &(struct viz_round_trip){ 2, 0, 128, true }, &wrong, NULL));
	assert_int_equal(wrong, 64);
	no_messages();
}

/* Destroying what submitted work still uses is put off, and gives the memory back in the end.
 */
static void destruction_waits_for_the_work(void **state)
{
	need_gpu();
	uint64_t before = gpu_allocated(gpu);
	struct gpu_buffer *a = NULL, *b = NULL;
	assert_ok(gpu_buffer_create(gpu, GPU_BUFFER_DEVICE, 8 << 20, &a));
	assert_ok(gpu_buffer_create(gpu, GPU_BUFFER_DEVICE, 8 << 20, &b));
	AUTO(own_gpu_batch) struct gpu_batch *batch = NULL;
	assert_ok(gpu_batch_begin(gpu, &batch));
	gpu_batch_fill(batch, a, 0, 8 << 20, 5);
	gpu_batch_copy(batch, a, 0, b, 0, 8 << 20);
	assert_ok(gpu_batch_submit(batch));
	gpu_buffer_destroy(a);
	gpu_buffer_destroy(b);
	assert_ok(gpu_batch_wait(batch, 0));
	assert_int_equal(gpu_allocated(gpu), before);
	no_messages();
}

static void import_is_probed_apart(void **state)
{
	need_gpu();
	struct gpu_import_probe probe;
	assert_ok(gpu_probe_import(NULL, &probe));
	print_message("import on %s: supported %d read-write %d read-only %d\n",
		      gpu_info(gpu)->name, probe.supported, probe.read_write, probe.read_only);
	assert_true(probe.supported || !probe.read_write);
	assert_true(probe.supported || !probe.read_only);
	if (gpu_info(gpu)->is_software && probe.supported)
		assert_true(probe.read_write && probe.read_only && probe.sees_writes);
}

static void misuse_is_an_error(void **state)
{
	need_gpu();
	struct gpu *other = NULL;
	struct gpu_image *image = NULL;
	assert_error(gpu_create(&(struct gpu_params){ .device = "no such card" }, &other),
		     ERR_UNSUPPORTED);
	assert_error(
		gpu_image_create(gpu,
				 &(struct gpu_image_params){ GPU_RGBA8, 1u << 30, 1, 1, false },
				 &image),
		ERR_LIMIT);
	if (gpu_info(gpu)->can_import) {
		struct gpu_buffer *buffer = NULL;
		assert_error(gpu_buffer_import(gpu, (void *)1, 4096, &buffer), ERR_UNSUPPORTED);
	}
}

static void a_lost_device_refuses_work(void **state)
{
	struct gpu *doomed = NULL;
	need_gpu();
	assert_ok(gpu_create(&(struct gpu_params){ .validate = true }, &doomed));
	struct gpu_batch *batch = NULL;
	gpu_lose(doomed);
	assert_error(gpu_batch_begin(doomed, &batch), ERR_GPU);
	assert_true(gpu_is_lost(doomed));
	assert_int_equal(gpu_messages(doomed), 0);
	gpu_destroy(doomed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copies_come_back),
		cmocka_unit_test(later_steps_see_earlier_ones),
		cmocka_unit_test(hilbert_in_wgsl_is_hilbert_in_c),
		cmocka_unit_test(every_index_comes_back),
		cmocka_unit_test(destruction_waits_for_the_work),
		cmocka_unit_test(import_is_probed_apart),
		cmocka_unit_test(misuse_is_an_error),
		cmocka_unit_test(a_lost_device_refuses_work),
	};
	return cmocka_run_group_tests(tests, open_gpu, close_gpu);
}
