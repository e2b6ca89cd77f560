#include "base/out_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"

/* How a file stays invisible until commit, best first:
 *   1. O_TMPFILE: it has no name, so the kernel frees it however the process ends;
 *   2. a temporary name beside the target, removed on error and by a signal handler, for file
 *      systems that lack O_TMPFILE;
 *   3. pipes, devices and standard output are written as they are. */
enum out_file_way { WAY_NAMELESS, WAY_NAMED, WAY_DIRECT };

struct out_file {
	enum out_file_way way;
	int fd;
	char *path; /* final name */
	char *temporary; /* name during writing, or NULL */
	uint64_t position;
	bool hole_at_end; /* the last bytes were skipped: the size must be set at commit */
};

/* The name that a signal must remove; one named file at a time is enough for fallbacks. */
static _Atomic(const char *) removed_on_signal;

static void remove_and_end(int number)
{
	const char *path = atomic_exchange(&removed_on_signal, NULL);
	if (path)
		unlink(path);
	signal(number, SIG_DFL);
	raise(number);
}

static void guard_signals(void)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		struct sigaction now;
		if (sigaction(numbers[i], NULL, &now) || now.sa_handler != SIG_DFL)
			continue;
		struct sigaction ours = { .sa_handler = remove_and_end };
		sigaction(numbers[i], &ours, NULL);
	}
}

/* Directory part of path; caller frees. */
static char *directory_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	if (!slash)
		return strdup(".");
	return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

static struct error *open_direct(struct out_file *file)
{
	file->way = WAY_DIRECT;
	file->fd = strcmp(file->path, "-") ? open(file->path, O_WRONLY | O_CLOEXEC)
					   : fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	return file->fd < 0 ? error_system(errno, "cannot open %s", file->path) : NULL;
}

static struct error *open_named(struct out_file *file)
{
	file->way = WAY_NAMED;
	if (asprintf(&file->temporary, "%s.XXXXXX", file->path) < 0) {
		file->temporary = NULL;
		return error_create(ERR_MEMORY, "no memory for a file name");
	}
	file->fd = mkostemp(file->temporary, O_CLOEXEC);
	if (file->fd < 0) {
		struct error *err = error_system(errno, "cannot create %s", file->path);
		free(TAKE(file->temporary));
		return err;
	}
	const char *none = NULL;
	atomic_compare_exchange_strong(&removed_on_signal, &none, file->temporary);
	guard_signals();
	return NULL;
}

static struct error *open_hidden(struct out_file *file)
{
	AUTO(own_free) char *directory = directory_of(file->path);
	if (!directory)
		return error_create(ERR_MEMORY, "no memory for a file name");
	file->way = WAY_NAMELESS;
	file->fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
	if (file->fd >= 0)
		return NULL;
	if (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)
		return open_named(file);
	return error_system(errno, "cannot create %s", file->path);
}

struct error *out_file_create(const char *path, struct out_file **ret)
{
	AUTO(own_out_file) struct out_file *file = NULL;
	TRY(error_alloc(1, sizeof(*file), &file));
	file->fd = -1;
	file->path = strdup(path);
	if (!file->path)
		return error_create(ERR_MEMORY, "no memory for a file name");
	struct stat st;
	bool exists = !stat(path, &st);
	if (exists && S_ISDIR(st.st_mode))
		return error_hint(
			error_create(ERR_SYSTEM, "cannot write %s: it is a directory", path),
			"give a file name");
	if (!strcmp(path, "-") || (exists && !S_ISREG(st.st_mode)))
		TRY(open_direct(file));
	else
		TRY(open_hidden(file));
	*ret = TAKE(file);
	return NULL;
}

static void forget_temporary(struct out_file *file)
{
	const char *ours = file->temporary;
	atomic_compare_exchange_strong(&removed_on_signal, &ours, NULL);
	free(TAKE(file->temporary));
}

void out_file_destroy(struct out_file *file)
{
	if (!file)
		return;
	if (file->fd >= 0)
		close(file->fd);
	if (file->temporary) {
		unlink(file->temporary);
		forget_temporary(file);
	}
	free(file->path);
	free(file);
}

static struct error *write_failed(const struct out_file *file, int errno_value)
{
	struct error *err = error_system(errno_value, "cannot write %s", file->path);
	if (errno_value == ENOSPC || errno_value == EDQUOT)
		return error_hint(err, "nothing was left behind; choose another disk");
	return err;
}

struct error *out_file_write(struct out_file *file, const void *bytes, size_t length_bytes)
{
	const uint8_t *at = bytes;
	file->position += length_bytes;
	if (length_bytes)
		file->hole_at_end = false;
	while (length_bytes) {
		ssize_t done = write(file->fd, at, length_bytes);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return write_failed(file, errno);
		at += done;
		length_bytes -= (size_t)done;
	}
	return NULL;
}

/* A pipe has no holes: zeros are written. */
static struct error *write_zeros(struct out_file *file, uint64_t length_bytes)
{
	static const uint8_t zeros[65536];
	while (length_bytes) {
		size_t part =
			length_bytes < sizeof(zeros) ? (size_t)length_bytes : sizeof(zeros);
		TRY(out_file_write(file, zeros, part));
		length_bytes -= part;
	}
	return NULL;
}

struct error *out_file_skip(struct out_file *file, uint64_t length_bytes)
{
	if (file->way == WAY_DIRECT)
		return write_zeros(file, length_bytes);
	if (length_bytes > INT64_MAX || lseek(file->fd, (off_t)length_bytes, SEEK_CUR) < 0)
		return write_failed(file, length_bytes > INT64_MAX ? EFBIG : errno);
	file->position += length_bytes;
	file->hole_at_end = file->hole_at_end || length_bytes;
	return NULL;
}

uint64_t out_file_position(const struct out_file *file)
{
	return file->position;
}

/* A nameless file gets a name beside the target first: linkat cannot replace. */
static struct error *name_nameless(struct out_file *file)
{
	char link[64];
	snprintf(link, sizeof(link), "/proc/self/fd/%d", file->fd);
	for (int i = 0; i < 100; i++) {
		char *name = NULL;
		if (asprintf(&name, "%s.%d.%d", file->path, (int)getpid(), i) < 0)
			return error_create(ERR_MEMORY, "no memory for a file name");
		if (!linkat(AT_FDCWD, link, AT_FDCWD, name, AT_SYMLINK_FOLLOW)) {
			file->temporary = name;
			return NULL;
		}
		free(name);
		if (errno != EEXIST)
			return write_failed(file, errno);
	}
	return error_create(ERR_SYSTEM, "cannot name %s: a hundred leftovers are in the way",
			    file->path);
}

struct error *out_file_commit(struct out_file *file)
{
	if (file->way == WAY_DIRECT)
		return NULL;
	if (file->hole_at_end && ftruncate(file->fd, (off_t)file->position))
		return write_failed(file, errno);
	if (file->way == WAY_NAMELESS)
		TRY(name_nameless(file));
	else if (fchmod(file->fd, 0644))
		return write_failed(file, errno);
	if (rename(file->temporary, file->path))
		return error_system(errno, "cannot put %s in place", file->path);
	forget_temporary(file);
	return NULL;
}
