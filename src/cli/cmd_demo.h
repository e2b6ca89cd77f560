/* `glassbox demo`: the tour through everything on a guest of its own, which it ends and cleans
 * up. */
#ifndef CLI_CMD_DEMO_H
#define CLI_CMD_DEMO_H
#include "cli/command.h"

struct error *cmd_demo(struct call_context *context, const struct cli_options *options);
#endif
