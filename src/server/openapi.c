#include <string.h>

#include "box/call.h"
#include "server/internal.h"
#include "box/schema.h"

static json_t *parameter(const char *name, const char *in, bool required, json_t *schema,
			 const char *help)
{
	return json_pack("{s:s, s:s, s:b, s:o, s:s}", "name", name, "in", in, "required",
			 required, "schema", schema, "description", help ? help : "");
}

/* Schema of one row: its columns as properties of any type, since a guest may leave any unknown
 * (null). */
static json_t *row_schema(const struct call *call)
{
	json_t *properties = json_object();
	for (const struct call_column *column = call->columns; column && column->key; column++)
		json_object_set_new(properties, column->key,
				    json_pack("{s:s}", "title", column->title));
	return json_pack("{s:s, s:o}", "type", "object", "properties", properties);
}

static json_t *responses(const struct call *call)
{
	json_t *schema = call->columns ? json_pack("{s:s, s:o}", "type", "array", "items",
						   row_schema(call))
				       : json_object();
	json_t *answers =
		json_pack("{s:{s:s, s:{s:{s:o}}}}", "200", "description", call->summary,
			  "content", "application/json", "schema", schema);
	static const char *const refusals[][2] = {
		{ "400", "an argument is wrong" },
		{ "401", "a token is needed" },
		{ "403", "token, Origin or Host refused" },
		{ "404", "no such VM or thing" },
		{ "405", "wrong method" },
		{ "422", "the guest's memory does not allow an answer, or a bound was hit" },
		{ "429", "too many requests" },
		{ "500", "it failed" },
		{ "501", "not possible on this VM" },
		{ "502", "QEMU or another peer failed" },
		{ "503", "too many calls wait" },
	};
	for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++)
		json_object_set_new(answers, refusals[i][0],
				    json_pack("{s:s, s:{s:{s:{s:s}}}}", "description",
					      refusals[i][1], "content", "application/json",
					      "schema", "$ref", "#/components/schemas/Error"));
	return answers;
}

static json_t *operation(const struct call *call, bool is_post)
{
	json_t *parameters = json_array();
	if (call->flags & CALL_TARGET)
		json_array_append_new(parameters,
				      parameter("vm", "path", true,
						json_pack("{s:s}", "type", "string"),
						"name or PID of a VM"));
	for (const struct call_param *param = call->params; !is_post && param && param->name;
	     param++)
		if (!param->local)
			json_array_append_new(parameters,
					      parameter(param->name, "query", param->required,
							schema_of_param(param), param->help));
	json_t *op = json_pack("{s:s, s:s, s:o, s:o, s:[s]}", "operationId", call->name,
			       "summary", call->summary, "parameters", parameters, "responses",
			       responses(call), "tags", call->group);
	if (is_post)
		json_object_set_new(op, "requestBody",
				    json_pack("{s:{s:{s:o}}}", "content", "application/json",
					      "schema", schema_of_args(call, false)));
	if (call->flags & CALL_CHANGES)
		json_object_set_new(op, "security", json_pack("[{s:[]}]", "token"));
	return op;
}

static json_t *path_of(const struct call *call)
{
	if (call->flags & CALL_TARGET)
		return json_sprintf("/api/v1/vms/{vm}/%s", call->name);
	if (!strcmp(call->name, "ls") || !strcmp(call->name, "run"))
		return json_string("/api/v1/vms");
	return json_sprintf("/api/v1/%s", call->name);
}

json_t *openapi_document(void)
{
	json_t *paths = json_object();
	for (const struct call *const *at = call_table; *at; at++) {
		const struct call *call = *at;
		if (!schema_is_served(call))
			continue;
		json_t *path = path_of(call);
		const char *key = json_string_value(path);
		if (!json_object_get(paths, key))
			json_object_set_new(paths, key, json_object());
		bool is_post = call->flags & CALL_CHANGES;
		json_object_set_new(json_object_get(paths, key), is_post ? "post" : "get",
				    operation(call, is_post));
		json_decref(path);
	}
	json_t *error_schema =
		json_pack("{s:s, s:{s:{s:s}, s:{s:[s,s]}, s:{s:s}}}", "type", "object",
			  "properties", "error", "type", "string", "hint", "type", "string",
			  "null", "kind", "type", "string");
	return json_pack("{s:s, s:{s:s, s:s, s:s}, s:o, s:{s:{s:{s:s, s:s}}, s:{s:o}}}",
			 "openapi", "3.1.0", "info", "title", "glassbox", "version",
			 GLASSBOX_VERSION, "description",
			 "Looks into running Linux guests of QEMU from outside.", "paths",
			 paths, "components", "securitySchemes", "token", "type", "http",
			 "scheme", "bearer", "schemas", "Error", error_schema);
}
