/* One JSON document to a server and one back, for a model's endpoint. Follows no redirects,
 * speaks only http and https, takes at most MODEL_ANSWER_BYTES. Thread: any. */
#ifndef BOX_MODEL_HTTP_H
#define BOX_MODEL_HTTP_H
#include <jansson.h>
#include <stdint.h>
struct error;

enum { MODEL_ANSWER_BYTES = 4 << 20 };

struct model_request {
	const char *url;
	const char *key; /* bearer token, or NULL */
	const json_t *body; /* borrowed */
	unsigned timeout_ms; /* for everything, from the name's look-up to the last byte */
};

/* Caller owns *ret. Fails: ERR_PEER (unreachable, an HTTP error, not JSON), ERR_LIMIT (too slow
 * or too long), ERR_UNSUPPORTED (libcurl is not there). */
struct error *model_post(const struct model_request *request, json_t **ret);
#endif
