#include "test.h"

#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>
#include <glob.h>

#include "base/out_file.h"

static char folder[] = "/tmp/glassbox-out-file-XXXXXX";
static char path[128];

static int make_folder(void **state)
{
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/file", folder);
	return 0;
}

static int remove_folder(void **state)
{
	unlink(path);
	return rmdir(folder);
}

static size_t files_in_folder(void)
{
	char pattern[160];
	glob_t found = { 0 };
	snprintf(pattern, sizeof(pattern), "%s/*", folder);
	size_t n = glob(pattern, 0, NULL, &found) ? 0 : found.gl_pathc;
	globfree(&found);
	return n;
}

static void appears_only_at_commit(void **state)
{
	struct out_file *file = NULL;
	assert_ok(out_file_create(path, &file));
	assert_ok(out_file_write(file, "abc", 3));
	assert_ok(out_file_skip(file, 5));
	assert_int_equal(out_file_position(file), 8);
	assert_int_equal(access(path, F_OK), -1);
	assert_ok(out_file_commit(file));
	out_file_destroy(file);
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 8);
	assert_int_equal(files_in_folder(), 1);
}

static void replaces_and_keeps_the_old_on_failure(void **state)
{
	struct out_file *file = NULL;
	assert_ok(out_file_create(path, &file));
	assert_ok(out_file_write(file, "new", 3));
	out_file_destroy(file);
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 8);
	assert_int_equal(files_in_folder(), 1);
	assert_ok(out_file_create(path, &file));
	assert_ok(out_file_write(file, "new", 3));
	assert_ok(out_file_commit(file));
	out_file_destroy(file);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 3);
}

/* A file size limit stands in for a full disk: write fails in the same way. */
static void a_failed_write_is_one_error_and_leaves_nothing(void **state)
{
	static uint8_t bytes[8192];
	struct rlimit before, small = { 0 };
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = (struct rlimit){ .rlim_cur = 4096, .rlim_max = before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	struct out_file *file = NULL;
	assert_ok(out_file_create(path, &file));
	struct error *err = out_file_write(file, bytes, sizeof(bytes));
	out_file_destroy(file);
	setrlimit(RLIMIT_FSIZE, &before);
	assert_non_null(err);
	error_destroy(err);
	assert_int_equal(files_in_folder(), 1);
}

static void a_folder_is_refused(void **state)
{
	struct out_file *file = NULL;
	assert_error(out_file_create(folder, &file), ERR_SYSTEM);
	assert_error(out_file_create("/nonexistent/x", &file), ERR_SYSTEM);
	assert_ok(out_file_create("/dev/null", &file));
	assert_ok(out_file_skip(file, 100));
	assert_ok(out_file_commit(file));
	out_file_destroy(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(appears_only_at_commit),
		cmocka_unit_test(replaces_and_keeps_the_old_on_failure),
		cmocka_unit_test(a_failed_write_is_one_error_and_leaves_nothing),
		cmocka_unit_test(a_folder_is_refused),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
