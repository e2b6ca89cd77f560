#include "server/mcp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "box/box.h"
#include "box/call.h"
#include "box/schema.h"

OWN_DECLARE(own_json, json_t *, json_decref)
OWN_DECLARE(own_box, struct box *, box_destroy)

/* JSON-RPC 2.0 error codes. */
enum {
	RPC_PARSE = -32700,
	RPC_INVALID = -32600,
	RPC_NO_METHOD = -32601,
	RPC_BAD_PARAMS = -32602,
	RPC_NO_RESOURCE = -32002 /* MCP's own */
};

static const char *const known_versions[] = { "2025-06-18", "2025-03-26", "2024-11-05" };

static json_t *rpc_result(const json_t *id, json_t *result)
{
	return json_pack("{s:s, s:O, s:o}", "jsonrpc", "2.0", "id", id, "result", result);
}

static json_t *rpc_error(const json_t *id, int code, const char *message)
{
	json_t *who = id ? json_incref((json_t *)id) : json_null();
	return json_pack("{s:s, s:o, s:{s:i, s:s}}", "jsonrpc", "2.0", "id", who, "error",
			 "code", code, "message", message);
}

static json_t *initialize(const json_t *params)
{
	const char *asked = json_string_value(json_object_get(params, "protocolVersion"));
	const char *version = known_versions[0];
	for (size_t i = 0; asked && i < sizeof(known_versions) / sizeof(*known_versions); i++)
		if (!strcmp(asked, known_versions[i]))
			version = known_versions[i];
	return json_pack("{s:s, s:{s:{s:b}, s:{}}, s:{s:s, s:s}, s:s}", "protocolVersion",
			 version, "capabilities", "tools", "listChanged", 0, "resources",
			 "serverInfo", "name", "glassbox", "version", GLASSBOX_VERSION,
			 "instructions",
			 "Looks into running Linux guests of QEMU from outside. Call ls first; "
			 "most tools "
			 "take a vm. Addresses are 0x strings.");
}

static json_t *tool_of(const struct call *call)
{
	AUTO(own_free) char *description = NULL;
	if (asprintf(&description, "%s%s%s", call->summary, call->details ? ". " : "",
		     call->details ? call->details : "") < 0)
		return NULL;
	return json_pack("{s:s, s:s, s:o, s:{s:b, s:b}}", "name", call->name, "description",
			 description, "inputSchema", schema_of_args(call, true), "annotations",
			 "readOnlyHint", !(call->flags & CALL_CHANGES), "destructiveHint",
			 !!(call->flags & CALL_CHANGES));
}

static json_t *list_tools(void)
{
	json_t *tools = json_array();
	for (const struct call *const *call = call_table; *call; call++)
		if (schema_is_served(*call))
			json_array_append_new(tools, tool_of(*call));
	return json_pack("{s:o}", "tools", tools);
}

static json_t *text_content(char *text, bool is_error)
{
	json_t *content = json_pack("{s:[{s:s, s:s}], s:b}", "content", "type", "text", "text",
				    text ? text : "", "isError", is_error);
	free(text);
	return content;
}

static json_t *error_content(struct error *err)
{
	char *text = NULL;
	const char *hint = error_hint_text(err);
	if (asprintf(&text, "%s%s%s", error_message(err), hint ? ". " : "", hint ? hint : "") <
	    0)
		text = NULL;
	error_destroy(err);
	return text_content(text, true);
}

/* A picture in the document ({"png_base64": ...}) becomes image content. */
static json_t *document_content(json_t *document)
{
	json_t *png = json_object_get(document, "png_base64");
	json_t *image = NULL;
	if (png) {
		image = json_pack("{s:s, s:O, s:s}", "type", "image", "data", png, "mimeType",
				  "image/png");
		json_object_del(document, "png_base64");
	}
	json_t *content =
		text_content(json_dumps(document, JSON_COMPACT | JSON_ENCODE_ANY), false);
	if (json_is_object(document))
		json_object_set(content, "structuredContent", document);
	if (image)
		json_array_append_new(json_object_get(content, "content"), image);
	return content;
}

/* A wrong tool name is the protocol's error (NULL); a failing tool is an answer with isError.
 */
static json_t *call_tool(const struct mcp_caller *caller, const json_t *params)
{
	const char *name = json_string_value(json_object_get(params, "name"));
	const struct call *call = name ? call_find(name) : NULL;
	if (!call || !schema_is_served(call))
		return NULL;
	if ((call->flags & CALL_CHANGES) && !caller->may_change)
		return error_content(error_create(
			ERR_USAGE, "%s changes a VM: it needs the full token", name));
	AUTO(own_json) json_t *args = json_deep_copy(json_object_get(params, "arguments"));
	if (!args)
		args = json_object();
	AUTO(own_json) json_t *vm = json_incref(json_object_get(args, "vm"));
	if (call->flags & CALL_TARGET)
		json_object_del(args, "vm");
	struct box_request request = {
		.call = call, .vm = json_string_value(vm), .args = args, .user = caller->user
	};
	AUTO(own_json) json_t *document = NULL;
	struct error *err = call_check_remote(call, args);
	if (!err)
		err = box_call(caller->box, &request, &document);
	return err ? error_content(err) : document_content(document);
}

static json_t *run_simple(const struct mcp_caller *caller, const char *name, const char *vm)
{
	AUTO(own_json) json_t *args = json_object();
	json_t *document = NULL;
	const struct call *call = call_find(name);
	struct box_request request = {
		.call = call, .vm = vm, .args = args, .user = caller->user
	};
	struct error *err = call ? box_call(caller->box, &request, &document) : NULL;
	error_destroy(err);
	return document;
}

static json_t *list_resources(const struct mcp_caller *caller)
{
	AUTO(own_json) json_t *vms = run_simple(caller, "ls", NULL);
	json_t *list = json_array();
	size_t i;
	json_t *vm;
	json_array_foreach(vms, i, vm)
	{
		const char *name = json_string_value(json_object_get(vm, "name"));
		if (name)
			json_array_append_new(
				list, json_pack("{s:o, s:s, s:s, s:s}", "uri",
						json_sprintf("glassbox://vm/%s", name), "name",
						name, "description", "status of a running VM",
						"mimeType", "application/json"));
	}
	return json_pack("{s:o}", "resources", list);
}

/* What can be read as a resource of a VM: it changes nothing and needs no arguments. */
static bool is_resource(const struct call *call)
{
	if (!call || !schema_is_served(call) || !(call->flags & CALL_TARGET) ||
	    (call->flags & CALL_CHANGES))
		return false;
	for (const struct call_param *param = call->params; param && param->name; param++)
		if (param->required)
			return false;
	return true;
}

/* "glassbox://vm/NAME" is the VM's status, "glassbox://vm/NAME/ps" what a call says. */
static json_t *read_resource(const struct mcp_caller *caller, const json_t *params)
{
	static const char prefix[] = "glassbox://vm/";
	const char *uri = json_string_value(json_object_get(params, "uri"));
	if (!uri || strncmp(uri, prefix, sizeof(prefix) - 1))
		return NULL;
	const char *rest = uri + sizeof(prefix) - 1, *slash = strchr(rest, '/');
	AUTO(own_free) char *vm = slash ? strndup(rest, (size_t)(slash - rest)) : strdup(rest);
	const char *name = slash ? slash + 1 : "status";
	AUTO(own_json)
	json_t *document =
		vm && is_resource(call_find(name)) ? run_simple(caller, name, vm) : NULL;
	if (!document)
		return NULL;
	AUTO(own_free) char *text = json_dumps(document, JSON_COMPACT);
	return json_pack("{s:[{s:s, s:s, s:s}]}", "contents", "uri", uri, "mimeType",
			 "application/json", "text", text ? text : "");
}

static json_t *list_templates(void)
{
	return json_pack("{s:[{s:s, s:s, s:s, s:s}]}", "resourceTemplates", "uriTemplate",
			 "glassbox://vm/{vm}/{call}", "name", "what a VM is doing",
			 "description",
			 "any query without arguments of a running VM: ps, lsmod, dmesg, ...",
			 "mimeType", "application/json");
}

json_t *mcp_handle(const struct mcp_caller *caller, const json_t *message)
{
	const json_t *id = json_object_get(message, "id"),
		     *params = json_object_get(message, "params");
	const char *method = json_string_value(json_object_get(message, "method"));
	if (!message)
		return rpc_error(NULL, RPC_PARSE, "not JSON");
	if (!method)
		return json_object_get(message, "result") || json_object_get(message, "error")
			       ? NULL
			       : rpc_error(id, RPC_INVALID, "not a request");
	if (!id)
		return NULL;
	json_t *result = NULL;
	if (!strcmp(method, "initialize"))
		result = initialize(params);
	else if (!strcmp(method, "ping"))
		result = json_object();
	else if (!strcmp(method, "tools/list"))
		result = list_tools();
	else if (!strcmp(method, "resources/list"))
		result = list_resources(caller);
	else if (!strcmp(method, "resources/templates/list"))
		result = list_templates();
	else if (!strcmp(method, "tools/call"))
		result = call_tool(caller, params);
	else if (!strcmp(method, "resources/read"))
		result = read_resource(caller, params);
	else
		return rpc_error(id, RPC_NO_METHOD, "no such method");
	if (result)
		return rpc_result(id, result);
	bool is_resource_read = !strncmp(method, "resources/", 10);
	return is_resource_read ? rpc_error(id, RPC_NO_RESOURCE, "no such resource")
				: rpc_error(id, RPC_BAD_PARAMS, "no such tool");
}

struct error *mcp_serve_stdio(void)
{
	AUTO(own_box) struct box *box = NULL;
	TRY(box_create(&box));
	struct mcp_caller caller = { .box = box, .user = "mcp-stdio", .may_change = true };
	AUTO(own_free) char *line = NULL;
	size_t capacity = 0;
	ssize_t length;
	while ((length = getline(&line, &capacity, stdin)) >= 0) {
		if (length <= 1)
			continue;
		AUTO(own_json) json_t *message = json_loadb(line, (size_t)length, 0, NULL);
		AUTO(own_json) json_t *answer = mcp_handle(&caller, message);
		if (!answer)
			continue;
		json_dumpf(answer, stdout, JSON_COMPACT);
		if (putchar('\n') == EOF || fflush(stdout))
			return error_system(errno, "cannot write to the MCP client");
	}
	return NULL;
}
