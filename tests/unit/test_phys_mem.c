#include "test.h"

#include <string.h>

#include "base/phys_mem.h"

static uint8_t low[8192], high[4096];
static const struct phys_segment segments[] = {
	{ .gpa = 0, .size_bytes = sizeof(low), .host = low },
	{ .gpa = 0x100000000, .size_bytes = sizeof(high), .host = high },
};
static struct phys_mem mem = { .segments = segments, .n_segments = 2 };

static void reads_stop_at_the_hole(void **state)
{
	uint8_t bytes[16];
	assert_true(phys_mem_read(&mem, 8176, bytes, 16));
	assert_false(phys_mem_read(&mem, 8177, bytes, 16));
	assert_false(phys_mem_read(&mem, 0xffffffff, bytes, 2));
	assert_false(phys_mem_read(&mem, UINT64_MAX, bytes, 16));
	assert_true(phys_mem_read(&mem, 0x100000ff0, bytes, 16));
	assert_null(phys_mem_at(&mem, 8190, 4));
	assert_ptr_equal(phys_mem_at(&mem, 0x100000010, 4), high + 16);
	assert_int_equal(phys_mem_size(&mem), 12288);
	assert_int_equal(phys_mem_end(&mem), 0x100001000);
}

static void data_runs_follow_the_segments(void **state)
{
	uint64_t start, end;
	assert_true(phys_mem_next_data(&mem, 4096, &start, &end));
	assert_int_equal(start, 4096);
	assert_int_equal(end, 8192);
	assert_true(phys_mem_next_data(&mem, end, &start, &end));
	assert_int_equal(start, 0x100000000);
	assert_false(phys_mem_next_data(&mem, 0x100001000, &start, &end));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_stop_at_the_hole),
		cmocka_unit_test(data_runs_follow_the_segments),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
