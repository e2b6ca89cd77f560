/* One HTTP request as plain data, and the answer to it. Everything here came from outside and
 * is only trusted as far as route_decide checked it. Thread: one at a time. */
#ifndef SERVER_REQUEST_H
#define SERVER_REQUEST_H
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum http_method { HTTP_GET, HTTP_POST, HTTP_OPTIONS, HTTP_HEAD, HTTP_OTHER };

struct http_request {
	enum http_method method;
	char *path; /* decoded, without the query */
	char *query; /* raw "a=1&b=2", or NULL */
	char *origin; /* Origin header, or NULL */
	char *host; /* Host header, or NULL */
	char *bearer; /* token of Authorization: Bearer, or NULL */
	char *body; /* NUL-terminated, or NULL */
	size_t body_bytes;
	char peer[64]; /* who asks, for the audit log */
};

void http_request_deinit(struct http_request *request);

struct http_response {
	int status;
	const char *content_type; /* static text */
	const char *cache_control; /* static text, or NULL: no-store */
	char *body; /* owned unless is_static */
	size_t body_bytes;
	bool is_static;
	bool is_gzip;
};

void http_response_deinit(struct http_response *response);

/* Fills in a JSON answer; takes document. */
void http_response_json(struct http_response *response, int status, json_t *document);
/* {"error": message, "hint": ...} with a status that fits the error's kind; takes err. */
struct error;
void http_response_error(struct http_response *response, struct error *err);
/* The same for what never came to a call. */
void http_response_refusal(struct http_response *response, int status, const char *why);
void http_response_text(struct http_response *response, int status, const char *text);
#endif
