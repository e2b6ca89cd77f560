/* The web server of `glassbox serve`: the page, REST, WebSocket, MCP and metrics on one port,
 * one event loop, calls in worker threads. Thread: server_run's; server_stop from a signal
 * handler. */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H
#include <stdbool.h>
#include <stdint.h>
struct error;
struct server;

struct server_params {
	const char *host; /* "127.0.0.1" when NULL */
	uint16_t port; /* 0: any free one */
	const char *certificate, *key; /* PEM files, or NULL: plain HTTP, loopback only */
	bool reads_need_token;
	bool any_port; /* when port is taken, use a free one */
	bool no_record; /* keep no memory of the past */
	const char *db; /* where the past goes; NULL: with each VM's files (recorder.h) */
	uint64_t keep_ns, db_max_bytes; /* bounds of the past; 0: the defaults */
};

/* Listens. Caller owns *ret. Fails: ERR_USAGE (beyond loopback without TLS), ERR_SYSTEM. */
struct error *server_create(const struct server_params *params, struct server **ret);
void server_destroy(struct server *server);

/* Address to open, with the token in its fragment. Borrowed. */
const char *server_url(const struct server *server);
/* The same with the token that only reads. Borrowed. */
const char *server_read_url(const struct server *server);
uint16_t server_port(const struct server *server);

/* Serves until server_stop. */
struct error *server_run(struct server *server);
void server_stop(struct server *server);
#endif
