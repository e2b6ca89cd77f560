#include "cli/terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>

#include "base/error.h"
#include "vm/state.h"

#define ESCAPE 0x1d /* Ctrl-] */

struct terminal {
	int fd;
	bool is_raw, escaped, input_ended;
	struct termios saved;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	interrupted = 1;
}

static void watch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal };
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

static struct error *connect_console(const char *vm, int *fd_ret)
{
	AUTO(own_free) char *path = NULL;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	TRY(state_path(vm, "console.sock", &path));
	if (strlen(path) >= sizeof(address.sun_path))
		return error_create(ERR_LIMIT, "the socket path %s is too long", path);
	memcpy(address.sun_path, path, strlen(path));
	AUTO(own_fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return error_system(errno, "cannot reach the console of VM %s", vm);
	*fd_ret = own_fd_take(&fd);
	return NULL;
}

static void make_raw(struct terminal *terminal)
{
	if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &terminal->saved))
		return;
	struct termios raw = terminal->saved;
	cfmakeraw(&raw);
	terminal->is_raw = !tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
}

struct error *terminal_open(const char *vm, struct terminal **ret)
{
	AUTO(own_fd) int fd = -1;
	TRY(connect_console(vm, &fd));
	struct terminal *made = NULL;
	TRY(error_alloc(1, sizeof(*made), &made));
	made->fd = own_fd_take(&fd);
	watch_signals();
	make_raw(made);
	*ret = made;
	return NULL;
}

void terminal_close(struct terminal *terminal)
{
	if (!terminal)
		return;
	if (terminal->is_raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal->saved);
	close(terminal->fd);
	free(terminal);
}

void terminal_say(const struct terminal *terminal, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fputs("glassbox: ", stderr);
	vfprintf(stderr, format, args);
	fputs(terminal->is_raw ? "\r\n" : "\n", stderr);
	va_end(args);
}

static bool put_all(int fd, const char *bytes, size_t length)
{
	while (length) {
		ssize_t put = write(fd, bytes, length);
		if (put < 0 && errno != EINTR)
			return false;
		bytes += put > 0 ? put : 0;
		length -= put > 0 ? (size_t)put : 0;
	}
	return true;
}

static enum terminal_event from_console(struct terminal *terminal)
{
	char bytes[4096];
	ssize_t got = recv(terminal->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
		return TERMINAL_CLOSED;
	if (got > 0 && !put_all(STDOUT_FILENO, bytes, (size_t)got))
		return TERMINAL_STOP; /* nobody reads what the guest prints */
	return TERMINAL_NOTHING;
}

static enum terminal_event from_keyboard(struct terminal *terminal)
{
	char bytes[256];
	ssize_t got = read(STDIN_FILENO, bytes, sizeof(bytes));
	if (got <= 0) {
		terminal->input_ended = got == 0 || errno != EINTR;
		return TERMINAL_NOTHING;
	}
	for (ssize_t i = 0; i < got; i++) {
		char key = bytes[i];
		if (terminal->is_raw && !terminal->escaped && key == ESCAPE) {
			terminal->escaped = true;
			continue;
		}
		if (terminal->escaped) {
			terminal->escaped = false;
			if (key == 'd' || key == 's')
				return key == 'd' ? TERMINAL_DETACH : TERMINAL_STOP;
			if (key != ESCAPE) {
				terminal_say(terminal,
					     "after Ctrl-]: d detaches, s stops the VM");
				continue;
			}
		}
		send(terminal->fd, &key, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	return TERMINAL_NOTHING;
}

enum terminal_event terminal_run(struct terminal *terminal, int extra_fd)
{
	enum terminal_event event = TERMINAL_NOTHING;
	while (event == TERMINAL_NOTHING) {
		struct pollfd polls[] = {
			{ .fd = terminal->fd, .events = POLLIN },
			{ .fd = terminal->input_ended ? -1 : STDIN_FILENO, .events = POLLIN },
			{ .fd = extra_fd, .events = POLLIN },
		};
		int ready = poll(polls, 3, -1);
		if (interrupted)
			return TERMINAL_STOP;
		if (ready < 0)
			continue;
		if (polls[0].revents)
			event = from_console(terminal);
		if (event == TERMINAL_NOTHING && polls[1].revents)
			event = from_keyboard(terminal);
		if (event == TERMINAL_NOTHING && polls[2].revents)
			event = TERMINAL_NEWS;
	}
	return event;
}
