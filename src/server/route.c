#include "server/route.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "box/call.h"

enum { MAX_NAME = 128 };

void route_deinit(struct route *route)
{
	free(route->vm);
	json_decref(route->args);
	memset(route, 0, sizeof(*route));
}

static const struct call_param *find_param(const struct call *call, const char *name)
{
	for (const struct call_param *param = call->params; param && param->name; param++)
		if (!strcmp(param->name, name))
			return param;
	return NULL;
}

static struct error *add_value(const struct call *call, json_t *args, const char *key,
			       const char *text)
{
	const struct call_param *param = find_param(call, key);
	if (!param)
		return error_create(ERR_USAGE, "%s has no argument '%s'", call->name, key);
	json_t *value = NULL;
	TRY(call_parse_value(param, text, &value));
	if (!param->repeated) {
		json_object_set_new(args, key, value);
		return NULL;
	}
	if (!json_object_get(args, key))
		json_object_set_new(args, key, json_array());
	json_array_append_new(json_object_get(args, key), value);
	return NULL;
}

/* "a=1&b=2" of a GET; token is not an argument. */
static struct error *args_from_query(const struct call *call, const char *query, json_t *args)
{
	for (const char *at = query; at && *at;
	     at = strchr(at, '&') ? strchr(at, '&') + 1 : NULL) {
		size_t key_length = strcspn(at, "=&");
		char key[MAX_NAME];
		if (!key_length || key_length >= sizeof(key))
			continue;
		memcpy(key, at, key_length);
		key[key_length] = '\0';
		if (!strcmp(key, "token"))
			continue;
		AUTO(own_free)
		char *text =
			at[key_length] == '=' ? access_query_value(at, key) : strdup("true");
		if (text)
			TRY(add_value(call, args, key, text));
	}
	return NULL;
}

static struct error *args_from_body(const struct http_request *request, json_t **args)
{
	if (!request->body_bytes)
		return NULL;
	json_error_t where;
	json_t *document =
		json_loadb(request->body, request->body_bytes, JSON_REJECT_DUPLICATES, &where);
	if (!document)
		return error_create(ERR_USAGE, "the body is not JSON: %s (line %d)", where.text,
				    where.line);
	if (!json_is_object(document)) {
		json_decref(document);
		return error_create(ERR_USAGE, "the body must be a JSON object");
	}
	json_decref(*args);
	*args = document;
	return NULL;
}

static struct error *decide_call(const struct http_request *request, const char *name,
				 struct route *route)
{
	const struct call *call = call_find(name);
	if (!call || (call->flags & CALL_CLI_ONLY) || !call->run)
		return error_create(ERR_NOT_FOUND, "no call '%s' is served over HTTP", name);
	if (!!(call->flags & CALL_TARGET) != !!route->vm)
		return error_create(ERR_NOT_FOUND,
				    call->flags & CALL_TARGET ? "'%s' needs a VM in the path"
							      : "'%s' is not about one VM",
				    name);
	bool changes = call->flags & CALL_CHANGES;
	if (request->method != HTTP_POST && changes)
		return error_create(ERR_UNSUPPORTED, "%s changes something: use POST", name);
	route->kind = ROUTE_CALL;
	route->call = call;
	route->need = changes ? ACCESS_CHANGE : ACCESS_READ;
	route->args = json_object();
	TRY(args_from_query(call, request->query, route->args));
	if (request->method == HTTP_POST)
		TRY(args_from_body(request, &route->args));
	return call_check_remote(call, route->args);
}

/* Path below /api/v1/vms/: "{vm}" or "{vm}/{call}". */
static struct error *decide_vm(const struct http_request *request, const char *rest,
			       struct route *route)
{
	size_t length = strcspn(rest, "/");
	if (!length || length >= MAX_NAME)
		return error_create(ERR_NOT_FOUND, "no such VM");
	route->vm = strndup(rest, length);
	if (!route->vm)
		return error_create(ERR_MEMORY, "no memory for a path");
	const char *name = rest[length] ? rest + length + 1 : "status";
	route->need = ACCESS_READ;
	if (!strcmp(name, "pages") || !strcmp(name, "frame")) {
		route->kind = *name == 'p' ? ROUTE_PAGES : ROUTE_FRAME;
		return NULL;
	}
	return decide_call(request, name, route);
}

static struct error *decide_api(const struct http_request *request, const char *rest,
				struct route *route)
{
	if (!strcmp(rest, "vms") || !strcmp(rest, "vms/"))
		return decide_call(request, request->method == HTTP_POST ? "run" : "ls", route);
	if (!strncmp(rest, "vms/", 4))
		return decide_vm(request, rest + 4, route);
	return decide_call(request, rest, route);
}

struct error *route_decide(const struct http_request *request, struct route *ret)
{
	struct route route = { .kind = ROUTE_ASSET, .need = ACCESS_PUBLIC };
	const char *path = request->path;
	struct error *err = NULL;
	if (request->method == HTTP_OTHER || request->method == HTTP_OPTIONS)
		err = error_create(ERR_UNSUPPORTED, "only GET, HEAD and POST are answered");
	else if (!strncmp(path, "/api/v1/", 8))
		err = decide_api(request, path + 8, &route);
	else if (!strcmp(path, "/openapi.json"))
		route.kind = ROUTE_OPENAPI;
	else if (!strcmp(path, "/metrics"))
		route = (struct route){ .kind = ROUTE_METRICS, .need = ACCESS_READ };
	else if (!strcmp(path, "/mcp"))
		route = (struct route){ .kind = ROUTE_MCP, .need = ACCESS_READ };
	else if (request->method == HTTP_POST)
		err = error_create(ERR_NOT_FOUND, "nothing to POST to at %s", path);
	if (err) {
		route_deinit(&route);
		return err;
	}
	*ret = route;
	return NULL;
}
