/* Commands that are more than "run the call, print its document": they own the terminal, write
 * files or keep running. Their options and help still come from the call table. Thread: the
 * main thread. */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H
#include <jansson.h>
#include <stdbool.h>

#include "box/call.h"
#include "box/target.h"
struct error;

struct cli_options {
	bool json; /* --json: one JSON document on stdout */
	struct target_params target; /* texts are borrowed from argv */
};

struct cli_command {
	const char *name; /* name of a call in call_table */
	/* context->target is open if the call has CALL_TARGET. Returns NULL for exit 0. */
	struct error *(*run)(struct call_context *context, const struct cli_options *options);
};

/* ORDER commands: ends with a NULL name. */
extern const struct cli_command cli_commands[];

const struct cli_command *cli_command_find(const char *name); /* or NULL */
#endif
