#include "box/schema.h"

#include <string.h>

static json_t *choices_of(const char *choices)
{
	json_t *list = json_array();
	for (const char *at = choices; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
		json_array_append_new(list, json_stringn(at, strcspn(at, ",")));
	return list;
}

json_t *schema_of_param(const struct call_param *param)
{
	static const char *const types[] = {
		[CALL_STRING] = "string", [CALL_INTEGER] = "integer", [CALL_SIZE] = "integer",
		[CALL_BOOL] = "boolean",  [CALL_PATH] = "string",
	};
	json_t *schema = json_pack("{s:s}", "type", types[param->type]);
	if (param->type == CALL_INTEGER || param->type == CALL_SIZE) {
		json_object_set_new(schema, "minimum", json_integer(0));
		json_object_set_new(schema, "maximum", json_integer(INT64_MAX));
	}
	if (param->choices)
		json_object_set_new(schema, "enum", choices_of(param->choices));
	if (param->repeated)
		schema = json_pack("{s:s, s:o}", "type", "array", "items", schema);
	if (param->help)
		json_object_set_new(schema, "description", json_string(param->help));
	return schema;
}

json_t *schema_of_args(const struct call *call, bool with_vm)
{
	json_t *properties = json_object(), *required = json_array();
	if (with_vm && (call->flags & CALL_TARGET)) {
		json_object_set_new(
			properties, "vm",
			json_pack("{s:s, s:s}", "type", "string", "description",
				  "name or PID of a running VM (tool ls lists them)"));
		json_array_append_new(required, json_string("vm"));
	}
	for (const struct call_param *param = call->params; param && param->name; param++) {
		if (param->local)
			continue;
		json_object_set_new(properties, param->name, schema_of_param(param));
		if (param->required)
			json_array_append_new(required, json_string(param->name));
	}
	return json_pack("{s:s, s:o, s:o, s:b}", "type", "object", "properties", properties,
			 "required", required, "additionalProperties", 0);
}

bool schema_is_served(const struct call *call)
{
	return call->run && !(call->flags & CALL_CLI_ONLY);
}
