#include "box/bench_native.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "box/guest_shell.h"

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

struct error *bench_native_fetch(struct guest_shell *shell, int *fd_ret)
{
	enum { FETCH_MS = 60000 };
	AUTO(own_free) char *text = NULL;
	AUTO(own_fd) int fd = memfd_create("workload", 0);
	TRY(guest_shell_run(shell, "xxd -p /bin/workload; echo =", FETCH_MS, &text));
	if (fd < 0)
		return error_system(errno, "cannot hold a program");
	for (const char *at = text; *at && *at != '='; at++) {
		int high = hex_digit(at[0]), low = high < 0 ? -1 : hex_digit(at[1]);
		if (high < 0)
			continue; /* ends of lines */
		uint8_t byte = (uint8_t)(high << 4 | low);
		if (low < 0 || write(fd, &byte, 1) != 1)
			return error_create(ERR_PEER, "the guest's program did not arrive");
		at++;
	}
	*fd_ret = fd;
	fd = -1;
	return NULL;
}

static void become(int program, int output, const char *command)
{
	char copy[128], path[64], *words[6] = { NULL }, *rest = copy;
	snprintf(copy, sizeof(copy), "%s", command);
	for (int n = 0; n < 5 && rest; n++)
		words[n] = strsep(&rest, " ");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", program);
	dup2(output, 1);
	execv(path, words);
	_exit(127);
}

static double ms_of(struct timeval t)
{
	return (double)t.tv_sec * 1e3 + (double)t.tv_usec / 1e3;
}

bool bench_native_run(int fd, const char *command, struct bench_native_run *ret)
{
	AUTO(own_fd) int output = memfd_create("output", MFD_CLOEXEC);
	int status;
	struct rusage used = { 0 };
	memset(ret, 0, sizeof(*ret));
	pid_t child = fork();
	if (!child)
		become(fd, output, command);
	if (child < 0 || wait4(child, &status, 0, &used) != child || !WIFEXITED(status) ||
	    WEXITSTATUS(status))
		return false;
	ret->cpu_ms = ms_of(used.ru_utime) + ms_of(used.ru_stime);
	return pread(output, ret->output, sizeof(ret->output) - 1, 0) > 0;
}
