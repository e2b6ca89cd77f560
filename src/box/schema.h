/* JSON Schema of calls, for OpenAPI and MCP. New references. Thread: any. */
#ifndef BOX_SCHEMA_H
#define BOX_SCHEMA_H
#include <jansson.h>
#include <stdbool.h>

#include "box/call.h"

json_t *schema_of_param(const struct call_param *param);
/* Object schema of all arguments; with_vm adds "vm" for a call that has a target. */
json_t *schema_of_args(const struct call *call, bool with_vm);
/* True if REST and MCP may offer the call. */
bool schema_is_served(const struct call *call);
#endif
