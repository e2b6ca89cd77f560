/* What the files of room server share. Thread: the event loop's, unless said otherwise. */
#ifndef SERVER_INTERNAL_H
#define SERVER_INTERNAL_H
#include <libwebsockets.h>
#include <stdatomic.h>

#include "server/access.h"
#include "server/jobs.h"
#include "server/recorder.h"
#include "server/request.h"
#include "server/route.h"
#include "server/server.h"
struct box;
struct live_viewer;
struct lives;
struct pictures;
struct stream_pack;
struct ws_client;

enum { MAX_BODY_BYTES = 1 << 20, MAX_QUEUED_JOBS = 256, N_WORKERS = 4, CHUNK_BYTES = 64 << 10 };

/* Counters behind /metrics. ORDER server counters. */
#define SERVER_COUNTERS(X)                                                      \
	X(http_requests, "HTTP requests answered")                              \
	X(http_errors, "HTTP requests answered with a status of 400 or more")   \
	X(http_limited, "HTTP requests refused by the rate limit")              \
	X(ws_clients, "WebSocket connections accepted")                         \
	X(ws_dropped, "WebSocket clients dropped because they read too slowly") \
	X(bytes_sent, "Bytes of bodies and messages sent")                      \
	X(pages_bytes, "Bytes of page streams before compression")

struct server_counters {
#define COUNTER_FIELD(name, help) _Atomic uint64_t name;
	SERVER_COUNTERS(COUNTER_FIELD)
#undef COUNTER_FIELD
};

struct peer {
	char address[64];
	char watched_vm[64]; /* whose pictures it gets: only the first is audited */
	struct access_bucket bucket;
};
enum { N_PEERS = 64 };

struct server {
	struct lws_context *context;
	struct access access;
	struct box *box;
	struct jobs *jobs;
	struct server_counters counters;
	struct peer peers[N_PEERS];
	struct lives *lives;
	struct pictures *pictures;
	struct recorder *recorder; /* NULL: nothing is recorded */
	struct ws_client *clients; /* all WebSocket clients */
	lws_sorted_usec_list_t vms_timer;
	bool vms_asked; /* a job lists the VMs for them */
	char *url, *read_url;
	atomic_bool stops;
};

/* One HTTP connection's request in flight; zeroed by libwebsockets. */
struct http_session {
	struct http_request request;
	struct http_response response;
	struct route route;
	struct job *job; /* borrowed: the one that works for us */
	size_t sent;
	struct live_viewer *viewer; /* owned: the answer is a stream of pages */
	struct stream_pack *pack; /* owned: compresses it, or NULL */
	bool has_request, has_headers_out;
	bool closes; /* the connection ends with this answer */
};

/* What libwebsockets keeps for a connection: HTTP first, and a WebSocket after its upgrade. */
struct session {
	struct http_session http;
	struct ws_client *ws; /* owned by the server's list */
};

int http_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		  size_t length);
/* A guest's console or screen, adopted into the event loop as a raw socket (ws_pipe.c). */
int pipe_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		  size_t length);
int ws_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		size_t length);

/* Begins to send the list of VMs to WebSocket clients once a second. */
void ws_start(struct server *server);
/* Takes document: the list of VMs that a job of ws_start made, or NULL. */
void ws_vms_listed(struct server *server, json_t *document);

/* Hands finished jobs to their waiters. */
void http_jobs_finished(struct server *server);

/* Fills a request's origin, host, bearer, query and peer from the connection's headers. */
void http_read_headers(struct lws *wsi, struct http_request *request);

/* Makes peer say who asks with what, for the audit log: "127.0.0.1, reading token". */
void http_name_peer(const struct server *server, struct http_request *request);

/* Answers made here. */
json_t *openapi_document(void);
char *metrics_text(struct server *server); /* caller owns; NULL without memory */

/* Puts what a person sees of a VM without a call (pages, pictures, console, screen) into the
 * audit log. */
void server_audit(const char *user, const char *vm, const char *what);

/* True when the request may go on; else *response is filled in. */
bool server_admit(struct server *server, const struct http_request *request,
		  enum access_need need, struct http_response *response);
#endif
