/* Kernels through the shared file: put by glassbox, taken over by the plugin's own loader, run.
 */
#include "test.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define GB_API 7
#include "mcode/native.h"
#include "offload/slots.h"
#include "plugin/internal.h"
#include "trace/source.h"

struct plugin plugin;
static char path[128];
static struct trace_source *source;
/* plan: mov eax, 5; ret. run: lea rax, [rdx + 1]; ret. */
static uint8_t image_bytes[] = { 0xb8, 5,    0,	   0,	 0,    0xc3, 0x90,
				 0x90, 0x48, 0x8d, 0x42, 0x01, 0xc3 };
static const uint8_t loop[] = { 0x90, 0x48, 0xff, 0xc8, 0x75, 0xfb };

static int set_up(void **state)
{
	(void)state;
	struct gb_control c = { .magic = GB_MAGIC, .version = GB_VERSION, .n_vcpus = 1 };
	c.can_offload = 1;
	c.n_block_slots = 16;
	c.ring_bytes = 4096;
	c.ring_heads = (struct gb_area){ 4096, 4096 };
	c.rings = (struct gb_area){ 8192, 4096 };
	c.blocks = (struct gb_area){ 12288, 4096 };
	c.code = (struct gb_area){ 16384, 4096 };
	c.counts = (struct gb_area){ 20480, 4096 };
	c.kernels = (struct gb_area){ 24576, GB_KERNEL_SLOTS * sizeof(struct gb_kernel) };
	c.kernel_code = (struct gb_area){ 24576 + c.kernels.bytes, GB_KERNEL_CODE_BYTES };
	c.file_bytes = c.kernel_code.offset + c.kernel_code.bytes;
	snprintf(path, sizeof(path), "/tmp/glassbox-test-slots-%d", (int)getpid());
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)c.file_bytes) || pwrite(fd, &c, sizeof(c), 0) < 0)
		return -1;
	plugin.file = mmap(NULL, c.file_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	plugin.control = (struct gb_control *)plugin.file;
	assert_ok(trace_source_open(path, &source));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	trace_source_close(source);
	munmap(plugin.file, plugin.control->file_bytes);
	unlink(path);
	return 0;
}

static struct offload_kernel kernel(uint64_t id, struct mcode_image *image)
{
	*image =
		(struct mcode_image){ .bytes = image_bytes, .size_bytes = sizeof(image_bytes) };
	image->run_offset = 8;
	image->in_gpr = 1;
	image->out_gpr = 1;
	return (struct offload_kernel){ .id = id,
					.loop = loop,
					.loop_bytes = sizeof(loop),
					.head_offset = 1,
					.n_insns = 2,
					.image = image };
}

static struct gb_kernel slot(unsigned index)
{
	struct gb_kernel ret;
	bool used;
	assert_ok(offload_slot(source, index, &ret, &used));
	return ret;
}

static void put_load_run_retire(void **state)
{
	(void)state;
	struct mcode_image image;
	struct offload_kernel k = kernel(0x11, &image);
	size_t n;
	assert_ok(offload_check(source));
	assert_ok(offload_put(source, &k, 1, &n));
	assert_int_equal(n, 1);
	assert_int_equal(slot(0).state, GB_KERNEL_READY);
	kernels_update();
	assert_int_equal(slot(0).state, GB_KERNEL_LOADED);
	assert_ptr_equal(kernels_find(0x1000, loop + 1, 5), kernels_find(0x2000, loop + 1, 3));
	struct loaded *l = kernels_find(0x1000, loop + 1, 5);
	assert_non_null(l);
	assert_null(kernels_find(0x1000, loop, 5));
	assert_int_equal(l->plan(NULL, NULL), 5);
	assert_int_equal(l->run(NULL, NULL, 41), 42);
	assert_ok(offload_put(source, &k, 1, &n)); /* the same one: nothing happens */
	assert_int_equal(n, 1);
	k = kernel(0x22, &image);
	k.gva = 0x7000;
	assert_ok(offload_put(source, &k, 1, &n));
	assert_int_equal(n, 2);
	assert_true(slot(1).code_offset >= slot(0).code_offset + sizeof(image_bytes));
	kernels_update();
	assert_int_equal(slot(1).state, GB_KERNEL_LOADED);
	assert_ok(offload_clear_slots(source));
	kernels_update();
	assert_null(kernels_find(0x7000, loop + 1, 5));
}

static void full_is_said(void **state)
{
	(void)state;
	struct mcode_image image;
	struct offload_kernel k = kernel(1, &image);
	size_t n;
	for (unsigned i = 1; i <= GB_KERNEL_SLOTS; i++) {
		k.id = i;
		assert_ok(offload_put(source, &k, 1, &n));
	}
	k.id = 1000;
	assert_error(offload_put(source, &k, 1, &n), ERR_LIMIT);
	k.id = 5;
	assert_ok(offload_put(source, &k, 1, &n));
	assert_int_equal(n, GB_KERNEL_SLOTS);
}

static void nonsense_is_refused(void **state)
{
	(void)state;
	struct mcode_image image;
	struct offload_kernel k = kernel(1, &image);
	size_t n;
	k.head_offset = 6;
	assert_error(offload_put(source, &k, 1, &n), ERR_UNSUPPORTED);
	k = kernel(2, &image);
	image.out_gpr = 1 << 4; /* rsp */
	assert_ok(offload_put(source, &k, 1, &n));
	kernels_update();
	assert_int_equal(slot(0).state, GB_KERNEL_REFUSED);
	assert_int_equal(slot(0).refusal, GB_REFUSAL_REGISTERS);
	assert_string_equal(offload_reason(GB_PLAN_PAGE),
			    "page not present, not writable or not dirty");
	assert_null(offload_refusal(0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(put_load_run_retire, set_up, tear_down),
		cmocka_unit_test_setup_teardown(full_is_said, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nonsense_is_refused, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
