#include "box/call.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

OWN_DECLARE(own_json, json_t *, json_decref)

static const struct call_param *find_param(const struct call *call, const char *name)
{
	for (const struct call_param *param = call->params; param && param->name; param++)
		if (!strcmp(param->name, name))
			return param;
	return NULL;
}

/* True if text is one of the comma-separated choices. */
static bool is_choice(const char *choices, const char *text)
{
	size_t length = strlen(text);
	for (const char *at = choices; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
		if (strcspn(at, ",") == length && !strncmp(at, text, length))
			return true;
	return false;
}

static struct error *check_value(const struct call_param *param, const json_t *value)
{
	static const char *const wanted[] = {
		[CALL_STRING] = "a string", [CALL_INTEGER] = "a number",
		[CALL_SIZE] = "a size",	    [CALL_BOOL] = "true or false",
		[CALL_PATH] = "a path",
	};
	bool is_text = param->type == CALL_STRING || param->type == CALL_PATH;
	bool fits = is_text		       ? json_is_string(value)
		    : param->type == CALL_BOOL ? json_is_boolean(value)
					       : json_is_integer(value);
	if (!fits)
		return error_create(ERR_USAGE, "%s must be %s", param->name,
				    wanted[param->type]);
	if (is_text && param->choices && !is_choice(param->choices, json_string_value(value)))
		return error_create(ERR_USAGE, "%s must be one of %s, not '%s'", param->name,
				    param->choices, json_string_value(value));
	return NULL;
}

static struct error *check_argument(const struct call_param *param, const json_t *value)
{
	if (!param->repeated)
		return check_value(param, value);
	if (!json_is_array(value))
		return error_create(ERR_USAGE, "%s must be a list", param->name);
	for (size_t i = 0; i < json_array_size(value); i++)
		TRY(check_value(param, json_array_get(value, i)));
	return NULL;
}

static struct error *check_required(const struct call *call, const json_t *args, bool is_local)
{
	for (const struct call_param *param = call->params; param && param->name; param++)
		if (param->required && param->local == is_local &&
		    !json_object_get(args, param->name))
			return error_hint(error_create(ERR_USAGE, "%s needs %s", call->name,
						       param->placeholder ? param->placeholder
									  : param->name),
					  "argument %s; glassbox %s --help shows the usage",
					  param->name, call->name);
	return NULL;
}

struct error *call_check(const struct call *call, json_t *args)
{
	const char *name;
	json_t *value;
	json_object_foreach(args, name, value)
	{
		const struct call_param *param = find_param(call, name);
		if (!param)
			return error_create(ERR_USAGE, "%s has no argument '%s'", call->name,
					    name);
		TRY(check_argument(param, value));
	}
	return check_required(call, args, false);
}

struct error *call_check_remote(const struct call *call, json_t *args)
{
	for (const struct call_param *param = call->params; param && param->name; param++) {
		const json_t *value = json_object_get(args, param->name);
		if (param->local && value)
			return error_create(ERR_USAGE, "%s takes %s only on the command line",
					    call->name, param->name);
		if (json_is_integer(value) && json_integer_value(value) < 0)
			return error_create(ERR_USAGE, "%s must be between 0 and 2^63-1",
					    param->name);
	}
	return call_check(call, args);
}

struct error *call_check_local(const struct call *call, json_t *args)
{
	TRY(call_check(call, args));
	return check_required(call, args, true);
}

/* Bits to shift for a size suffix, or -1. */
static int size_shift(const char *suffix)
{
	static const char letters[] = "KMGT";
	if (!*suffix)
		return 0;
	const char *letter = strchr(letters, toupper((unsigned char)*suffix));
	if (!letter || !*letter)
		return -1;
	const char *rest = suffix + 1;
	if (*rest && strcasecmp(rest, "b") && strcasecmp(rest, "ib"))
		return -1;
	return 10 * (int)(letter - letters + 1);
}

static struct error *parse_number(const struct call_param *param, const char *text,
				  json_t **ret)
{
	char *end = NULL;
	errno = 0;
	/* A leading minus would wrap silently in strtoull. */
	unsigned long long value = isdigit((unsigned char)*text) ? strtoull(text, &end, 0) : 0;
	if (!end || end == text || errno)
		return error_create(ERR_USAGE, "%s must be a number, not '%s'", param->name,
				    text);
	int shift = param->type == CALL_SIZE ? size_shift(end) : (*end ? -1 : 0);
	if (shift < 0 || (shift && value >> (64 - shift)))
		return error_create(ERR_USAGE, "%s must be a %s, not '%s'", param->name,
				    param->type == CALL_SIZE ? "size such as 128M" : "number",
				    text);
	*ret = json_integer((json_int_t)(value << shift));
	return *ret ? NULL : error_create(ERR_MEMORY, "no memory for an argument");
}

static struct error *parse_bool(const struct call_param *param, const char *text, json_t **ret)
{
	bool yes = is_choice("1,true,yes,on", text);
	if (!yes && !is_choice("0,false,no,off", text))
		return error_create(ERR_USAGE, "%s must be true or false, not '%s'",
				    param->name, text);
	*ret = json_boolean(yes);
	return NULL;
}

struct error *call_parse_value(const struct call_param *param, const char *text, json_t **ret)
{
	AUTO(own_json) json_t *value = NULL;
	if (param->type == CALL_INTEGER || param->type == CALL_SIZE)
		TRY(parse_number(param, text, &value));
	else if (param->type == CALL_BOOL)
		TRY(parse_bool(param, text, &value));
	else
		value = json_string(text);
	if (!value)
		return error_create(ERR_USAGE, "%s is not valid UTF-8", param->name);
	TRY(check_value(param, value));
	*ret = TAKE(value);
	return NULL;
}

const char *call_string(const struct call_context *context, const char *name)
{
	return json_string_value(json_object_get(context->args, name));
}

uint64_t call_integer(const struct call_context *context, const char *name, uint64_t otherwise)
{
	const json_t *value = json_object_get(context->args, name);
	return json_is_integer(value) ? (uint64_t)json_integer_value(value) : otherwise;
}

bool call_bool(const struct call_context *context, const char *name)
{
	return json_is_true(json_object_get(context->args, name));
}

bool call_has(const struct call_context *context, const char *name)
{
	return json_object_get(context->args, name) != NULL;
}

void call_progress(const struct call_context *context, double done, const char *what)
{
	if (context->progress)
		context->progress(context->progress_user, done, what);
}

bool call_ended(void *context)
{
	const struct call_context *asked = context;
	return asked->ended && asked->ended();
}

struct error *call_away(struct call_context *context, void (*work)(void *user), void *user)
{
	if (context->away)
		return context->away(context, work, user);
	work(user);
	return NULL;
}

json_t *call_column_names(const struct call *call)
{
	json_t *names = json_array();
	for (const struct call_column *column = call ? call->columns : NULL;
	     column && column->key; column++)
		if (column->style != COLUMN_HIDDEN)
			json_array_append_new(names, json_string(column->key));
	return names;
}

json_t *call_hex(uint64_t value)
{
	return json_sprintf("0x%llx", (unsigned long long)value);
}
