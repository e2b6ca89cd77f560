#include "test.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake_kernel.h"
#include "guest/field.h"
#include "guest/guest.h"
#include "guest/symtab.h"
#include "guest/task.h"

static void check_kernel(const struct fake_kernel_params *params, bool doubtful)
{
	struct fake_kernel kernel;
	fake_kernel_init(&kernel, params);
	struct guest *guest = NULL;
	struct guest_params open = { 0 };
	assert_ok(guest_open(&kernel.mem, &open, &guest));
	if (!doubtful && guest_doubt(guest, 0))
		fail_msg("doubt: %s", guest_doubt(guest, 0));
	assert_true(doubtful == (guest_doubt(guest, 0) != NULL));
	struct guest_summary summary;
	guest_summary(guest, &summary);
	assert_string_equal(summary.release, "9.9.9-fake");
	assert_int_equal(summary.paging_levels, params->five_levels ? 5 : 4);
	assert_int_equal(summary.image_gva, FAKE_IMAGE_GVA);
	assert_int_equal(summary.image_gpa, FAKE_IMAGE_GPA);
	uint64_t gva = 0;
	assert_true(guest_symbol(guest, "filler_1499", &gva));
	assert_int_equal(gva, FAKE_IMAGE_GVA + 0x80000 + 16 * 1499);
	assert_int_equal(symtab_count(guest_symtab(guest)), FAKE_FILLERS + 7);
	char text[64];
	guest_symbol_text(guest, gva + 3, text, sizeof(text));
	assert_string_equal(text, "filler_1499+0x3");
	struct guest_tasks tasks = { 0 };
	assert_ok(guest_tasks_read(guest, false, &tasks));
	assert_int_equal(tasks.count, 2);
	assert_string_equal(tasks.items[1].comm, "shell");
	assert_int_equal(tasks.items[1].state, 'S');
	assert_int_equal(tasks.items[1].ppid, 1);
	assert_int_equal(tasks.items[1].start_ns, 2000);
	guest_tasks_deinit(&tasks);
	guest_destroy(guest);
	fake_kernel_deinit(&kernel);
}

static void every_layout_is_found(void **state)
{
	for (int layout = 0; layout < FAKE_N_LAYOUTS; layout++)
		for (int five = 0; five < 2; five++)
			check_kernel(&(struct fake_kernel_params){ .layout = layout,
								   .five_levels = five },
				     false);
}

static void vmcoreinfo_is_not_needed(void **state)
{
	for (int layout = 0; layout < FAKE_N_LAYOUTS; layout++)
		for (int five = 0; five < 2; five++)
			check_kernel(&(struct fake_kernel_params){ .layout = layout,
								   .five_levels = five,
								   .no_vmcoreinfo = true },
				     false);
}

static void btf_is_found_by_its_header(void **state)
{
	check_kernel(&(struct fake_kernel_params){ .no_btf_symbols = true }, false);
}

static void a_lying_vmcoreinfo_is_a_doubt_not_an_answer(void **state)
{
	for (int layout = 0; layout < FAKE_N_LAYOUTS; layout++)
		check_kernel(&(struct fake_kernel_params){ .layout = layout,
							   .phys_base_error = 2 << 20 },
			     true);
}

static void a_circular_task_list_ends_with_a_note(void **state)
{
	struct fake_kernel kernel;
	fake_kernel_init(&kernel, &(struct fake_kernel_params){ 0 });
	/* The last task leads back to the one before it, not to the head. */
	uint64_t back = FAKE_IMAGE_GVA + FAKE_TASKS + FAKE_TASK_BYTES;
	memcpy(kernel.image + FAKE_TASKS + 2 * FAKE_TASK_BYTES, &back, 8);
	struct guest *guest = NULL;
	struct guest_params open = { 0 };
	assert_ok(guest_open(&kernel.mem, &open, &guest));
	guest_begin(guest);
	struct guest_tasks tasks = { 0 };
	assert_ok(guest_tasks_read(guest, false, &tasks));
	assert_in_range(tasks.count, 2, 8);
	assert_non_null(guest_note(guest, 0));
	guest_tasks_deinit(&tasks);
	guest_destroy(guest);
	fake_kernel_deinit(&kernel);
}

static void members_are_found_through_unnamed_ones(void **state)
{
	struct fake_kernel kernel;
	fake_kernel_init(&kernel, &(struct fake_kernel_params){ 0 });
	struct guest *guest = NULL;
	struct guest_params open = { 0 };
	assert_ok(guest_open(&kernel.mem, &open, &guest));
	struct field field = guest_field(guest, "task_struct.absent|task_struct.mm");
	assert_true(field.found);
	assert_int_equal(field.offset, 56);
	assert_int_equal(guest_field(guest, "task_t.tasks.prev").offset, 8);
	assert_false(guest_field(guest, "task_struct.tasks.nothing").found);
	int64_t value = 0;
	assert_true(guest_enum(guest, "GREEN", &value));
	assert_int_equal(value, 9);
	assert_int_equal(guest_sizeof(guest, "struct page"), 64);
	guest_destroy(guest);
	fake_kernel_deinit(&kernel);
}

static void open_with_cache(struct fake_kernel *kernel, const char *path, bool from_cache)
{
	struct guest *guest = NULL;
	struct guest_params open = { .cache_path = path };
	assert_ok(guest_open(&kernel->mem, &open, &guest));
	struct guest_summary summary;
	guest_summary(guest, &summary);
	assert_int_equal(summary.from_cache, from_cache);
	assert_string_equal(summary.release, "9.9.9-fake");
	struct guest_tasks tasks = { 0 };
	assert_ok(guest_tasks_read(guest, false, &tasks));
	assert_int_equal(tasks.count, 2);
	guest_tasks_deinit(&tasks);
	guest_destroy(guest);
}

static void a_cache_is_used_only_for_the_kernel_it_was_made_of(void **state)
{
	for (int layout = 0; layout < FAKE_N_LAYOUTS; layout++) {
		struct fake_kernel kernel;
		fake_kernel_init(&kernel, &(struct fake_kernel_params){ .layout = layout });
		char path[] = "/tmp/glassbox-test-cache-XXXXXX";
		int fd = mkstemp(path);
		assert_true(fd >= 0);
		close(fd);
		open_with_cache(&kernel, path, false);
		open_with_cache(&kernel, path, true);
		/* Another boot: VMCOREINFO differs in one digit. */
		kernel.ram[0x5000 + 10] ^= 1;
		struct guest *guest = NULL;
		struct guest_params open = { .cache_path = path };
		assert_ok(guest_open(&kernel.mem, &open, &guest));
		struct guest_summary summary;
		guest_summary(guest, &summary);
		assert_false(summary.from_cache);
		guest_destroy(guest);
		kernel.ram[0x5000 + 10] ^= 1;
		/* A file that others may write is not believed. */
		assert_int_equal(chmod(path, 0666), 0);
		open_with_cache(&kernel, path, false);
		unlink(path);
		fake_kernel_deinit(&kernel);
	}
}

static void a_damaged_cache_does_no_harm(void **state)
{
	struct fake_kernel kernel;
	fake_kernel_init(&kernel, &(struct fake_kernel_params){ 0 });
	char path[] = "/tmp/glassbox-test-cache-XXXXXX";
	int fd = mkstemp(path);
	close(fd);
	open_with_cache(&kernel, path, false);
	char text[8192];
	FILE *file = fopen(path, "r");
	size_t length = fread(text, 1, sizeof(text), file);
	fclose(file);
	assert_in_range(length, 200, sizeof(text) - 1);
	for (size_t at = 0; at < length; at += 3) {
		char saved = text[at];
		text[at] = (char)(at % 7 ? '9' : '\n');
		file = fopen(path, "w");
		fwrite(text, 1, at % 11 ? length : at, file);
		fclose(file);
		struct guest *guest = NULL;
		struct guest_params open = { .cache_path = path };
		struct guest_tasks tasks = { 0 };
		assert_ok(guest_open(&kernel.mem, &open, &guest));
		error_destroy(guest_tasks_read(guest, true, &tasks));
		guest_tasks_deinit(&tasks);
		guest_destroy(guest);
		text[at] = saved;
	}
	unlink(path);
	fake_kernel_deinit(&kernel);
}

static void no_kernel_is_an_error(void **state)
{
	struct fake_kernel kernel;
	fake_kernel_init(&kernel, &(struct fake_kernel_params){ 0 });
	memset(kernel.ram, 0x5a, FAKE_RAM_BYTES);
	struct guest *guest = NULL;
	struct guest_params open = { 0 };
	assert_error(guest_open(&kernel.mem, &open, &guest), ERR_NOT_FOUND);
	fake_kernel_deinit(&kernel);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_layout_is_found),
		cmocka_unit_test(vmcoreinfo_is_not_needed),
		cmocka_unit_test(btf_is_found_by_its_header),
		cmocka_unit_test(a_lying_vmcoreinfo_is_a_doubt_not_an_answer),
		cmocka_unit_test(a_circular_task_list_ends_with_a_note),
		cmocka_unit_test(members_are_found_through_unnamed_ones),
		cmocka_unit_test(a_cache_is_used_only_for_the_kernel_it_was_made_of),
		cmocka_unit_test(a_damaged_cache_does_no_harm),
		cmocka_unit_test(no_kernel_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
