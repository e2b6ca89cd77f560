#include "vm/qmp.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/error.h"
#include "base/vec.h"
#include "vm/proc.h"

OWN_DECLARE(own_json, json_t *, json_decref)

/* How long a command may take unless the caller says otherwise. */
#define COMMAND_TIMEOUT_MS 10000

struct qmp {
	int fd;
	bool closed;
	VEC(char) in;
	json_t *events; /* array of those that came while a command waited for its answer */
	unsigned next_id;
};

size_t qmp_parse_line(const char *bytes, size_t length, json_t **message_ret)
{
	const char *end = memchr(bytes, '\n', length);
	*message_ret = NULL;
	if (!end)
		return 0;
	size_t line = (size_t)(end - bytes);
	json_t *message = json_loadb(bytes, line, 0, NULL);
	if (message && !json_is_object(message)) {
		json_decref(message);
		message = NULL;
	}
	*message_ret = message;
	return line + 1;
}

static struct error *peer_closed(struct qmp *qmp)
{
	qmp->closed = true;
	return error_create(ERR_PEER, "QEMU closed its monitor");
}

/* Reads what has arrived, waiting at most timeout_ms for the first byte. */
static struct error *receive(struct qmp *qmp, int timeout_ms)
{
	struct pollfd wait = { .fd = qmp->fd, .events = POLLIN };
	int ready = poll(&wait, 1, timeout_ms < 0 ? 0 : timeout_ms);
	if (ready < 0 && errno != EINTR)
		return error_system(errno, "cannot wait for QEMU's monitor");
	if (ready <= 0)
		return NULL;
	if (qmp->in.count > QMP_MESSAGE_LIMIT)
		return error_create(ERR_PEER, "QEMU's monitor sent a message without end");
	if (!VEC_RESERVE(&qmp->in, qmp->in.count + 65536))
		return error_create(ERR_MEMORY, "no memory for a monitor message");
	ssize_t got = recv(qmp->fd, qmp->in.items + qmp->in.count, 65536, MSG_DONTWAIT);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return NULL;
	if (got <= 0)
		return peer_closed(qmp);
	qmp->in.count += (size_t)got;
	return NULL;
}

/* Takes the first whole message out of the buffer; *message_ret stays NULL if there is none. */
static struct error *take_message(struct qmp *qmp, json_t **message_ret)
{
	size_t used =
		qmp->in.count ? qmp_parse_line(qmp->in.items, qmp->in.count, message_ret) : 0;
	if (!used)
		return NULL;
	qmp->in.count -= used;
	memmove(qmp->in.items, qmp->in.items + used, qmp->in.count);
	if (!*message_ret)
		return error_create(ERR_PEER, "QEMU's monitor answered with garbage");
	return NULL;
}

/* Waits for the next message until the deadline. Caller owns *message_ret. */
static struct error *next_message(struct qmp *qmp, uint64_t deadline_ns, json_t **message_ret)
{
	for (;;) {
		json_t *message = NULL;
		TRY(take_message(qmp, &message));
		if (message) {
			*message_ret = message;
			return NULL;
		}
		uint64_t now = clock_now_ns();
		if (now >= deadline_ns)
			return error_create(ERR_PEER, "QEMU's monitor does not answer");
		TRY(receive(qmp, (int)((deadline_ns - now) / 1000000) + 1));
	}
}

static struct error *send_all(struct qmp *qmp, const char *text, size_t length, int pass_fd)
{
	struct iovec part = { .iov_base = (void *)text, .iov_len = length };
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	if (pass_fd >= 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &pass_fd, sizeof(int));
	}
	while (part.iov_len) {
		ssize_t sent = sendmsg(qmp->fd, &message, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return errno == EPIPE
				       ? peer_closed(qmp)
				       : error_system(errno, "cannot write to QEMU's monitor");
		part.iov_base = (char *)part.iov_base + sent;
		part.iov_len -= (size_t)sent;
		message.msg_controllen = 0;
	}
	return NULL;
}

static struct error *await_answer(struct qmp *qmp, const char *command, unsigned id,
				  uint64_t deadline_ns, json_t **value_ret)
{
	for (;;) {
		AUTO(own_json) json_t *message = NULL;
		TRY(next_message(qmp, deadline_ns, &message));
		if (json_object_get(message, "event")) {
			json_array_append(qmp->events, message);
			continue;
		}
		const json_t *error = json_object_get(message, "error");
		const json_t *answered = json_object_get(message, "id");
		if (answered && json_integer_value(answered) != id)
			continue; /* the late answer to a command that was given up */
		if (error) {
			const char *words = json_string_value(json_object_get(error, "desc"));
			return error_create(ERR_PEER, "QEMU refused %s: %s", command,
					    words ? words : "no reason given");
		}
		json_t *value = json_object_get(message, "return");
		if (!value)
			return error_create(ERR_PEER, "QEMU's monitor answered with garbage");
		if (value_ret)
			*value_ret = json_incref(value);
		return NULL;
	}
}

static struct error *command_with_fd(struct qmp *qmp, const char *command, json_t *args,
				     int timeout_ms, int pass_fd, json_t **value_ret)
{
	unsigned id = ++qmp->next_id;
	AUTO(own_json)
	json_t *request = args ? json_pack("{s:s, s:i, s:O}", "execute", command, "id", (int)id,
					   "arguments", args)
			       : json_pack("{s:s, s:i}", "execute", command, "id", (int)id);
	AUTO(own_free) char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	if (!text)
		return error_create(ERR_MEMORY, "no memory for the command %s", command);
	uint64_t deadline = clock_now_ns() + (uint64_t)timeout_ms * 1000000u;
	size_t length = strlen(text);
	text[length] = '\n'; /* in place of the NUL: the line's end */
	struct error *err = send_all(qmp, text, length + 1, pass_fd);
	if (!err)
		err = await_answer(qmp, command, id, deadline, value_ret);
	return err;
}

struct error *qmp_command(struct qmp *qmp, const char *command, json_t *args, int timeout_ms,
			  json_t **value_ret)
{
	return command_with_fd(qmp, command, args, timeout_ms, -1, value_ret);
}

struct error *qmp_commandf(struct qmp *qmp, json_t **value_ret, const char *command,
			   const char *format, ...)
{
	va_list list;
	va_start(list, format);
	AUTO(own_json) json_t *args = json_vpack_ex(NULL, 0, format, list);
	va_end(list);
	CHECK(args);
	return qmp_command(qmp, command, args, COMMAND_TIMEOUT_MS, value_ret);
}

struct error *qmp_human(struct qmp *qmp, const char *line, char **text_ret)
{
	AUTO(own_json) json_t *value = NULL;
	TRY(qmp_commandf(qmp, &value, "human-monitor-command", "{s:s}", "command-line", line));
	const char *text = json_string_value(value);
	if (!text)
		return error_create(ERR_PEER, "QEMU's monitor answered '%s' with garbage",
				    line);
	*text_ret = strdup(text);
	return *text_ret ? NULL : error_create(ERR_MEMORY, "no memory for a monitor text");
}

struct error *qmp_give_fd(struct qmp *qmp, int fd, const char *name)
{
	AUTO(own_json) json_t *args = json_pack("{s:s}", "fdname", name);
	return command_with_fd(qmp, "getfd", args, COMMAND_TIMEOUT_MS, fd, NULL);
}

struct error *qmp_add_fd(struct qmp *qmp, int fd, int64_t *set_ret)
{
	AUTO(own_json) json_t *answer = NULL;
	TRY(command_with_fd(qmp, "add-fd", NULL, COMMAND_TIMEOUT_MS, fd, &answer));
	*set_ret = json_integer_value(json_object_get(answer, "fdset-id"));
	return NULL;
}

static struct error *greet(struct qmp *qmp, int timeout_ms)
{
	AUTO(own_json) json_t *greeting = NULL;
	uint64_t deadline = clock_now_ns() + (uint64_t)timeout_ms * 1000000u;
	TRY(next_message(qmp, deadline, &greeting));
	if (!json_object_get(greeting, "QMP"))
		return error_create(ERR_PEER, "what answers is not QEMU's monitor");
	return qmp_command(qmp, "qmp_capabilities", NULL, timeout_ms, NULL);
}

struct error *qmp_from_fd(int fd, int timeout_ms, struct qmp **ret)
{
	struct qmp *made = NULL;
	struct error *err = error_alloc(1, sizeof(*made), &made);
	if (err) {
		close(fd);
		return err;
	}
	made->fd = fd;
	made->events = json_array();
	err = made->events ? greet(made, timeout_ms)
			   : error_create(ERR_MEMORY, "no memory for a monitor");
	if (err) {
		qmp_close(made);
		return err;
	}
	*ret = made;
	return NULL;
}

struct error *qmp_connect(const char *path, int timeout_ms, struct qmp **ret)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(address.sun_path))
		return error_create(ERR_LIMIT, "the socket path %s is too long", path);
	memcpy(address.sun_path, path, strlen(path));
	AUTO(own_fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return error_system(errno, "cannot reach QEMU's monitor at %s", path);
	return error_wrap(qmp_from_fd(own_fd_take(&fd), timeout_ms, ret), "%s", path);
}

void qmp_close(struct qmp *qmp)
{
	if (!qmp)
		return;
	close(qmp->fd);
	VEC_FREE(&qmp->in);
	json_decref(qmp->events);
	free(qmp);
}

json_t *qmp_next_event(struct qmp *qmp, bool *closed_ret)
{
	if (!qmp->closed)
		error_destroy(receive(qmp, 0));
	for (;;) {
		json_t *message = NULL;
		error_destroy(take_message(qmp, &message));
		if (!message)
			break;
		if (json_object_get(message, "event"))
			json_array_append_new(qmp->events, message);
		else
			json_decref(message);
	}
	*closed_ret = qmp->closed;
	json_t *event = json_array_get(qmp->events, 0);
	if (!event)
		return NULL;
	json_incref(event);
	json_array_remove(qmp->events, 0);
	return event;
}

int qmp_fd(const struct qmp *qmp)
{
	return qmp->fd;
}
