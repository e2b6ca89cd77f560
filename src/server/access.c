#include "server/access.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "base/error.h"

static struct error *draw_token(char *token)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t bytes[TOKEN_CHARS / 2];
	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return error_system(errno, "cannot draw a token");
	for (size_t i = 0; i < sizeof(bytes); i++) {
		token[2 * i] = digits[bytes[i] >> 4];
		token[2 * i + 1] = digits[bytes[i] & 15];
	}
	token[TOKEN_CHARS] = '\0';
	return NULL;
}

static bool names_loopback(const char *host)
{
	return !strcmp(host, "127.0.0.1") || !strcmp(host, "localhost") ||
	       !strcmp(host, "::1") || !strcmp(host, "[::1]");
}

struct error *access_init(struct access *access, const char *host, uint16_t port)
{
	memset(access, 0, sizeof(*access));
	if (strlen(host) >= sizeof(access->listen_host))
		return error_create(ERR_USAGE, "the address to listen on is too long");
	strncpy(access->listen_host, host, sizeof(access->listen_host) - 1);
	access->port = port;
	access->is_loopback = names_loopback(host);
	access->reads_need_token = !access->is_loopback;
	TRY(draw_token(access->full_token));
	return draw_token(access->read_token);
}

/* Time does not depend on where the first difference is. */
static bool token_equal(const char *a, const char *b)
{
	unsigned difference = 0;
	if (!a || strlen(a) != TOKEN_CHARS)
		return false;
	for (size_t i = 0; i < TOKEN_CHARS; i++)
		difference |= (unsigned)(a[i] ^ b[i]);
	return !difference;
}

/* True if text is "host" or "host:port" for an address this server answers for. */
static bool is_our_host(const struct access *access, const char *text)
{
	const char *colon = strrchr(text, ':');
	size_t length = colon && !strchr(colon, ']') ? (size_t)(colon - text) : strlen(text);
	char host[128];
	if (length >= sizeof(host))
		return false;
	memcpy(host, text, length);
	host[length] = '\0';
	if (access->is_loopback)
		return names_loopback(host);
	return !strcasecmp(host, access->listen_host) || names_loopback(host) ||
	       !strcmp(access->listen_host, "0.0.0.0") || !strcmp(access->listen_host, "::");
}

static bool is_our_origin(const struct access *access, const char *origin, const char *host)
{
	const char *at = !strncmp(origin, "http://", 7)	   ? origin + 7
			 : !strncmp(origin, "https://", 8) ? origin + 8
							   : NULL;
	return at && is_our_host(access, at) && host && !strcasecmp(at, host);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes %41 and + in place of a copy; a %00 ends the text. */
static char *percent_decode(const char *from, size_t length)
{
	char *text = malloc(length + 1), *to = text;
	if (!text)
		return NULL;
	for (size_t i = 0; i < length; i++) {
		bool is_escape = from[i] == '%' && i + 2 < length &&
				 hex_digit(from[i + 1]) >= 0 && hex_digit(from[i + 2]) >= 0;
		if (is_escape) {
			*to++ = (char)(hex_digit(from[i + 1]) * 16 + hex_digit(from[i + 2]));
			i += 2;
		} else {
			*to++ = from[i] == '+' ? ' ' : from[i];
		}
	}
	*to = '\0';
	return text;
}

char *access_query_value(const char *query, const char *key)
{
	size_t key_length = strlen(key);
	for (const char *at = query; at; at = strchr(at, '&') ? strchr(at, '&') + 1 : NULL) {
		size_t length = strcspn(at, "&");
		if (length > key_length && at[key_length] == '=' &&
		    !strncmp(at, key, key_length))
			return percent_decode(at + key_length + 1, length - key_length - 1);
	}
	return NULL;
}

enum held { HELD_NONE, HELD_WRONG, HELD_READ, HELD_FULL };

static enum held held_token(const struct access *access, const struct http_request *request)
{
	AUTO(own_free) char *in_query = access_query_value(request->query, "token");
	const char *token = request->bearer ? request->bearer : in_query;
	if (!token)
		return HELD_NONE;
	bool is_full = token_equal(token, access->full_token);
	bool is_read = token_equal(token, access->read_token);
	return is_full ? HELD_FULL : is_read ? HELD_READ : HELD_WRONG;
}

const char *access_held(const struct access *access, const struct http_request *request)
{
	switch (held_token(access, request)) {
	case HELD_FULL:
		return "full token";
	case HELD_READ:
		return "reading token";
	default:
		return "no token";
	}
}

const char *access_refusal(const struct access *access, const struct http_request *request,
			   enum access_need need, int *status_ret)
{
	*status_ret = 403;
	if (!request->host || !is_our_host(access, request->host))
		return "this server does not answer for that Host";
	if (request->origin && !is_our_origin(access, request->origin, request->host))
		return "requests from other origins are refused";
	if (need == ACCESS_PUBLIC || (need == ACCESS_READ && !access->reads_need_token))
		return NULL;
	enum held held = held_token(access, request);
	if (held == HELD_FULL || (need == ACCESS_READ && held == HELD_READ))
		return NULL;
	*status_ret = held == HELD_WRONG || held == HELD_READ ? 403 : 401;
	return need == ACCESS_READ
		       ? "a token is needed: open the address that `glassbox serve` printed"
		       : "changing a VM needs the token that `glassbox serve` printed";
}

bool access_bucket_take(struct access_bucket *bucket, uint64_t now_ns, double per_second,
			double burst)
{
	if (!bucket->last_ns)
		bucket->level = burst;
	else
		bucket->level += (double)(now_ns - bucket->last_ns) / 1e9 * per_second;
	bucket->last_ns = now_ns;
	if (bucket->level > burst)
		bucket->level = burst;
	if (bucket->level < 1)
		return false;
	bucket->level -= 1;
	return true;
}
