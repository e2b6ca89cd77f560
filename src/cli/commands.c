#include "cli/command.h"

#include <string.h>

#include "cli/cmd_run.h"
#include "cli/cmd_serve.h"

const struct cli_command cli_commands[] = {
	{ "mcp", cmd_mcp },
	{ "run", cmd_run },
	{ "serve", cmd_serve },
	{ NULL },
};

const struct cli_command *cli_command_find(const char *name)
{
	for (const struct cli_command *command = cli_commands; command->name; command++)
		if (!strcmp(command->name, name))
			return command;
	return NULL;
}
