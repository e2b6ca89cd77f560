/* The WebSocket at /ws: news, consoles and screens. Messages: docs/stream.md. A client that
 * does not read is dropped once OUT_MAX bytes wait for it; what a VM says never gets that far
 * (ws_pipe.c). */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/own.h"
#include "box/box.h"
#include "box/call.h"
#include "server/internal.h"
#include "server/live.h"
#include "server/ws_client.h"

OWN_DECLARE(own_json, json_t *, json_decref)

enum { OUT_MAX = 4 << 20, IN_MAX = 64 << 10 };

/* One message that waits to be written. */
struct out_message {
	struct out_message *next;
	size_t length;
	bool is_binary;
	unsigned char bytes[]; /* LWS_PRE bytes of room first */
};

static struct server *server_of(struct lws *wsi)
{
	return lws_context_user(lws_get_context(wsi));
}

/* --- sending
 * ------------------------------------------------------------------------------------ */

void ws_send(struct ws_client *client, bool is_binary, int prefix, const void *bytes,
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
	ws_pipe_pace(client);
	if (client->first)
		lws_callback_on_writable(client->wsi);
	return ok ? 0 : -1;
}

/* --- what the page says
 * ---------------------------------------------------------------------------- */

/* {"stream":N,"ranges":[[first frame, end], ...]}: what the camera of a page stream is near. */
static void take_near(struct ws_client *client, const json_t *message)
{
	struct live_range ranges[LIVE_MAX_NEAR];
	const json_t *list = json_object_get(message, "ranges");
	size_t n = 0;
	for (size_t i = 0; i < json_array_size(list) && n < LIVE_MAX_NEAR; i++) {
		const json_t *pair = json_array_get(list, i);
		json_int_t first = json_integer_value(json_array_get(pair, 0));
		json_int_t end = json_integer_value(json_array_get(pair, 1));
		if (first >= 0 && end > first)
			ranges[n++] = (struct live_range){ (uint64_t)first, (uint64_t)end };
	}
	lives_prefer(server_of(client->wsi)->lives,
		     (uint64_t)json_integer_value(json_object_get(message, "stream")), ranges,
		     n);
}

static void handle_message(struct ws_client *client, const char *text, size_t length)
{
	AUTO(own_json) json_t *message = json_loadb(text, length, 0, NULL);
	const char *type = json_string_value(json_object_get(message, "type"));
	const char *vm = json_string_value(json_object_get(message, "vm"));
	const json_t *data = json_object_get(message, "data");
	if (!type)
		return;
	if (!strcmp(type, "console"))
		ws_pipe_open(client, WS_CONSOLE, vm);
	else if (!strcmp(type, "screen"))
		ws_pipe_open(client, WS_SCREEN, vm);
	else if (!strcmp(type, "near"))
		take_near(client, message);
	else if (!strcmp(type, "input") && json_is_string(data))
		ws_pipe_type(&client->pipes[WS_CONSOLE], json_string_value(data),
			     json_string_length(data));
}

static void handle_bytes(struct ws_client *client, const char *bytes, size_t length)
{
	if (length && *bytes == WS_SCREEN)
		ws_pipe_type(&client->pipes[WS_SCREEN], bytes + 1, length - 1);
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
		if (lws_frame_is_binary(client->wsi))
			handle_bytes(client, client->in, client->in_bytes);
		else
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
		ws_send(client, false, -1, text, strlen(text));
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

static void name_client(struct lws *wsi, struct ws_client *client)
{
	struct http_request request = { 0 };
	http_read_headers(wsi, &request);
	http_name_peer(server_of(wsi), &request);
	snprintf(client->user, sizeof(client->user), "%s", request.peer);
	http_request_deinit(&request);
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
	name_client(wsi, client);
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
	ws_pipe_deinit(client);
	while (client->first) {
		struct out_message *message = client->first;
		client->first = message->next;
		free(message);
	}
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
