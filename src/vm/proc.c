#include "vm/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/error.h"
#include "base/own.h"

struct error *proc_read_file(const char *path, size_t limit_bytes, char **text_ret,
			     size_t *length_ret)
{
	AUTO(own_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_system(errno, "cannot open %s", path);
	AUTO(own_free) char *text = malloc(limit_bytes + 1);
	if (!text)
		return error_create(ERR_MEMORY, "no memory for %s", path);
	size_t used = 0;
	while (used < limit_bytes) {
		ssize_t got = read(fd, text + used, limit_bytes - used);
		if (got < 0)
			return error_system(errno, "cannot read %s", path);
		if (!got)
			break;
		used += (size_t)got;
	}
	text[used] = 0;
	*text_ret = TAKE(text);
	if (length_ret)
		*length_ret = used;
	return NULL;
}

uint64_t proc_start_time(pid_t pid)
{
	char path[64], text[1024];
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	AUTO(own_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (got <= 0)
		return 0;
	text[got] = 0;
	/* The second field may contain spaces and brackets: count from the last one. */
	const char *at = strrchr(text, ')');
	if (!at || at[1] != ' ' || at[2] == 'Z' || at[2] == 'X')
		return 0;
	at++;
	for (int field = 3; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at, NULL, 10) : 0;
}

bool proc_is(pid_t pid, uint64_t start_time)
{
	return pid > 0 && start_time && proc_start_time(pid) == start_time;
}

/* A descriptor for exactly that process, or -1. */
static int open_process(pid_t pid, uint64_t start_time)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd >= 0 && !proc_is(pid, start_time)) {
		close(fd);
		return -1;
	}
	return fd;
}

bool proc_wait_gone(pid_t pid, uint64_t start_time, int timeout_ms)
{
	AUTO(own_fd) int fd = open_process(pid, start_time);
	if (fd < 0)
		return !proc_is(pid, start_time);
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	return poll(&wait, 1, timeout_ms) > 0;
}

void proc_signal(pid_t pid, uint64_t start_time, int number)
{
	AUTO(own_fd) int fd = open_process(pid, start_time);
	if (fd >= 0)
		syscall(SYS_pidfd_send_signal, fd, number, NULL, 0);
}

uint64_t clock_now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int proc_reopen(int fd, int flags)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, flags | O_CLOEXEC);
}
