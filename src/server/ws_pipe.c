/* Consoles and screens of VMs, relayed between a Unix socket and a page's WebSocket.
 *
 * 1. Both are adopted into the event loop as raw sockets; the opaque pointer of one is its
 * struct ws_pipe, NULL once the page let go of it.
 * 2. A page that is behind is not dropped for what a VM says: the VM's socket is not read until
 *    the page has caught up.
 * 3. A screen is asked for through QEMU's monitor, which may wait: a worker does that. A job
 * whose client left in between finds NULL and closes what it got. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "server/internal.h"
#include "server/ws_client.h"
#include "vm/state.h"
#include "vm/vm.h"

enum { TYPED_MAX = 64 << 10, OUT_HIGH = 1 << 20, OUT_LOW = 256 << 10, WRITE_BYTES = 4096 };

static const char *const pipe_names[] = { [WS_CONSOLE] = "console", [WS_SCREEN] = "screen" };

static void say(struct ws_pipe *pipe, const char *state, const char *reason)
{
	AUTO(own_free) char *text = NULL;
	json_t *document = json_pack("{s:s, s:s, s:s?}", "type", pipe_names[pipe->kind],
				     "state", state, "reason", reason);
	text = json_dumps(document, JSON_COMPACT);
	json_decref(document);
	if (text)
		ws_send(pipe->client, false, -1, text, strlen(text));
}

/* Takes err. */
static void say_error(struct ws_pipe *pipe, struct error *err)
{
	AUTO(own_free) char *text = NULL;
	const char *hint = error_hint_text(err);
	if (asprintf(&text, "%s%s%s", error_message(err), hint ? ": " : "", hint ? hint : "") <
	    0)
		text = NULL;
	say(pipe, "closed", text);
	error_destroy(err);
}

static void let_go(struct ws_pipe *pipe)
{
	if (!pipe->wsi)
		return;
	lws_set_opaque_user_data(pipe->wsi, NULL);
	lws_set_timeout(pipe->wsi, PENDING_TIMEOUT_CLOSE_SEND, LWS_TO_KILL_ASYNC);
	pipe->wsi = NULL;
	pipe->typed.count = 0;
}

/* Takes fd. */
static void adopt(struct ws_pipe *pipe, int fd)
{
	lws_sock_file_fd_type descriptor = { .sockfd = fd };
	pipe->wsi = lws_adopt_descriptor_vhost(lws_get_vhost(pipe->client->wsi),
					       LWS_ADOPT_SOCKET, descriptor, "pipe", NULL);
	pipe->is_held = false;
	if (!pipe->wsi) {
		say(pipe, "closed", "it could not be attached");
		return;
	}
	lws_set_opaque_user_data(pipe->wsi, pipe);
	say(pipe, "open", NULL);
}

static struct error *connect_console(const char *vm, int *fd_ret)
{
	AUTO(own_free) char *path = NULL;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	TRY(state_check_name(vm));
	TRY(state_path(vm, "console.sock", &path));
	if (strlen(path) >= sizeof(address.sun_path))
		return error_create(ERR_SYSTEM, "the console's path is too long");
	memcpy(address.sun_path, path, strlen(path) + 1);
	AUTO(own_fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_system(errno, "cannot make a socket");
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return error_system(errno, "VM %s has no console to connect to", vm);
	*fd_ret = own_fd_take(&fd);
	return NULL;
}

static void open_console(struct ws_pipe *pipe, const char *vm)
{
	int fd = -1;
	struct error *err = connect_console(vm, &fd);
	if (err)
		say_error(pipe, err);
	else
		adopt(pipe, fd);
}

/* --- screens ------------------------------------------------------------------------------ */

struct screen_job {
	struct job job;
	struct ws_client *client; /* NULL once it left or wants another screen; the loop's */
	char *vm;
	int fd;
	struct error *err;
};

static void ask_for_screen(struct job *job)
{
	struct screen_job *work = (struct screen_job *)job;
	AUTO(own_vm) struct vm *vm = NULL;
	work->err = vm_open(work->vm, &vm);
	if (!work->err)
		work->err = vm_screen(vm, &work->fd);
}

/* Runs in the loop when the job is done, and for jobs that never ran when the server ends. */
static void deliver_screen(struct job *job)
{
	struct screen_job *work = (struct screen_job *)job;
	struct ws_pipe *pipe = work->client ? &work->client->pipes[WS_SCREEN] : NULL;
	if (pipe) {
		work->client->screen_job = NULL;
		if (work->err)
			say_error(pipe, work->err);
		else if (work->fd >= 0)
			adopt(pipe, work->fd);
	} else {
		error_destroy(work->err);
		if (work->fd >= 0)
			close(work->fd);
	}
	free(work->vm);
	free(work);
}

static void forget_screen_job(struct ws_client *client)
{
	if (client->screen_job)
		client->screen_job->client = NULL;
	client->screen_job = NULL;
}

static void open_screen(struct ws_pipe *pipe, const char *vm)
{
	struct ws_client *client = pipe->client;
	struct server *server = lws_context_user(lws_get_context(client->wsi));
	/* Asking for pixels and typing are one protocol: who may not type is shown nothing. */
	if (!client->may_change) {
		say(pipe, "closed", "the screen needs the token that `glassbox serve` printed");
		return;
	}
	struct screen_job *work = calloc(1, sizeof(*work));
	if (!work)
		return;
	work->job = (struct job){ .work = ask_for_screen, .destroy = deliver_screen };
	work->client = client;
	work->vm = strdup(vm);
	work->fd = -1;
	client->screen_job = work;
	if (work->vm && jobs_submit(server->jobs, &work->job))
		return;
	forget_screen_job(client);
	deliver_screen(&work->job);
	say(pipe, "closed", "too many calls wait already");
}

/* --- bytes -------------------------------------------------------------------------------- */

void ws_pipe_open(struct ws_client *client, enum ws_pipe_kind kind, const char *vm)
{
	struct ws_pipe *pipe = &client->pipes[kind];
	pipe->client = client;
	pipe->kind = kind;
	let_go(pipe);
	if (kind == WS_SCREEN)
		forget_screen_job(client);
	if (!vm)
		return;
	server_audit(client->user, vm, kind == WS_SCREEN ? "screen" : "console");
	if (kind == WS_SCREEN)
		open_screen(pipe, vm);
	else
		open_console(pipe, vm);
}

void ws_pipe_type(struct ws_pipe *pipe, const char *bytes, size_t length)
{
	if (!pipe->wsi)
		return;
	if (!pipe->client->may_change) {
		say(pipe, "closed", "typing needs the token that `glassbox serve` printed");
		return;
	}
	if (pipe->typed.count + length > TYPED_MAX ||
	    !VEC_RESERVE(&pipe->typed, pipe->typed.count + length))
		return;
	memcpy(pipe->typed.items + pipe->typed.count, bytes, length);
	pipe->typed.count += length;
	lws_callback_on_writable(pipe->wsi);
}

static int write_typed(struct ws_pipe *pipe)
{
	unsigned char bytes[LWS_PRE + WRITE_BYTES];
	size_t part = pipe->typed.count < WRITE_BYTES ? pipe->typed.count : WRITE_BYTES;
	if (!part)
		return 0;
	memcpy(bytes + LWS_PRE, pipe->typed.items, part);
	if (lws_write(pipe->wsi, bytes + LWS_PRE, part, LWS_WRITE_RAW) < (int)part)
		return -1;
	memmove(pipe->typed.items, pipe->typed.items + part, pipe->typed.count - part);
	pipe->typed.count -= part;
	if (pipe->typed.count)
		lws_callback_on_writable(pipe->wsi);
	return 0;
}

void ws_pipe_pace(struct ws_client *client)
{
	for (int kind = WS_CONSOLE; kind < WS_N_PIPES; kind++) {
		struct ws_pipe *pipe = &client->pipes[kind];
		bool hold = client->out_bytes > (pipe->is_held ? OUT_LOW : OUT_HIGH);
		if (!pipe->wsi || hold == pipe->is_held)
			continue;
		pipe->is_held = hold;
		lws_rx_flow_control(pipe->wsi, !hold);
	}
}

void ws_pipe_deinit(struct ws_client *client)
{
	forget_screen_job(client);
	for (int kind = WS_CONSOLE; kind < WS_N_PIPES; kind++) {
		let_go(&client->pipes[kind]);
		VEC_FREE(&client->pipes[kind].typed);
	}
}

int pipe_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		  size_t length)
{
	struct ws_pipe *pipe = wsi ? lws_get_opaque_user_data(wsi) : NULL;
	if (!pipe)
		return 0;
	switch (reason) {
	case LWS_CALLBACK_RAW_RX:
		ws_send(pipe->client, true, (int)pipe->kind, in, length);
		ws_pipe_pace(pipe->client);
		return 0;
	case LWS_CALLBACK_RAW_WRITEABLE:
		return write_typed(pipe);
	case LWS_CALLBACK_RAW_CLOSE:
		pipe->wsi = NULL;
		say(pipe, "closed", "the VM ended it");
		return 0;
	default:
		return 0;
	}
}
