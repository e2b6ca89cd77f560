#include "box/guest_shell.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "vm/state.h"

enum { OUTPUT_MAX = 1 << 20 };

struct guest_shell {
	int fd;
	unsigned commands;
};

void guest_shell_close(struct guest_shell *shell)
{
	if (!shell)
		return;
	own_fd(&shell->fd);
	free(shell);
}

static struct error *connect_to(struct guest_shell *shell, const char *vm)
{
	AUTO(own_free) char *path = NULL;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	TRY(state_path(vm, "console.sock", &path));
	if (strlen(path) >= sizeof(address.sun_path))
		return error_create(ERR_SYSTEM, "the console's path is too long");
	memcpy(address.sun_path, path, strlen(path) + 1);
	shell->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (shell->fd < 0 || connect(shell->fd, (struct sockaddr *)&address, sizeof(address)))
		return error_system(errno, "cannot reach the console of %s", vm);
	return NULL;
}

struct error *guest_shell_open(const char *vm, struct guest_shell **ret)
{
	AUTO(own_guest_shell) struct guest_shell *shell = NULL;
	TRY(error_alloc(1, sizeof(*shell), &shell));
	shell->fd = -1;
	TRY(connect_to(shell, vm));
	*ret = TAKE(shell);
	return NULL;
}

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static struct error *send_all(struct guest_shell *shell, const char *text)
{
	for (size_t left = strlen(text); left;) {
		ssize_t sent = send(shell->fd, text, left, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return error_create(ERR_PEER, "the guest's console ended");
		text += sent;
		left -= (size_t)sent;
	}
	return NULL;
}

/* Reads until the mark shows up; text is NUL-terminated and the caller's. */
static struct error *read_until(struct guest_shell *shell, const char *mark, int timeout_ms,
				char **text_ret)
{
	AUTO(own_free) char *text = NULL;
	size_t length = 0, searched = 0;
	int64_t end = now_ms() + timeout_ms;
	TRY(error_alloc(OUTPUT_MAX + 1, 1, &text));
	while (!strstr(text + searched, mark)) {
		struct pollfd wait = { .fd = shell->fd, .events = POLLIN };
		int64_t left = end - now_ms();
		if (left <= 0 || length == OUTPUT_MAX)
			return error_create(ERR_LIMIT,
					    "the guest's shell did not answer in time");
		int ready = poll(&wait, 1, (int)left);
		if (ready < 0)
			return error_system(errno, "waiting for the guest's shell");
		if (!ready)
			continue;
		/* Who reads slowly is cut off: what was searched is not searched again. */
		searched = length > strlen(mark) ? length - strlen(mark) : 0;
		ssize_t got = read(shell->fd, text + length, OUTPUT_MAX - length);
		if (got <= 0)
			return error_create(ERR_PEER, "the guest's console ended");
		/* A NUL from the guest would hide the mark behind it. */
		for (ssize_t i = 0; i < got; i++)
			if (!text[length + (size_t)i])
				text[length + (size_t)i] = ' ';
		length += (size_t)got;
		text[length] = '\0';
	}
	*text_ret = TAKE(text);
	return NULL;
}

/* The marks are put together by the guest's printf, so that the echo of what we type is not
 * taken for them. */
struct error *guest_shell_run(struct guest_shell *shell, const char *command, int timeout_ms,
			      char **output_ret)
{
	char begin[48], end[48];
	AUTO(own_free) char *line = NULL, *text = NULL;
	unsigned number = ++shell->commands;
	snprintf(begin, sizeof(begin), "@@begin-%d-%u@", (int)getpid(), number);
	snprintf(end, sizeof(end), "@@end-%d-%u@", (int)getpid(), number);
	if (asprintf(&line,
		     "printf '@@%%s@\\n' begin-%d-%u; %s\nprintf '\\n@@%%s@\\n' end-%d-%u\n",
		     (int)getpid(), number, command, (int)getpid(), number) < 0) {
		line = NULL;
		return error_create(ERR_MEMORY, "no memory for a command");
	}
	TRY(send_all(shell, line));
	TRY(read_until(shell, end, timeout_ms, &text));
	*strstr(text, end) = '\0';
	const char *from = strstr(text, begin);
	*output_ret = strdup(from ? from + strlen(begin) : text);
	return *output_ret ? NULL
			   : error_create(ERR_MEMORY, "no memory for a command's output");
}
