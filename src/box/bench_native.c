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

/* What a console carries well at once. */
enum { PIECE = 32 << 10, MOST_PIECES = 512, FETCH_MS = 60000 };

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Text of `xxd -p`, up to an '='; false: it is damaged. */
static bool decode(const char *text, uint8_t bytes[PIECE], size_t *n_ret)
{
	size_t n = 0;
	for (const char *at = text; *at && *at != '='; at++) {
		int high = hex_digit(at[0]), low = high < 0 ? -1 : hex_digit(at[1]);
		if (high < 0)
			continue; /* ends of lines */
		if (low < 0 || n == PIECE)
			return false;
		bytes[n++] = (uint8_t)(high << 4 | low);
		at++;
	}
	*n_ret = n;
	return true;
}

static struct error *fetch_piece(struct guest_shell *shell, const char *path, unsigned piece,
				 int fd, size_t *n_ret)
{
	AUTO(own_free) char *line = NULL, *text = NULL;
	AUTO(own_free) uint8_t *bytes = NULL;
	TRY(error_alloc(PIECE, 1, &bytes));
	if (asprintf(&line, "xxd -p -c 256 -s %u -l %u %s; echo =", piece * PIECE, PIECE,
		     path) < 0) {
		line = NULL;
		return error_create(ERR_MEMORY, "no memory for a command");
	}
	TRY(guest_shell_run(shell, line, FETCH_MS, &text));
	if (!decode(text, bytes, n_ret) || write(fd, bytes, *n_ret) != (ssize_t)*n_ret)
		return error_create(ERR_PEER, "the guest's %s did not arrive", path);
	return NULL;
}

struct error *bench_native_fetch(struct guest_shell *shell, const char *path, int *fd_ret)
{
	AUTO(own_fd) int fd = memfd_create("program", 0);
	size_t n = PIECE;
	if (fd < 0)
		return error_system(errno, "cannot hold a program");
	for (unsigned piece = 0; n == PIECE && piece < MOST_PIECES; piece++)
		TRY(fetch_piece(shell, path, piece, fd, &n));
	*fd_ret = fd;
	fd = -1;
	return NULL;
}

static double ms_of(struct timeval t)
{
	return (double)t.tv_sec * 1e3 + (double)t.tv_usec / 1e3;
}

bool bench_native_exec(const char *path, char *const *words, char *const *environment,
		       struct bench_native_run *ret)
{
	AUTO(own_fd) int output = memfd_create("output", MFD_CLOEXEC);
	int status;
	struct rusage used = { 0 };
	memset(ret, 0, sizeof(*ret));
	pid_t child = fork();
	if (!child) {
		dup2(output, 1);
		execve(path, words, environment);
		_exit(127);
	}
	if (child < 0 || wait4(child, &status, 0, &used) != child || !WIFEXITED(status) ||
	    WEXITSTATUS(status))
		return false;
	ret->cpu_ms = ms_of(used.ru_utime) + ms_of(used.ru_stime);
	return pread(output, ret->output, sizeof(ret->output) - 1, 0) >= 0;
}

bool bench_native_run(int fd, const char *command, struct bench_native_run *ret)
{
	char copy[128], path[64], *words[6] = { NULL }, *rest = copy;
	snprintf(copy, sizeof(copy), "%s", command);
	for (int n = 0; n < 5 && rest; n++)
		words[n] = strsep(&rest, " ");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return bench_native_exec(path, words, environ, ret) && *ret->output;
}
