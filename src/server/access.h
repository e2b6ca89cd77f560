/* Who may ask what: tokens, Origin and Host checks, requests per second.
 *
 * Rule 1: a request whose Host is not one this server answers for is refused: a web page that
 * rebinds its own name to 127.0.0.1 gets nothing. Rule 2: a request with a foreign Origin is
 * refused, whatever it asks. Rule 3: what changes a VM or writes a file needs the full token;
 * what only reads needs a token when the server listens beyond loopback or was started with a
 * read-only token. Rule 4: tokens are compared in constant time and never logged. Thread: the
 * server's own. */
#ifndef SERVER_ACCESS_H
#define SERVER_ACCESS_H
#include <stdbool.h>
#include <stdint.h>

#include "server/request.h"
struct error;

enum { TOKEN_CHARS = 32 };

struct access {
	char full_token[TOKEN_CHARS + 1];
	char read_token[TOKEN_CHARS + 1];
	bool reads_need_token;
	bool is_loopback;
	char listen_host[128]; /* "127.0.0.1", "example.org" */
	uint16_t port;
};

enum access_need { ACCESS_PUBLIC, ACCESS_READ, ACCESS_CHANGE };

/* Draws both tokens from the kernel's random source. */
struct error *access_init(struct access *access, const char *host, uint16_t port);

/* NULL when allowed, else a static sentence for the answer and *status_ret 401 or 403. */
const char *access_refusal(const struct access *access, const struct http_request *request,
			   enum access_need need, int *status_ret);

/* "full token", "reading token" or "no token": with what a request came, for the audit log. */
const char *access_held(const struct access *access, const struct http_request *request);

/* Value of a key in a raw query string, percent-decoded. Caller owns; NULL when absent. */
char *access_query_value(const char *query, const char *key);

/* A bucket of requests per peer: true while the peer may go on. now_ns from a monotonic clock.
 */
struct access_bucket {
	double level;
	uint64_t last_ns;
};
bool access_bucket_take(struct access_bucket *bucket, uint64_t now_ns, double per_second,
			double burst);
#endif
