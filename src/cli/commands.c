#include "cli/command.h"

#include <string.h>

const struct cli_command cli_commands[] = {
	{ NULL },
};

const struct cli_command *cli_command_find(const char *name)
{
	for (const struct cli_command *command = cli_commands; command->name; command++)
		if (!strcmp(command->name, name))
			return command;
	return NULL;
}
