#include "cli/options.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

OWN_DECLARE(own_json, json_t *, json_decref)

/* Values getopt_long returns: a parameter's index, or one of these. */
enum { OPTION_JSON = 1000, OPTION_HELP, OPTION_FILE, OPTION_SYMBOLS, OPTION_NO_CACHE };

enum { MAX_PARAMS = 64 };

struct parser {
	const struct call *call;
	size_t n_params;
	struct option options[MAX_PARAMS + 6];
	char names[MAX_PARAMS][32];
	char letters[2 * MAX_PARAMS + 8];
	struct cli_parsed *parsed;
};

static size_t count_params(const struct call *call)
{
	size_t count = 0;
	while (call->params && call->params[count].name)
		count++;
	return count;
}

static void add_option(struct parser *parser, size_t *at, const char *name, int has_arg,
		       int value)
{
	parser->options[(*at)++] = (struct option){ name, has_arg, NULL, value };
}

/* "qemu_args" in the table is --qemu-args on the command line. */
static void option_name(const char *name, char *to, size_t size)
{
	size_t i = 0;
	for (; name[i] && i + 1 < size; i++)
		to[i] = name[i] == '_' ? '-' : name[i];
	to[i] = '\0';
}

static void build_options(struct parser *parser)
{
	size_t at = 0;
	char *letter = parser->letters;
	*letter++ = ':';
	*letter++ = 'h';
	for (size_t i = 0; i < parser->n_params; i++) {
		const struct call_param *param = &parser->call->params[i];
		if (param->positional)
			continue;
		int has_arg = param->type == CALL_BOOL ? no_argument : required_argument;
		option_name(param->name, parser->names[i], sizeof(parser->names[i]));
		add_option(parser, &at, parser->names[i], has_arg, (int)i);
		if (param->letter) {
			*letter++ = param->letter;
			if (has_arg)
				*letter++ = ':';
		}
	}
	*letter = '\0';
	add_option(parser, &at, "json", no_argument, OPTION_JSON);
	add_option(parser, &at, "help", no_argument, OPTION_HELP);
	if (parser->call->flags & CALL_TARGET) {
		add_option(parser, &at, "file", required_argument, OPTION_FILE);
		add_option(parser, &at, "symbols", required_argument, OPTION_SYMBOLS);
		add_option(parser, &at, "no-cache", no_argument, OPTION_NO_CACHE);
	}
	parser->options[at] = (struct option){ 0 };
}

static struct error *store(struct parser *parser, const struct call_param *param,
			   const char *text)
{
	json_t *value = NULL;
	if (param->type == CALL_BOOL)
		value = json_true();
	else
		TRY(call_parse_value(param, text, &value));
	json_t *args = parser->parsed->args;
	if (!param->repeated) {
		json_object_set_new(args, param->name, value);
		return NULL;
	}
	json_t *list = json_object_get(args, param->name);
	if (!list) {
		list = json_array();
		json_object_set_new(args, param->name, list);
	}
	json_array_append_new(list, value);
	return NULL;
}

static const struct call_param *param_of_letter(const struct parser *parser, int letter)
{
	for (size_t i = 0; i < parser->n_params; i++)
		if (!parser->call->params[i].positional &&
		    parser->call->params[i].letter == letter)
			return &parser->call->params[i];
	return NULL;
}

static struct error *store_option(struct parser *parser, int value)
{
	struct cli_options *options = &parser->parsed->options;
	switch (value) {
	case OPTION_JSON:
		options->json = true;
		return NULL;
	case OPTION_HELP:
	case 'h':
		parser->parsed->help = true;
		return NULL;
	case OPTION_FILE:
		options->target.file = optarg;
		return NULL;
	case OPTION_SYMBOLS:
		options->target.symbols = optarg;
		return NULL;
	case OPTION_NO_CACHE:
		options->target.no_cache = true;
		return NULL;
	}
	if (value >= 0 && (size_t)value < parser->n_params)
		return store(parser, &parser->call->params[value], optarg);
	const struct call_param *param = param_of_letter(parser, value);
	CHECK(param);
	return store(parser, param, optarg);
}

static struct error *parse_options(struct parser *parser, int argc, char **argv)
{
	const char *name = parser->call->name;
	int value;
	opterr = 0;
	optind = 0;
	while ((value = getopt_long(argc, argv, parser->letters, parser->options, NULL)) !=
	       -1) {
		const char *shown = argv[optind - 1];
		if (value == '?')
			return error_hint(error_create(ERR_USAGE, "unknown option '%s'", shown),
					  "glassbox %s --help lists the options", name);
		if (value == ':')
			return error_create(ERR_USAGE, "option '%s' needs a value", shown);
		TRY(store_option(parser, value));
	}
	return NULL;
}

static const struct call_param *next_positional(const struct parser *parser, size_t *index)
{
	for (; *index < parser->n_params; (*index)++)
		if (parser->call->params[*index].positional)
			return &parser->call->params[*index];
	return NULL;
}

/* A VM comes first unless --file names a dump; words after `--` land in the last, repeated one.
 */
static struct error *parse_words(struct parser *parser, int argc, char **argv)
{
	struct target_params *target = &parser->parsed->options.target;
	int at = optind;
	if ((parser->call->flags & CALL_TARGET) && !target->file && at < argc)
		target->vm = argv[at++];
	size_t index = 0;
	for (; at < argc; at++) {
		const struct call_param *param = next_positional(parser, &index);
		if (!param)
			return error_hint(
				error_create(ERR_USAGE, "too many arguments: '%s'", argv[at]),
				"glassbox %s --help shows the usage", parser->call->name);
		TRY(store(parser, param, argv[at]));
		if (!param->repeated)
			index++;
	}
	return NULL;
}

static struct error *check_target(const struct call *call, const struct target_params *target)
{
	if (!(call->flags & CALL_TARGET))
		return NULL;
	if (!target->vm && !target->file)
		return error_hint(
			error_create(ERR_USAGE, "%s needs a VM%s", call->name,
				     call->flags & CALL_LIVE_ONLY ? "" : " or --file DUMP"),
			"`glassbox ls` shows the running ones");
	if (target->file && (call->flags & CALL_LIVE_ONLY))
		return error_create(ERR_USAGE, "%s works on a running VM, not on a dump",
				    call->name);
	return NULL;
}

struct error *cli_parse(const struct call *call, int argc, char **argv, struct cli_parsed *ret)
{
	AUTO(own_free) struct parser *parser = NULL;
	TRY(error_alloc(1, sizeof(*parser), &parser));
	parser->call = call;
	parser->n_params = count_params(call);
	CHECK(parser->n_params < MAX_PARAMS);
	parser->parsed = ret;
	*ret = (struct cli_parsed){ .args = json_object() };
	build_options(parser);
	TRY(parse_options(parser, argc, argv));
	if (ret->help)
		return NULL;
	TRY(parse_words(parser, argc, argv));
	TRY(check_target(call, &ret->options.target));
	return call_check_local(call, ret->args);
}

void cli_parsed_deinit(struct cli_parsed *parsed)
{
	json_decref(parsed->args);
	parsed->args = NULL;
}
