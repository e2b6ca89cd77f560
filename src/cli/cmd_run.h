/* `glassbox run`: starts a VM and, unless told to detach, stays with its console. */
#ifndef CLI_CMD_RUN_H
#define CLI_CMD_RUN_H
#include "cli/command.h"

struct error *cmd_run(struct call_context *context, const struct cli_options *options);
#endif
