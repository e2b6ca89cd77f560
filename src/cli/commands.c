#include "cli/command.h"

#include <string.h>

#include "cli/cmd_demo.h"
#include "cli/cmd_run.h"
#include "cli/cmd_serve.h"
#include "cli/cmd_watch.h"

const struct cli_command cli_commands[] = {
	{ "demo", cmd_demo },	{ "mcp", cmd_mcp },	{ "run", cmd_run },
	{ "serve", cmd_serve }, { "watch", cmd_watch }, { NULL },
};

const struct cli_command *cli_command_find(const char *name)
{
	for (const struct cli_command *command = cli_commands; command->name; command++)
		if (!strcmp(command->name, name))
			return command;
	return NULL;
}
