/* The WebSocket at /ws: news and consoles. Messages (docs/stream.md):
 *
 *   from the page, text:  {"type":"console","vm":NAME}     show that console here; vm null:
 * none
 *                         {"type":"input","data":TEXT}     typed into it; needs the token
 *   to the page, text:    {"type":"vms","vms":[...]}       when the list of VMs changed
 *                         {"type":"console","state":"open"|"closed","reason":TEXT}
 *   to the page, binary:  1, bytes of the console
 *
 * A client that does not read is dropped once OUT_MAX bytes wait for it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/own.h"
#include "base/vec.h"
#include "box/box.h"
#include "box/call.h"
#include "server/internal.h"
#include "vm/state.h"

OWN_DECLARE(own_json, json_t *, json_decref)

enum { OUT_MAX = 4 << 20, IN_MAX = 64 << 10 };

/* One message that waits to be written. */
struct out_message {
	struct out_message *next;
	size_t length;
	bool is_binary;
	unsigned char bytes[]; /* LWS_PRE bytes of room first */
};

struct ws_client {
	struct ws_client *next;
	struct lws *wsi;
	struct lws *console; /* the raw socket, or NULL */
	struct out_message *first, **last;
	size_t out_bytes;
	char *vms_sent; /* the list of VMs that went out last */
	char *in; /* a message that comes in pieces */
	size_t in_bytes;
	bool may_change, is_slow;
	VEC(char) typed; /* input that waits for the console */
};

static struct server *server_of(struct lws *wsi)
{
	return lws_context_user(lws_get_context(wsi));
}

/* --- sending
 * ------------------------------------------------------------------------------------ */

static void send_bytes(struct ws_client *client, bool is_binary, int prefix, const void *bytes,
		       size_t length)
{
	struct out_message *message = NULL;
	size_t total = length + (prefix >= 0);
	if (client->out_bytes + total <= OUT_MAX)
		message = malloc(sizeof(*message) + LWS_PRE + total);
	if (!message) {
		client->is_slow = true;
		lws_callback_on_writable(client->wsi);
		return;
	}
	*message = (struct out_message){ .length = total, .is_binary = is_binary };
	unsigned char *to = message->bytes + LWS_PRE;
	if (prefix >= 0)
		*to++ = (unsigned char)prefix;
	memcpy(to, bytes, length);
	*client->last = message;
	client->last = &message->next;
	client->out_bytes += total;
	lws_callback_on_writable(client->wsi);
}

/* Takes document. */
static void send_json(struct ws_client *client, json_t *document)
{
	AUTO(own_free) char *text = json_dumps(document, JSON_COMPACT);
	json_decref(document);
	if (text)
		send_bytes(client, false, -1, text, strlen(text));
}

static int write_next(struct ws_client *client)
{
	struct out_message *message = client->first;
	if (client->is_slow) {
		server_of(client->wsi)->counters.ws_dropped++;
		return -1;
	}
	if (!message)
		return 0;
	client->first = message->next;
	if (!client->first)
		client->last = &client->first;
	client->out_bytes -= message->length;
	int written = lws_write(client->wsi, message->bytes + LWS_PRE, message->length,
				message->is_binary ? LWS_WRITE_BINARY : LWS_WRITE_TEXT);
	server_of(client->wsi)->counters.bytes_sent += message->length;
	bool ok = written >= (int)message->length;
	free(message);
	if (client->first)
		lws_callback_on_writable(client->wsi);
	return ok ? 0 : -1;
}

/* --- the console
 * --------------------------------------------------------------------------------- */

static void say_console(struct ws_client *client, const char *state, const char *reason)
{
	send_json(client, json_pack("{s:s, s:s, s:s?}", "type", "console", "state", state,
				    "reason", reason));
}

static void close_console(struct ws_client *client)
{
	if (!client->console)
		return;
	lws_set_opaque_user_data(client->console, NULL);
	lws_set_timeout(client->console, PENDING_TIMEOUT_CLOSE_SEND, LWS_TO_KILL_ASYNC);
	client->console = NULL;
	client->typed.count = 0;
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
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_system(errno, "cannot make a socket");
	if (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		struct error *err =
			error_system(errno, "VM %s has no console to connect to", vm);
		close(fd);
		return err;
	}
	*fd_ret = fd;
	return NULL;
}

static void open_console(struct ws_client *client, const char *vm)
{
	int fd = -1;
	close_console(client);
	if (!vm)
		return;
	struct error *err = connect_console(vm, &fd);
	if (err) {
		say_console(client, "closed", error_message(err));
		error_destroy(err);
		return;
	}
	lws_sock_file_fd_type descriptor = { .sockfd = fd };
	client->console = lws_adopt_descriptor_vhost(
		lws_get_vhost(client->wsi), LWS_ADOPT_SOCKET, descriptor, "console", NULL);
	if (!client->console) {
		say_console(client, "closed", "the console could not be attached");
		return;
	}
	lws_set_opaque_user_data(client->console, client);
	say_console(client, "open", NULL);
}

static int write_typed(struct lws *wsi, struct ws_client *client)
{
	unsigned char bytes[LWS_PRE + 1024];
	size_t part = client->typed.count < 1024 ? client->typed.count : 1024;
	if (!part)
		return 0;
	memcpy(bytes + LWS_PRE, client->typed.items, part);
	if (lws_write(wsi, bytes + LWS_PRE, part, LWS_WRITE_RAW) < (int)part)
		return -1;
	memmove(client->typed.items, client->typed.items + part, client->typed.count - part);
	client->typed.count -= part;
	if (client->typed.count)
		lws_callback_on_writable(wsi);
	return 0;
}

int console_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		     size_t length)
{
	struct ws_client *client = wsi ? lws_get_opaque_user_data(wsi) : NULL;
	if (!client)
		return 0;
	switch (reason) {
	case LWS_CALLBACK_RAW_RX:
		send_bytes(client, true, 1, in, length);
		return 0;
	case LWS_CALLBACK_RAW_WRITEABLE:
		return write_typed(wsi, client);
	case LWS_CALLBACK_RAW_CLOSE:
		client->console = NULL;
		say_console(client, "closed", "the console ended");
		return 0;
	default:
		return 0;
	}
}

/* --- what the page says
 * ---------------------------------------------------------------------------- */

static void type_into_console(struct ws_client *client, const char *text)
{
	if (!client->may_change) {
		say_console(client, "closed",
			    "typing needs the token that `glassbox serve` printed");
		return;
	}
	for (const char *at = text;
	     client->console && at && *at && client->typed.count < IN_MAX; at++)
		if (!VEC_PUSH(&client->typed, *at))
			return;
	if (client->console)
		lws_callback_on_writable(client->console);
}

static void handle_message(struct ws_client *client, const char *text, size_t length)
{
	AUTO(own_json) json_t *message = json_loadb(text, length, 0, NULL);
	const char *type = json_string_value(json_object_get(message, "type"));
	if (!type)
		return;
	if (!strcmp(type, "console"))
		open_console(client, json_string_value(json_object_get(message, "vm")));
	else if (!strcmp(type, "input"))
		type_into_console(client, json_string_value(json_object_get(message, "data")));
}

/* Gathers the pieces of a message; -1 ends the connection of a client that sends too much. */
static int receive(struct ws_client *client, const void *bytes, size_t length)
{
	if (client->in_bytes + length > IN_MAX)
		return -1;
	char *grown = realloc(client->in, client->in_bytes + length + 1);
	if (!grown)
		return -1;
	client->in = grown;
	memcpy(grown + client->in_bytes, bytes, length);
	client->in_bytes += length;
	if (lws_is_final_fragment(client->wsi) && !lws_remaining_packet_payload(client->wsi)) {
		handle_message(client, client->in, client->in_bytes);
		client->in_bytes = 0;
	}
	return 0;
}

/* --- the list of VMs
 * ------------------------------------------------------------------------------------ */

struct list_job {
	struct job job;
	struct server *server;
	json_t *vms;
};

static void list_vms(struct job *job)
{
	struct list_job *work = (struct list_job *)job;
	AUTO(own_json) json_t *args = json_object();
	struct box_request request = { .call = call_find("ls"), .args = args, .user = "page" };
	error_destroy(box_call(work->server->box, &request, &work->vms));
}

/* Runs in the loop when the job is done. */
static void deliver_vms(struct job *job)
{
	struct list_job *work = (struct list_job *)job;
	ws_vms_listed(work->server, work->vms);
	free(work);
}

static void ask_for_vms(lws_sorted_usec_list_t *timer)
{
	struct server *server = lws_container_of(timer, struct server, vms_timer);
	lws_sul_schedule(server->context, 0, timer, ask_for_vms, LWS_US_PER_SEC);
	if (server->vms_asked || !server->clients)
		return;
	struct list_job *work = calloc(1, sizeof(*work));
	if (!work)
		return;
	work->job = (struct job){ .work = list_vms, .destroy = deliver_vms };
	work->server = server;
	server->vms_asked = jobs_submit(server->jobs, &work->job);
	if (!server->vms_asked)
		free(work);
}

void ws_start(struct server *server)
{
	lws_sul_schedule(server->context, 0, &server->vms_timer, ask_for_vms, 1);
}

void ws_vms_listed(struct server *server, json_t *document)
{
	server->vms_asked = false;
	AUTO(own_json)
	json_t *news =
		document ? json_pack("{s:s, s:o}", "type", "vms", "vms", document) : NULL;
	AUTO(own_free) char *text = news ? json_dumps(news, JSON_COMPACT) : NULL;
	for (struct ws_client *client = server->clients; text && client;
	     client = client->next) {
		if (client->vms_sent && !strcmp(client->vms_sent, text))
			continue;
		free(client->vms_sent);
		client->vms_sent = strdup(text);
		send_bytes(client, false, -1, text, strlen(text));
	}
}

/* --- connections
 * ------------------------------------------------------------------------------------------ */

static bool is_allowed(struct lws *wsi, enum access_need need)
{
	struct server *server = server_of(wsi);
	struct http_request request = { 0 };
	int status;
	http_read_headers(wsi, &request);
	bool allowed = !access_refusal(&server->access, &request, need, &status);
	http_request_deinit(&request);
	return allowed;
}

static int connect_client(struct lws *wsi, struct session *session)
{
	struct server *server = server_of(wsi);
	struct ws_client *client = calloc(1, sizeof(*client));
	if (!client)
		return -1;
	client->wsi = wsi;
	client->last = &client->first;
	client->may_change = is_allowed(wsi, ACCESS_CHANGE);
	client->next = server->clients;
	server->clients = client;
	session->ws = client;
	server->counters.ws_clients++;
	return 0;
}

static void disconnect_client(struct lws *wsi, struct session *session)
{
	struct ws_client *client = session->ws, **link = &server_of(wsi)->clients;
	if (!client)
		return;
	while (*link != client)
		link = &(*link)->next;
	*link = client->next;
	close_console(client);
	while (client->first) {
		struct out_message *message = client->first;
		client->first = message->next;
		free(message);
	}
	VEC_FREE(&client->typed);
	free(client->vms_sent);
	free(client->in);
	free(client);
	session->ws = NULL;
}

int ws_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		size_t length)
{
	struct session *session = user;
	switch (reason) {
	case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
		return is_allowed(wsi, ACCESS_READ) ? 0 : -1;
	case LWS_CALLBACK_ESTABLISHED:
		return connect_client(wsi, session);
	case LWS_CALLBACK_RECEIVE:
		return session->ws ? receive(session->ws, in, length) : -1;
	case LWS_CALLBACK_SERVER_WRITEABLE:
		return session->ws ? write_next(session->ws) : -1;
	case LWS_CALLBACK_CLOSED:
		disconnect_client(wsi, session);
		return 0;
	default:
		return 0;
	}
}
