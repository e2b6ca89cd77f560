#include "test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/phys_mem.h"
#include "vm/dump.h"
#include "vm/mapping.h"

static char path[] = "/tmp/glassbox-test-dump-XXXXXX";

static int new_file(void **state)
{
	memcpy(path + sizeof(path) - 7, "XXXXXX", 6);
	int fd = mkstemp(path);
	*state = (void *)(intptr_t)fd;
	return fd < 0;
}

static int remove_file(void **state)
{
	close((int)(intptr_t)*state);
	return unlink(path);
}

static void a_raw_dump_reads_and_skips_holes(void **state)
{
	int fd = (int)(intptr_t)*state;
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	assert_int_equal(pwrite(fd, "hello", 5, 0x40000), 5);
	struct phys_mem *mem = NULL;
	assert_ok(dump_open(path, &mem));
	char bytes[5];
	assert_true(phys_mem_read(mem, 0x40000, bytes, 5));
	assert_memory_equal(bytes, "hello", 5);
	assert_false(phys_mem_read(mem, (1 << 20) - 2, bytes, 5));
	uint64_t start = 0, end = 0;
	/* The first page was looked at, which fills it on some file systems. */
	assert_true(phys_mem_next_data(mem, 0x1000, &start, &end));
	assert_true(start <= 0x40000 && end > 0x40000);
	assert_false(phys_mem_next_data(mem, 1 << 20, &start, &end));
	phys_mem_destroy(mem);
}

static void a_file_cut_under_the_mapping_is_an_answer_not_a_death(void **state)
{
	int fd = (int)(intptr_t)*state;
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	assert_int_equal(pwrite(fd, "hello", 5, 0x80000), 5);
	struct phys_mem *mem = NULL;
	assert_ok(dump_open(path, &mem));
	assert_true(phys_mem_alive(mem));
	assert_int_equal(ftruncate(fd, 0x10000), 0);
	char bytes[5] = "xxxxx";
	assert_true(phys_mem_read(mem, 0x80000, bytes, 5));
	assert_memory_equal(bytes, "\0\0\0\0\0", 5);
	assert_false(phys_mem_alive(mem));
	phys_mem_destroy(mem);
}

static void useless_files_are_errors(void **state)
{
	struct phys_mem *mem = NULL;
	assert_error(dump_open(path, &mem), ERR_BAD_DATA); /* empty */
	assert_int_equal(ftruncate((int)(intptr_t)*state, 100), 0);
	assert_error(dump_open(path, &mem), ERR_BAD_DATA);
	assert_error(dump_open("/dev/zero", &mem), ERR_BAD_DATA);
	assert_error(dump_open("/tmp", &mem), ERR_BAD_DATA);
	assert_error(dump_open("/nonexistent/x", &mem), ERR_SYSTEM);
	assert_null(mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_raw_dump_reads_and_skips_holes, new_file,
						remove_file),
		cmocka_unit_test_setup_teardown(
			a_file_cut_under_the_mapping_is_an_answer_not_a_death, new_file,
			remove_file),
		cmocka_unit_test_setup_teardown(useless_files_are_errors, new_file,
						remove_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
