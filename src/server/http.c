/* HTTP on libwebsockets. A request goes through these states, each in one callback:
 *
 *   HTTP ------------> headers read; a POST waits for its body (HTTP_BODY,
 * HTTP_BODY_COMPLETION) decide ----------> answered at once (page, openapi, metrics, refusals),
 * or a job is submitted job finished ----> http_jobs_finished fills in the response and asks
 * for WRITEABLE HTTP_WRITEABLE --> head, then the body in chunks, then the transaction ends
 *   CLOSED_HTTP -----> a job still at work loses its waiter and is thrown away when it ends
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "box/box.h"
#include "box/call.h"
#include "server/assets.h"
#include "server/internal.h"
#include "server/live.h"
#include "server/mcp.h"
#include "server/pictures.h"
#include "server/stream_pack.h"

struct call_job {
	struct job job;
	struct server *server;
	struct http_request request; /* taken from the session */
	struct route route; /* taken from the session */
	struct http_response response;
};

static struct server *server_of(struct lws *wsi)
{
	return lws_context_user(lws_get_context(wsi));
}

static char *copy_header(struct lws *wsi, enum lws_token_indexes token)
{
	int length = lws_hdr_total_length(wsi, token);
	if (length <= 0)
		return NULL;
	char *text = malloc((size_t)length + 1);
	if (text && lws_hdr_copy(wsi, text, length + 1, token) < 0) {
		free(text);
		return NULL;
	}
	return text;
}

/* libwebsockets splits the query at '&' and decodes it; it is put together again with escapes.
 */
static char *copy_query(struct lws *wsi)
{
	char *query = NULL, fragment[4096];
	size_t size = 0;
	FILE *to = open_memstream(&query, &size);
	if (!to)
		return NULL;
	for (int i = 0; lws_hdr_copy_fragment(wsi, fragment, sizeof(fragment),
					      WSI_TOKEN_HTTP_URI_ARGS, i) >= 0;
	     i++) {
		fputs(i ? "&" : "", to);
		bool in_value = false;
		for (const char *at = fragment; *at; at++) {
			if (*at == '&' || *at == '%' || *at == '+' || (*at == '=' && in_value))
				fprintf(to, "%%%02x", (unsigned char)*at);
			else
				fputc(*at, to);
			in_value |= *at == '=';
		}
	}
	fclose(to);
	return query;
}

void http_read_headers(struct lws *wsi, struct http_request *request)
{
	AUTO(own_free) char *authorization = copy_header(wsi, WSI_TOKEN_HTTP_AUTHORIZATION);
	request->origin = copy_header(wsi, WSI_TOKEN_ORIGIN);
	request->host = copy_header(wsi, WSI_TOKEN_HOST);
	request->query = copy_query(wsi);
	if (authorization && !strncasecmp(authorization, "Bearer ", 7))
		request->bearer = strdup(authorization + 7);
	lws_get_peer_simple(wsi, request->peer, sizeof(request->peer));
}

static enum http_method method_of(struct lws *wsi)
{
	char *uri = NULL;
	int length = 0;
	switch (lws_http_get_uri_and_method(wsi, &uri, &length)) {
	case LWSHUMETH_GET:
		return HTTP_GET;
	case LWSHUMETH_POST:
		return HTTP_POST;
	case LWSHUMETH_HEAD:
		return HTTP_HEAD;
	case LWSHUMETH_OPTIONS:
		return HTTP_OPTIONS;
	default:
		return HTTP_OTHER;
	}
}

static void run_call(struct call_job *work)
{
	struct box_request request = { .call = work->route.call,
				       .vm = work->route.vm,
				       .args = work->route.args,
				       .user = work->request.peer };
	json_t *document = NULL;
	struct error *err = box_call(work->server->box, &request, &document);
	if (err)
		http_response_error(&work->response, err);
	else
		http_response_json(&work->response, 200, document);
}

static void run_mcp(struct call_job *work)
{
	json_t *message = json_loadb(work->request.body ? work->request.body : "",
				     work->request.body_bytes, 0, NULL);
	struct mcp_caller caller = { .box = work->server->box,
				     .user = work->request.peer,
				     .may_change = work->route.need == ACCESS_CHANGE };
	json_t *answer = mcp_handle(&caller, message);
	json_decref(message);
	if (answer)
		http_response_json(&work->response, 200, answer);
	else
		http_response_text(&work->response, 202, "");
}

static void draw_frame(struct call_job *work)
{
	struct error *err = pictures_answer(work->server->pictures, work->route.vm,
					    work->request.query, &work->response);
	if (err)
		http_response_error(&work->response, err);
}

static void work_on(struct job *job)
{
	struct call_job *work = (struct call_job *)job;
	if (work->route.kind == ROUTE_MCP)
		run_mcp(work);
	else if (work->route.kind == ROUTE_FRAME)
		draw_frame(work);
	else
		run_call(work);
}

static void destroy_job(struct job *job)
{
	struct call_job *work = (struct call_job *)job;
	http_request_deinit(&work->request);
	http_response_deinit(&work->response);
	route_deinit(&work->route);
	free(work);
}

void http_name_peer(const struct server *server, struct http_request *request)
{
	char address[sizeof(request->peer)];
	snprintf(address, sizeof(address), "%s", request->peer);
	snprintf(request->peer, sizeof(request->peer), "%.46s, %s", address,
		 access_held(&server->access, request));
}

static void submit(struct server *server, struct lws *wsi, struct http_session *session)
{
	struct call_job *work = calloc(1, sizeof(*work));
	if (!work) {
		http_response_text(&session->response, 500, "out of memory\n");
		return;
	}
	work->job = (struct job){ .work = work_on, .destroy = destroy_job, .waiter = wsi };
	work->server = server;
	http_name_peer(server, &session->request);
	work->request = session->request;
	work->route = session->route;
	memset(&session->request, 0, sizeof(session->request));
	memset(&session->route, 0, sizeof(session->route));
	if (!jobs_submit(server->jobs, &work->job)) {
		destroy_job(&work->job);
		http_response_refusal(&session->response, 503, "too many calls wait already");
		return;
	}
	session->job = &work->job;
	lws_set_timeout(wsi, NO_PENDING_TIMEOUT, 0);
}

void http_jobs_finished(struct server *server)
{
	struct job *job;
	while ((job = jobs_take_finished(server->jobs))) {
		struct lws *wsi = job->waiter;
		struct call_job *work = wsi ? (struct call_job *)job : NULL;
		struct http_session *session =
			wsi ? &((struct session *)lws_wsi_user(wsi))->http : NULL;
		if (session) {
			session->job = NULL;
			session->response = work->response;
			memset(&work->response, 0, sizeof(work->response));
			lws_callback_on_writable(wsi);
		}
		job->destroy(job);
	}
}

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The peer; when all places are taken the one idle for longest is given to the new one. */
static struct peer *peer_of(struct server *server, const char *address)
{
	struct peer *oldest = &server->peers[0];
	for (size_t i = 0; i < N_PEERS; i++) {
		struct peer *peer = &server->peers[i];
		if (!strcmp(peer->address, address))
			return peer;
		if (peer->bucket.last_ns < oldest->bucket.last_ns)
			oldest = peer;
	}
	*oldest = (struct peer){ 0 };
	snprintf(oldest->address, sizeof(oldest->address), "%s", address);
	return oldest;
}

bool server_admit(struct server *server, const struct http_request *request,
		  enum access_need need, struct http_response *response)
{
	int status = 0;
	if (!access_bucket_take(&peer_of(server, request->peer)->bucket, now_ns(), 500, 1000)) {
		server->counters.http_limited++;
		http_response_refusal(response, 429, "too many requests: slow down");
		return false;
	}
	const char *refusal = access_refusal(&server->access, request, need, &status);
	if (!refusal)
		return true;
	http_response_refusal(response, status, refusal);
	return false;
}

static void answer_metrics(struct server *server, struct http_response *response)
{
	char *text = metrics_text(server);
	if (!text) {
		http_response_text(response, 500, "out of memory\n");
		return;
	}
	*response = (struct http_response){ .status = 200,
					    .content_type =
						    "text/plain; version=0.0.4; charset=utf-8",
					    .body = text,
					    .body_bytes = strlen(text) };
}

/* Compression costs both sides time: it is done for those who ask for it, and can undo it. */
static struct error *begin_packing(struct lws *wsi, struct http_session *session)
{
	AUTO(own_free) char *wanted = access_query_value(session->request.query, "pack");
	AUTO(own_free) char *accepted = copy_header(wsi, WSI_TOKEN_HTTP_ACCEPT_ENCODING);
	if (!wanted || strcmp(wanted, "zstd") || !accepted || !strstr(accepted, "zstd"))
		return NULL;
	return stream_pack_create(&session->pack);
}

/* The response has no length: it ends when the VM does. */
static void begin_stream(struct server *server, struct lws *wsi, struct http_session *session)
{
	struct error *err =
		live_viewer_create(server->lives, session->route.vm, &session->viewer);
	if (!err)
		err = begin_packing(wsi, session);
	if (err) {
		live_viewer_destroy(session->viewer);
		session->viewer = NULL;
		http_response_error(&session->response, err);
		return;
	}
	http_name_peer(server, &session->request);
	server_audit(session->request.peer, session->route.vm, "pages");
	session->response =
		(struct http_response){ .status = 200,
					.content_type = "application/octet-stream" };
	lws_set_timeout(wsi, NO_PENDING_TIMEOUT, 0);
}

/* A page without WebGPU asks for several pictures a second: the first of a VM is audited. */
static void audit_frame(struct server *server, struct http_session *session)
{
	struct peer *peer = peer_of(server, session->request.peer);
	struct http_request named = session->request;
	if (!strcmp(peer->watched_vm, session->route.vm))
		return;
	snprintf(peer->watched_vm, sizeof(peer->watched_vm), "%s", session->route.vm);
	http_name_peer(server, &named);
	server_audit(named.peer, session->route.vm, "frame");
}

/* Leaves either a response or a job behind. */
static void decide(struct server *server, struct lws *wsi, struct http_session *session)
{
	struct error *err = route_decide(&session->request, &session->route);
	if (!server_admit(server, &session->request, err ? ACCESS_PUBLIC : session->route.need,
			  &session->response)) {
		error_destroy(err);
		return;
	}
	if (err) {
		bool is_method = error_kind(err) == ERR_UNSUPPORTED;
		http_response_error(&session->response, err);
		if (is_method)
			session->response.status = 405;
		return;
	}
	switch (session->route.kind) {
	case ROUTE_ASSET:
		assets_answer(session->request.path, &session->response);
		return;
	case ROUTE_OPENAPI:
		http_response_json(&session->response, 200, openapi_document());
		return;
	case ROUTE_METRICS:
		answer_metrics(server, &session->response);
		return;
	case ROUTE_MCP: {
		int status;
		bool may_change = !access_refusal(&server->access, &session->request,
						  ACCESS_CHANGE, &status);
		session->route.need = may_change ? ACCESS_CHANGE : ACCESS_READ;
		if (session->request.method != HTTP_POST)
			http_response_refusal(&session->response, 405, "MCP takes POST");
		else
			submit(server, wsi, session);
		return;
	}
	case ROUTE_CALL:
		submit(server, wsi, session);
		return;
	case ROUTE_PAGES:
		begin_stream(server, wsi, session);
		return;
	case ROUTE_FRAME:
		audit_frame(server, session);
		submit(server, wsi, session);
		return;
	}
}

static int decide_and_answer(struct lws *wsi, struct http_session *session)
{
	struct server *server = server_of(wsi);
	session->has_request = true;
	decide(server, wsi, session);
	if (!session->job)
		lws_callback_on_writable(wsi);
	return 0;
}

/* A body that nobody reads must not be left on a connection that goes on: libwebsockets would
 * turn over it for ever. Only a POST of a known length is read to its end. */
static bool has_unread_body(struct lws *wsi, enum http_method method)
{
	bool has_length = lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH) > 0;
	bool is_chunked = lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0;
	bool reads_all = method == HTTP_POST && has_length && !is_chunked;
	bool is_bare =
		(method == HTTP_GET || method == HTTP_HEAD) && !has_length && !is_chunked;
	return !reads_all && !is_bare;
}

static int on_request(struct lws *wsi, struct http_session *session, const char *path)
{
	memset(session, 0, sizeof(*session));
	session->request.method = method_of(wsi);
	session->closes = has_unread_body(wsi, session->request.method);
	session->request.path = strdup(path ? path : "/");
	http_read_headers(wsi, &session->request);
	if (!session->request.path)
		return -1;
	if (session->request.method == HTTP_POST &&
	    lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH) > 0) {
		char text[24] = "";
		lws_hdr_copy(wsi, text, sizeof(text), WSI_TOKEN_HTTP_CONTENT_LENGTH);
		if (strtoull(text, NULL, 10) > 0)
			return 0;
	}
	return decide_and_answer(wsi, session);
}

static int on_body(struct http_session *session, const void *bytes, size_t length)
{
	struct http_request *request = &session->request;
	if (session->has_request)
		return 0;
	if (length > MAX_BODY_BYTES - request->body_bytes)
		return -1;
	char *grown = realloc(request->body, request->body_bytes + length + 1);
	if (!grown)
		return -1;
	memcpy(grown + request->body_bytes, bytes, length);
	request->body = grown;
	request->body_bytes += length;
	grown[request->body_bytes] = '\0';
	return 0;
}

static bool add_header(struct lws *wsi, const char *name, const char *value, unsigned char **at,
		       unsigned char *end)
{
	return !lws_add_http_header_by_name(wsi, (const unsigned char *)name,
					    (const unsigned char *)value, (int)strlen(value),
					    at, end);
}

static int write_head(struct lws *wsi, struct http_session *session)
{
	static const char policy[] = "default-src 'self'; img-src 'self' data: blob:; "
				     "style-src 'self' 'unsafe-inline'; "
				     "connect-src 'self'; frame-ancestors 'none'; base-uri "
				     "'none'; form-action 'none'";
	unsigned char head[LWS_PRE + 2048], *start = head + LWS_PRE, *at = start,
					    *end = head + sizeof(head) - 1;
	const struct http_response *response = &session->response;
	lws_filepos_t length =
		session->viewer ? LWS_ILLEGAL_HTTP_CONTENT_LEN : response->body_bytes;
	bool ok = !lws_add_http_common_headers(wsi, (unsigned)response->status,
					       response->content_type, length, &at, end) &&
		  add_header(wsi, "content-security-policy:", policy, &at, end) &&
		  add_header(wsi, "x-content-type-options:", "nosniff", &at, end) &&
		  add_header(wsi, "referrer-policy:", "no-referrer", &at, end) &&
		  add_header(wsi, "cache-control:",
			     response->cache_control ? response->cache_control : "no-store",
			     &at, end);
	if (ok && response->is_gzip)
		ok = add_header(wsi, "content-encoding:", "gzip", &at, end);
	if (ok && session->pack)
		ok = add_header(wsi, "content-encoding:", "zstd", &at, end);
	if (ok && response->status == 405)
		ok = add_header(wsi, "allow:", "GET, HEAD, POST", &at, end);
	if (ok && response->status == 401)
		ok = add_header(wsi, "www-authenticate:", "Bearer", &at, end);
	session->has_headers_out = true;
	return ok && !lws_finalize_write_http_header(wsi, start, &at, end) ? 0 : -1;
}

static int write_body(struct lws *wsi, struct http_session *session)
{
	unsigned char chunk[LWS_PRE + CHUNK_BYTES];
	size_t left = session->response.body_bytes - session->sent;
	size_t part = left < CHUNK_BYTES ? left : CHUNK_BYTES;
	memcpy(chunk + LWS_PRE, session->response.body + session->sent, part);
	bool is_last = part == left;
	if (lws_write(wsi, chunk + LWS_PRE, part,
		      is_last ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP) < (int)part)
		return -1;
	session->sent += part;
	server_of(wsi)->counters.bytes_sent += part;
	if (!is_last)
		lws_callback_on_writable(wsi);
	return is_last;
}

/* Sends what the viewer has not got yet; 0: waiting for news, -1: the stream ended. */
static int write_stream(struct lws *wsi, struct http_session *session)
{
	static unsigned char chunk[LWS_PRE + 2 * LIVE_CHUNK_BYTES],
		packed[LWS_PRE + 3 * LIVE_CHUNK_BYTES];
	unsigned char *at = chunk + LWS_PRE;
	size_t length = live_viewer_read(session->viewer, at, 2 * LIVE_CHUNK_BYTES);
	if (!length)
		return live_viewer_done(session->viewer) ? -1 : 0;
	server_of(wsi)->counters.pages_bytes += length;
	if (session->pack) {
		CHECK(stream_pack_bound(length) <= sizeof(packed) - LWS_PRE);
		at = packed + LWS_PRE;
		length = stream_pack_write(session->pack, chunk + LWS_PRE, length, at,
					   sizeof(packed) - LWS_PRE);
		if (!length)
			return -1;
	}
	if (lws_write(wsi, at, length, LWS_WRITE_HTTP) < (int)length)
		return -1;
	server_of(wsi)->counters.bytes_sent += length;
	lws_callback_on_writable(wsi);
	return 0;
}

static void session_deinit(struct http_session *session)
{
	live_viewer_destroy(session->viewer);
	stream_pack_destroy(session->pack);
	if (session->job)
		session->job->waiter = NULL;
	http_request_deinit(&session->request);
	http_response_deinit(&session->response);
	route_deinit(&session->route);
	memset(session, 0, sizeof(*session));
}

static int on_writable(struct lws *wsi, struct http_session *session)
{
	if (!session->response.status)
		return 0;
	struct server *server = server_of(wsi);
	bool has_body = session->response.body_bytes && session->request.method != HTTP_HEAD;
	if (!session->has_headers_out) {
		server->counters.http_requests++;
		server->counters.http_errors += session->response.status >= 400;
		if (write_head(wsi, session))
			return -1;
		if (has_body || session->viewer) {
			lws_callback_on_writable(wsi);
			return 0;
		}
	}
	if (session->viewer)
		return write_stream(wsi, session);
	int done = has_body ? write_body(wsi, session) : 1;
	if (done <= 0)
		return done;
	bool closes = session->closes;
	session_deinit(session);
	return closes || lws_http_transaction_completed(wsi) ? -1 : 0;
}

int http_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		  size_t length)
{
	struct http_session *session = user ? &((struct session *)user)->http : NULL;
	switch (reason) {
	case LWS_CALLBACK_HTTP:
		return on_request(wsi, session, in);
	case LWS_CALLBACK_HTTP_BODY:
		return on_body(session, in, length);
	case LWS_CALLBACK_HTTP_BODY_COMPLETION:
		return session->has_request ? 0 : decide_and_answer(wsi, session);
	case LWS_CALLBACK_HTTP_WRITEABLE:
		return on_writable(wsi, session);
	case LWS_CALLBACK_CLOSED_HTTP:
		if (session)
			session_deinit(session);
		return 0;
	case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
		http_jobs_finished(server_of(wsi));
		lws_callback_on_writable_all_protocol(lws_get_context(wsi),
						      lws_get_protocol(wsi));
		return 0;
	case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
	case LWS_CALLBACK_ESTABLISHED:
	case LWS_CALLBACK_RECEIVE:
	case LWS_CALLBACK_SERVER_WRITEABLE:
	case LWS_CALLBACK_CLOSED:
		return ws_callback(wsi, reason, user, in, length);
	default:
		return lws_callback_http_dummy(wsi, reason, user, in, length);
	}
}
