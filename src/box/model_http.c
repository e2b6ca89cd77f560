#include "box/model_http.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/lazy_library.h"
#include "box/guest_call.h"

LAZY_LIBRARY(curl);

OWN_DECLARE(own_curl, CURL *, curl_easy_cleanup)
OWN_DECLARE(own_list, struct curl_slist *, curl_slist_free_all)

struct answer {
	char *bytes; /* owned */
	size_t size;
};

static size_t take_bytes(char *bytes, size_t size, size_t count, void *user)
{
	struct answer *answer = user;
	size_t more = size * count;
	if (more > MODEL_ANSWER_BYTES - answer->size)
		return 0;
	char *grown = realloc(answer->bytes, answer->size + more + 1);
	if (!grown)
		return 0;
	memcpy(grown + answer->size, bytes, more);
	answer->bytes = grown;
	answer->size += more;
	return more;
}

static struct error *add_header(struct curl_slist **headers, const char *text)
{
	struct curl_slist *grown = curl_slist_append(*headers, text);
	if (!grown)
		return error_create(ERR_MEMORY, "no memory for a request");
	*headers = grown;
	return NULL;
}

static struct error *make_headers(const char *key, struct curl_slist **headers)
{
	AUTO(own_free) char *bearer = NULL;
	TRY(add_header(headers, "Content-Type: application/json"));
	if (!key)
		return NULL;
	if (asprintf(&bearer, "Authorization: Bearer %s", key) < 0)
		return error_create(ERR_MEMORY, "no memory for a request");
	return add_header(headers, bearer);
}

static struct error *explain(CURLcode code, const struct model_request *request)
{
	bool is_limit = code == CURLE_OPERATION_TIMEDOUT || code == CURLE_WRITE_ERROR;
	const char *what =
		code == CURLE_WRITE_ERROR ? "its answer is too long" : curl_easy_strerror(code);
	return error_create(is_limit ? ERR_LIMIT : ERR_PEER, "the model at %s: %s",
			    request->url, what);
}

static struct error *read_answer(CURL *curl, const struct model_request *request,
				 const struct answer *answer, json_t **ret)
{
	long status = 0;
	json_error_t where;
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200)
		return error_create(ERR_PEER, "the model at %s answered with HTTP status %ld",
				    request->url, status);
	*ret = json_loadb(answer->bytes ? answer->bytes : "", answer->size, 0, &where);
	return *ret ? NULL
		    : error_create(ERR_PEER, "the model at %s did not answer with JSON: %s",
				   request->url, where.text);
}

struct error *model_post(const struct model_request *request, json_t **ret)
{
	TRY(lazy_library_open(&lazy_library_curl));
	AUTO(own_curl) CURL *curl = curl_easy_init();
	AUTO(own_list) struct curl_slist *headers = NULL;
	AUTO(own_free) char *body = json_dumps(request->body, JSON_COMPACT);
	AUTO(own_free) char *bytes = NULL;
	struct answer answer = { 0 };
	if (!curl || !body)
		return error_create(ERR_MEMORY, "no memory for a request");
	TRY(make_headers(request->key, &headers));
	curl_easy_setopt(curl, CURLOPT_URL, request->url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, 10000L);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
	CURLcode code = curl_easy_perform(curl);
	bytes = answer.bytes;
	return code == CURLE_OK ? read_answer(curl, request, &answer, ret)
				: explain(code, request);
}
