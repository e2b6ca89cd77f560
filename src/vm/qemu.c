#include "vm/qemu.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/cache_path.h"
#include "base/error.h"
#include "base/setup_path.h"
#include "vm/kvm.h"

#define RECENT_MAJOR 11
#define RECENT_MINOR 1

void qemu_binary_deinit(struct qemu_binary *qemu)
{
	free(qemu->path);
	qemu->path = NULL;
}

bool qemu_parse_version(const char *text, struct qemu_binary *ret)
{
	static const char before[] = "version ";
	const char *at = strstr(text, before);
	return at && sscanf(at + strlen(before), "%d.%d.%d", &ret->major, &ret->minor,
			    &ret->micro) == 3;
}

/* What a program prints, at most a second; NULL when it cannot be run. Caller owns. */
static char *output_of(const char *path, const char *arg)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC))
		return NULL;
	pid_t child = fork();
	if (!child) {
		dup2(ends[1], STDOUT_FILENO);
		execl(path, path, arg, (char *)NULL);
		_exit(127);
	}
	close(ends[1]);
	AUTO(own_fd) int from = ends[0];
	char *text = calloc(1, 513);
	struct pollfd wait = { .fd = from, .events = POLLIN };
	ssize_t got = child > 0 && text && poll(&wait, 1, 5000) > 0 ? read(from, text, 512) : 0;
	if (child > 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	if (got > 0)
		return text;
	free(text);
	return NULL;
}

/* Versions of programs that were asked already: starting one takes longer than a warm guest
 * may. */
static struct known {
	dev_t dev;
	ino_t inode;
	struct timespec changed;
	struct qemu_binary version;
} known[4];
static unsigned n_known;
static pthread_mutex_t known_lock = PTHREAD_MUTEX_INITIALIZER;

static struct known *find_known(const struct stat *file)
{
	for (unsigned i = 0; i < n_known && i < 4; i++)
		if (known[i].dev == file->st_dev && known[i].inode == file->st_ino &&
		    known[i].changed.tv_sec == file->st_mtim.tv_sec &&
		    known[i].changed.tv_nsec == file->st_mtim.tv_nsec)
			return &known[i];
	return NULL;
}

static bool ask_version(const char *path, struct qemu_binary *ret)
{
	struct stat file;
	if (stat(path, &file))
		return false;
	pthread_mutex_lock(&known_lock);
	const struct known *before = find_known(&file);
	bool found = before != NULL;
	if (found)
		*ret = before->version;
	pthread_mutex_unlock(&known_lock);
	if (found)
		return true;
	AUTO(own_free) char *text = output_of(path, "--version");
	if (!text || !qemu_parse_version(text, ret))
		return false;
	pthread_mutex_lock(&known_lock);
	known[n_known++ % 4] = (struct known){ file.st_dev, file.st_ino, file.st_mtim, *ret };
	known[(n_known - 1) % 4].version.path = NULL;
	pthread_mutex_unlock(&known_lock);
	return true;
}

static bool try_binary(const char *path, const char *why, struct qemu_binary *ret)
{
	if (access(path, X_OK) || !ask_version(path, ret))
		return false;
	ret->path = strdup(path);
	ret->why = why;
	return ret->path != NULL;
}

static bool is_recent(const struct qemu_binary *qemu)
{
	return qemu->major > RECENT_MAJOR ||
	       (qemu->major == RECENT_MAJOR && qemu->minor >= RECENT_MINOR);
}

/* First PATH entry with the program; its path in buffer. */
static bool search_path(const char *program, char *buffer, size_t size)
{
	const char *path = getenv("PATH");
	for (const char *at = path ? path : "/usr/bin"; *at;) {
		size_t length = strcspn(at, ":");
		snprintf(buffer, size, "%.*s/%s", (int)length, at, program);
		if (length && !access(buffer, X_OK))
			return true;
		at += length + (at[length] == ':');
	}
	return false;
}

static bool private_path(const char *program, char *buffer, size_t size)
{
	AUTO(own_free) char *folder = NULL;
	AUTO(own_error) struct error *err = cache_path("bin", &folder);
	return !err && snprintf(buffer, size, "%s/%s", folder, program) < (int)size;
}

struct error *qemu_find(bool is_i386, bool wants_recent, struct qemu_binary *ret)
{
	const char *program = is_i386 ? "qemu-system-i386" : "qemu-system-x86_64";
	const char *chosen = getenv("GLASSBOX_QEMU");
	char path[4096];
	struct qemu_binary system = { 0 }, own = { 0 };
	if (chosen && *chosen) {
		if (try_binary(chosen, "GLASSBOX_QEMU", ret))
			return NULL;
		return error_create(ERR_NOT_FOUND, "GLASSBOX_QEMU=%s is not a QEMU that runs",
				    chosen);
	}
	bool have_system =
		search_path(program, path, sizeof(path)) && try_binary(path, "system", &system);
	if (have_system && is_recent(&system)) {
		*ret = system;
		return NULL;
	}
	if (private_path(program, path, sizeof(path)) &&
	    try_binary(path, "private copy", &own)) {
		qemu_binary_deinit(&system);
		*ret = own;
		return NULL;
	}
	if (have_system && !wants_recent) {
		*ret = system;
		return NULL;
	}
	qemu_binary_deinit(&system);
	return error_hint(error_create(ERR_NOT_FOUND, "no %s%s found", program,
				       wants_recent ? " 11.1 or newer" : ""),
			  "`%s qemu` makes a private copy, or set GLASSBOX_QEMU", setup_path());
}

enum qemu_accel qemu_accel_auto(const char **why_ret)
{
	if (access("/dev/kvm", F_OK))
		*why_ret = "there is no /dev/kvm";
	else if (access("/dev/kvm", R_OK | W_OK))
		*why_ret = "/dev/kvm may not be opened by this user";
	else if (access("/sys/module/kvm_intel", F_OK) && access("/sys/module/kvm_amd", F_OK))
		*why_ret = "/dev/kvm is not hardware virtualisation (no kvm_intel or kvm_amd)";
	else if (!kvm_self_test())
		*why_ret = "a test guest did not run in KVM within its deadline";
	else {
		*why_ret = "a test guest ran in KVM";
		return QEMU_ACCEL_KVM;
	}
	return QEMU_ACCEL_TCG;
}
