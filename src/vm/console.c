#include "vm/console.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/error.h"

#define TAIL_BYTES (1u << 20)
#define REPLAY_BYTES 65536u /* that a new terminal gets of it */
#define LINE_BYTES 512u
/* A guest that prints without end must not fill the disk: the log starts over. */
#define LOG_LIMIT (16u << 20)

struct client {
	int fd;
	uint64_t sent; /* bytes of the output that it has, or that are too old for it */
};

struct console {
	int serial_fd, listen_fd, log_fd;
	struct client clients[CONSOLE_CLIENTS];
	size_t n_clients;
	const char *first_text, *ready_text;
	uint64_t log_bytes;
	char line[LINE_BYTES]; /* the line being printed, for the marks */
	size_t line_length;
	char tail[TAIL_BYTES]; /* ring of the last output */
	uint64_t tail_total; /* bytes ever put in */
};

struct error *console_create(const struct console_params *params, struct console **ret)
{
	struct console *made = NULL;
	TRY(error_alloc(1, sizeof(*made), &made));
	made->serial_fd = params->serial_fd;
	made->listen_fd = params->listen_fd;
	made->log_fd = params->log_fd;
	made->first_text = params->first_text;
	made->ready_text = params->ready_text;
	*ret = made;
	return NULL;
}

void console_destroy(struct console *console)
{
	if (!console)
		return;
	for (size_t i = 0; i < console->n_clients; i++)
		close(console->clients[i].fd);
	close(console->serial_fd);
	close(console->listen_fd);
	close(console->log_fd);
	free(console);
}

void console_type(struct console *console, const char *text)
{
	ssize_t sent =
		send(console->serial_fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL);
	(void)sent;
}

size_t console_polls(const struct console *console, struct pollfd polls[CONSOLE_POLLS])
{
	polls[0] = (struct pollfd){ .fd = console->serial_fd, .events = POLLIN };
	polls[1] = (struct pollfd){ .fd = console->listen_fd, .events = POLLIN };
	for (size_t i = 0; i < console->n_clients; i++) {
		const struct client *client = &console->clients[i];
		bool behind = client->sent < console->tail_total;
		polls[2 + i] = (struct pollfd){ .fd = client->fd,
						.events = behind ? POLLIN | POLLOUT : POLLIN };
	}
	return 2 + console->n_clients;
}

static void remember(struct console *console, const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		console->tail[(console->tail_total + i) % TAIL_BYTES] = bytes[i];
	console->tail_total += length;
}

static void write_log(struct console *console, const char *bytes, size_t length)
{
	if (console->log_bytes + length > LOG_LIMIT && !ftruncate(console->log_fd, 0)) {
		lseek(console->log_fd, 0, SEEK_SET);
		console->log_bytes = 0;
	}
	ssize_t put = write(console->log_fd, bytes, length);
	console->log_bytes += put > 0 ? (size_t)put : 0;
}

static bool line_has(const struct console *console, const char *text)
{
	return text && memmem(console->line, console->line_length, text, strlen(text));
}

static unsigned line_marks(const struct console *console)
{
	unsigned marks = 0;
	if (line_has(console, console->first_text))
		marks |= CONSOLE_FIRST;
	if (line_has(console, console->ready_text))
		marks |= CONSOLE_READY;
	if (line_has(console, "Kernel panic - not syncing"))
		marks |= CONSOLE_PANIC;
	return marks;
}

/* Collects lines; the marks of every line that ended in these bytes. */
static unsigned watch_lines(struct console *console, const char *bytes, size_t length)
{
	unsigned marks = 0;
	for (size_t i = 0; i < length; i++) {
		if (bytes[i] == '\n' || console->line_length == LINE_BYTES) {
			marks |= line_marks(console);
			console->line_length = 0;
		}
		if (bytes[i] != '\n')
			console->line[console->line_length++] = bytes[i];
	}
	return marks;
}

static void drop_client(struct console *console, size_t i)
{
	close(console->clients[i].fd);
	console->clients[i] = console->clients[--console->n_clients];
}

/* What is remembered and it does not have yet, as far as it takes it now. False: it is gone,
 * or so far behind that there is a hole in what is remembered. */
static bool feed(const struct console *console, struct client *client)
{
	uint64_t total = console->tail_total;
	while (client->sent < total && total - client->sent <= TAIL_BYTES) {
		size_t at = (size_t)(client->sent % TAIL_BYTES);
		uint64_t left = total - client->sent;
		size_t part = TAIL_BYTES - at < left ? TAIL_BYTES - at : (size_t)left;
		ssize_t sent =
			send(client->fd, console->tail + at, part, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (sent <= 0)
			return false;
		client->sent += (uint64_t)sent;
	}
	return client->sent == total;
}

static void feed_all(struct console *console)
{
	for (size_t i = console->n_clients; i-- > 0;)
		if (!feed(console, &console->clients[i]))
			drop_client(console, i);
}

static unsigned from_guest(struct console *console)
{
	char bytes[4096];
	ssize_t got = recv(console->serial_fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	if (got <= 0)
		return 0;
	size_t length = (size_t)got;
	remember(console, bytes, length);
	write_log(console, bytes, length);
	return CONSOLE_OUTPUT | watch_lines(console, bytes, length);
}

/* A new terminal first gets the output that is remembered. */
static void accept_client(struct console *console)
{
	int fd = accept4(console->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		return;
	if (console->n_clients == CONSOLE_CLIENTS) {
		close(fd);
		return;
	}
	uint64_t total = console->tail_total;
	uint64_t from = total > REPLAY_BYTES ? total - REPLAY_BYTES : 0;
	console->clients[console->n_clients++] = (struct client){ .fd = fd, .sent = from };
}

static void from_client(struct console *console, size_t i)
{
	char bytes[1024];
	ssize_t got = recv(console->clients[i].fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	if (got > 0) {
		/* A guest that does not read its console loses what is typed. */
		ssize_t sent = send(console->serial_fd, bytes, (size_t)got,
				    MSG_DONTWAIT | MSG_NOSIGNAL);
		(void)sent;
	} else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
		drop_client(console, i);
	}
}

unsigned console_handle(struct console *console, const struct pollfd *polls, size_t n_polls)
{
	for (size_t i = n_polls; i-- > 2;) {
		size_t client = i - 2;
		if ((polls[i].revents & ~POLLOUT) && client < console->n_clients &&
		    console->clients[client].fd == polls[i].fd)
			from_client(console, client);
	}
	unsigned marks = polls[0].revents ? from_guest(console) : 0;
	if (polls[1].revents)
		accept_client(console);
	feed_all(console);
	return marks;
}
