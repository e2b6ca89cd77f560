/* `glassbox watch`: records a VM's facts and prints what changes, until told to end. */
#ifndef CLI_CMD_WATCH_H
#define CLI_CMD_WATCH_H
#include "cli/command.h"

struct error *cmd_watch(struct call_context *context, const struct cli_options *options);
#endif
