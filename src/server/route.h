/* Turns a request into what to do: a pure function of the request and the call table, so that
 * it can be fuzzed without a socket. Thread: any. */
#ifndef SERVER_ROUTE_H
#define SERVER_ROUTE_H
#include <jansson.h>

#include "server/access.h"
#include "server/request.h"
struct call;
struct error;

enum route_kind {
	ROUTE_ASSET, /* a file of the page: request->path */
	ROUTE_CALL, /* run a call, in a worker */
	ROUTE_OPENAPI,
	ROUTE_METRICS,
	ROUTE_MCP,
	ROUTE_PAGES, /* stream of RAM pages of vm */
	ROUTE_FRAME, /* one picture drawn here */
};

struct route {
	enum route_kind kind;
	enum access_need need;
	const struct call *call;
	char *vm; /* owned, or NULL */
	json_t *args; /* owned, or NULL */
};

void route_deinit(struct route *route);

/* Fails: ERR_NOT_FOUND (no such path), ERR_USAGE (bad argument, bad JSON), ERR_UNSUPPORTED
 * (wrong method). */
struct error *route_decide(const struct http_request *request, struct route *ret);
#endif
