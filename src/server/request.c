#include "server/request.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

void http_request_deinit(struct http_request *request)
{
	free(request->path);
	free(request->query);
	free(request->origin);
	free(request->host);
	free(request->bearer);
	free(request->body);
	memset(request, 0, sizeof(*request));
}

void http_response_deinit(struct http_response *response)
{
	if (!response->is_static)
		free(response->body);
	memset(response, 0, sizeof(*response));
}

void http_response_text(struct http_response *response, int status, const char *text)
{
	*response = (struct http_response){ .status = status,
					    .content_type = "text/plain; charset=utf-8",
					    .body = strdup(text) };
	response->body_bytes = response->body ? strlen(text) : 0;
}

void http_response_json(struct http_response *response, int status, json_t *document)
{
	char *text = json_dumps(document, JSON_COMPACT | JSON_ENCODE_ANY);
	json_decref(document);
	if (!text) {
		http_response_text(response, 500, "out of memory\n");
		return;
	}
	*response = (struct http_response){ .status = status,
					    .content_type = "application/json",
					    .body = text,
					    .body_bytes = strlen(text) };
}

void http_response_refusal(struct http_response *response, int status, const char *why)
{
	http_response_json(
		response, status,
		json_pack("{s:s, s:n, s:s}", "error", why, "hint", "kind", "refused"));
}

static int status_of(enum error_kind kind)
{
	switch (kind) {
	case ERR_USAGE:
		return 400;
	case ERR_NOT_FOUND:
		return 404;
	case ERR_FAULT: /* what the guest holds does not allow an answer */
	case ERR_BAD_DATA:
	case ERR_LIMIT:
		return 422;
	case ERR_UNSUPPORTED:
		return 501;
	case ERR_PEER:
		return 502;
	default:
		return 500;
	}
}

void http_response_error(struct http_response *response, struct error *err)
{
	json_t *document =
		json_pack("{s:s, s:s?, s:s}", "error", error_message(err), "hint",
			  error_hint_text(err), "kind", error_kind_name(error_kind(err)));
	int status = status_of(error_kind(err));
	error_destroy(err);
	http_response_json(response, status, document);
}
