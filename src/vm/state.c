#include "vm/state.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/error.h"
#include "vm/proc.h"

#define SHM_DIR "/dev/shm"
#define SHM_PREFIX "glassbox-"
#define NAME_LIMIT 48u
#define JSON_LIMIT (1u << 20)
#define REMOVE_ATTEMPTS 1000u

OWN_DECLARE(own_json, json_t *, json_decref)

static void own_dir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

static struct error *format_path(char **ret, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static struct error *format_path(char **ret, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	char *path = NULL;
	int length = vasprintf(&path, format, args);
	va_end(args);
	if (length < 0)
		return error_create(ERR_MEMORY, "no memory for a path");
	*ret = path;
	return NULL;
}

/* Makes a folder of ours alone; one that somebody else made is refused. */
static struct error *private_dir(const char *path)
{
	struct stat info;
	if (mkdir(path, 0700) && errno != EEXIST)
		return error_system(errno, "cannot make the folder %s", path);
	if (lstat(path, &info) || !S_ISDIR(info.st_mode))
		return error_create(ERR_SYSTEM, "%s is not a folder", path);
	if (info.st_uid != geteuid() && geteuid() != 0)
		return error_create(ERR_SYSTEM, "%s belongs to somebody else", path);
	return NULL;
}

struct error *state_root(char **ret)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	AUTO(own_free) char *root = NULL;
	if (runtime && *runtime == '/')
		TRY(format_path(&root, "%s/glassbox", runtime));
	else if (geteuid() == 0)
		TRY(format_path(&root, "/run/glassbox"));
	else
		TRY(format_path(&root, "/tmp/glassbox-%u", (unsigned)geteuid()));
	TRY(private_dir(root));
	*ret = TAKE(root);
	return NULL;
}

struct error *state_path(const char *name, const char *file, char **ret)
{
	AUTO(own_free) char *root = NULL;
	TRY(state_root(&root));
	return file ? format_path(ret, "%s/%s/%s", root, name, file)
		    : format_path(ret, "%s/%s", root, name);
}

struct error *state_shm_path(const char *name, const char *kind, char **ret)
{
	return format_path(ret, SHM_DIR "/" SHM_PREFIX "%s-%s", name, kind);
}

struct error *state_check_name(const char *name)
{
	size_t length = strlen(name);
	bool all_digits = true, good = length > 0 && length <= NAME_LIMIT;
	for (size_t i = 0; i < length && good; i++) {
		unsigned char c = (unsigned char)name[i];
		good = c < 128 && (isalnum(c) || (i && strchr("._-", c)));
		all_digits = all_digits && isdigit(c);
	}
	if (good && !all_digits)
		return NULL;
	return error_create(ERR_USAGE,
			    "'%s' cannot be a VM's name: 1 to %u letters, digits, '.', '_' "
			    "or '-', not only digits",
			    name, NAME_LIMIT);
}

static bool same_file(int fd, const char *path)
{
	struct stat held, there;
	return !fstat(fd, &held) && !stat(path, &there) && held.st_ino == there.st_ino &&
	       held.st_dev == there.st_dev;
}

/* Opens and locks a folder or file without waiting; -1 with errno EWOULDBLOCK when somebody
 * holds the lock, ENOENT when it went away meanwhile. */
static int lock_path(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -1;
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		int saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	if (!same_file(fd, path)) {
		close(fd);
		errno = ENOENT;
		return -1;
	}
	return fd;
}

struct error *state_claim(const char *name, int *lock_ret)
{
	TRY(state_check_name(name));
	AUTO(own_free) char *path = NULL;
	TRY(state_path(name, NULL, &path));
	/* A sweep by another process may remove the folder between the two steps. */
	for (int attempt = 0; attempt < 10; attempt++) {
		TRY(private_dir(path));
		int lock = lock_path(path);
		if (lock >= 0) {
			*lock_ret = lock;
			return NULL;
		}
		if (errno == EWOULDBLOCK)
			return error_hint(error_create(ERR_LIMIT,
						       "a VM called %s is running already",
						       name),
					  "choose another --name, or `glassbox stop %s`", name);
		if (errno != ENOENT)
			return error_system(errno, "cannot lock %s", path);
	}
	return error_create(ERR_SYSTEM, "cannot lock %s: it keeps vanishing", path);
}

bool state_is_running(const char *name)
{
	AUTO(own_free) char *path = NULL;
	struct error *err = state_path(name, NULL, &path);
	if (err) {
		error_destroy(err);
		return false;
	}
	AUTO(own_fd) int lock = lock_path(path);
	return lock < 0 && errno == EWOULDBLOCK;
}

struct error *state_write(const char *name, const json_t *document)
{
	AUTO(own_free) char *path = NULL;
	AUTO(own_free) char *fresh = NULL;
	TRY(state_path(name, "vm.json", &path));
	TRY(format_path(&fresh, "%s.new", path));
	AUTO(own_fd) int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_system(errno, "cannot write %s", fresh);
	if (json_dumpfd(document, fd, JSON_INDENT(2)) || rename(fresh, path))
		return error_system(errno ? errno : EIO, "cannot write %s", path);
	return NULL;
}

struct error *state_read(const char *name, json_t **ret)
{
	AUTO(own_free) char *path = NULL;
	AUTO(own_free) char *text = NULL;
	TRY(state_path(name, "vm.json", &path));
	if (access(path, R_OK) && errno == ENOENT)
		return error_create(ERR_NOT_FOUND, "no VM called %s", name);
	TRY(proc_read_file(path, JSON_LIMIT, &text, NULL));
	json_t *document = json_loads(text, 0, NULL);
	if (!json_is_object(document)) {
		json_decref(document);
		return error_create(ERR_BAD_DATA, "%s is damaged", path);
	}
	*ret = document;
	return NULL;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Calls each() with the name of every folder below the state root, sorted. */
static struct error *for_each_name(void (*each)(const char *name, void *user), void *user)
{
	AUTO(own_free) char *root = NULL;
	TRY(state_root(&root));
	AUTO(own_dir) DIR *dir = opendir(root);
	if (!dir)
		return error_system(errno, "cannot list %s", root);
	char *names[1024];
	size_t count = 0;
	for (struct dirent *entry; count < 1024 && (entry = readdir(dir));) {
		struct error *bad = state_check_name(entry->d_name);
		if (!bad && (names[count] = strdup(entry->d_name)))
			count++;
		error_destroy(bad);
	}
	qsort(names, count, sizeof(*names), by_text);
	for (size_t i = 0; i < count; i++) {
		each(names[i], user);
		free(names[i]);
	}
	return NULL;
}

static void add_if_running(const char *name, void *user)
{
	if (state_is_running(name))
		json_array_append_new(user, json_string(name));
}

struct error *state_names(json_t **ret)
{
	AUTO(own_json) json_t *names = json_array();
	if (!names)
		return error_create(ERR_MEMORY, "no memory for a list");
	TRY(for_each_name(add_if_running, names));
	*ret = TAKE(names);
	return NULL;
}

/* Removes everything in a folder, one level deep, and the folder. Another process may still be
 * writing its last words there (an audit line): what came meanwhile is removed as well. */
static void remove_dir(const char *path)
{
	for (unsigned attempt = 0; attempt < REMOVE_ATTEMPTS; attempt++) {
		AUTO(own_dir) DIR *dir = opendir(path);
		for (struct dirent *entry; dir && (entry = readdir(dir));)
			if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
				unlinkat(dirfd(dir), entry->d_name, 0);
		if (!rmdir(path) || (errno != ENOTEMPTY && errno != EEXIST))
			return;
	}
}

/* If file is "glassbox-NAME-KIND": copies NAME and returns true. */
static bool shm_file_name(const char *file, char name[static NAME_LIMIT + 1])
{
	if (strncmp(file, SHM_PREFIX, strlen(SHM_PREFIX)))
		return false;
	const char *start = file + strlen(SHM_PREFIX), *end = strrchr(start, '-');
	if (!end || end == start || (size_t)(end - start) > NAME_LIMIT)
		return false;
	memcpy(name, start, (size_t)(end - start));
	name[end - start] = 0;
	return true;
}

/* Removes /dev/shm files for which wanted() holds. */
static unsigned remove_shm(bool (*wanted)(const char *name, const char *path, void *user),
			   void *user)
{
	unsigned removed = 0;
	AUTO(own_dir) DIR *dir = opendir(SHM_DIR);
	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		char name[NAME_LIMIT + 1];
		AUTO(own_free) char *path = NULL;
		if (!shm_file_name(entry->d_name, name) ||
		    asprintf(&path, SHM_DIR "/%s", entry->d_name) < 0)
			continue;
		if (wanted(name, path, user))
			removed += !unlink(path);
	}
	return removed;
}

static bool has_name(const char *name, const char *path, void *user)
{
	return !strcmp(name, user);
}

void state_remove_folder(const char *name)
{
	AUTO(own_free) char *path = NULL;
	struct error *err = state_path(name, NULL, &path);
	if (!err)
		remove_dir(path);
	error_destroy(err);
}

void state_remove(const char *name)
{
	remove_shm(has_name, (void *)name);
	state_remove_folder(name);
}

/* A VM's files in /dev/shm are in use while its RAM file is locked; the RAM file is made
 * first and removed last. */
static bool is_orphan(const char *name, const char *path, void *user)
{
	AUTO(own_free) char *ram = NULL;
	struct error *err = state_shm_path(name, "ram", &ram);
	if (err) {
		error_destroy(err);
		return false;
	}
	AUTO(own_fd) int lock = lock_path(ram);
	return lock >= 0 || (errno == ENOENT && strcmp(ram, path));
}

/* Ends a QEMU that outlived its keeper. */
static void kill_left_over(const char *name)
{
	AUTO(own_json) json_t *document = NULL;
	struct error *err = state_read(name, &document);
	if (!err) {
		pid_t pid = (pid_t)json_integer_value(json_object_get(document, "pid"));
		uint64_t start =
			(uint64_t)json_integer_value(json_object_get(document, "start_time"));
		proc_signal(pid, start, SIGKILL);
		proc_wait_gone(pid, start, 5000);
	}
	error_destroy(err);
}

static void sweep_one(const char *name, void *user)
{
	AUTO(own_free) char *path = NULL;
	struct error *err = state_path(name, NULL, &path);
	if (err) {
		error_destroy(err);
		return;
	}
	AUTO(own_fd) int lock = lock_path(path);
	if (lock < 0)
		return;
	kill_left_over(name);
	/* RAM of the same name may belong to a VM with another state root: orphans only. */
	remove_dir(path);
	++*(unsigned *)user;
}

/* Dirty-page maps of foreign QEMUs that have ended: ".dirty-PID-START-source". */
static void sweep_maps(void)
{
	AUTO(own_free) char *root = NULL;
	struct error *err = state_root(&root);
	AUTO(own_dir) DIR *dir = err ? NULL : opendir(root);
	error_destroy(err);
	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		int pid;
		unsigned long long start;
		if (sscanf(entry->d_name, ".dirty-%d-%llu-", &pid, &start) == 2 &&
		    !proc_is(pid, start))
			unlinkat(dirfd(dir), entry->d_name, 0);
	}
}

unsigned state_sweep(void)
{
	unsigned swept = 0;
	sweep_maps();
	error_destroy(for_each_name(sweep_one, &swept));
	remove_shm(is_orphan, NULL);
	return swept;
}

static struct error *check_room(uint64_t size_bytes)
{
	struct statvfs info;
	if (statvfs(SHM_DIR, &info))
		return error_system(errno, "cannot look at " SHM_DIR);
	uint64_t room = (uint64_t)info.f_bavail * info.f_frsize;
	if (info.f_blocks && room < size_bytes)
		return error_hint(error_create(ERR_LIMIT,
					       SHM_DIR
					       " has room for %llu MiB, the guest's RAM "
					       "needs %llu MiB",
					       (unsigned long long)(room >> 20),
					       (unsigned long long)(size_bytes >> 20)),
				  "smaller --mem, or free space there");
	return NULL;
}

struct error *state_ram_create(const char *name, uint64_t size_bytes, int *fd_ret)
{
	AUTO(own_free) char *path = NULL;
	TRY(state_shm_path(name, "ram", &path));
	TRY(check_room(size_bytes));
	for (int attempt = 0; attempt < 10; attempt++) {
		AUTO(own_fd) int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0 && errno == EEXIST)
			return error_hint(error_create(ERR_LIMIT, "%s exists already", path),
					  "another VM uses the name %s", name);
		if (fd < 0)
			return error_system(errno, "cannot make %s", path);
		if (flock(fd, LOCK_EX | LOCK_NB) || !same_file(fd, path))
			continue; /* a sweep took it for an orphan: once more */
		if (ftruncate(fd, (off_t)size_bytes)) {
			int saved = errno;
			unlink(path);
			return error_system(saved, "cannot size %s", path);
		}
		*fd_ret = own_fd_take(&fd);
		return NULL;
	}
	return error_create(ERR_SYSTEM, "cannot lock %s", path);
}
