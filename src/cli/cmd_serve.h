/* `glassbox serve` and `glassbox mcp`: both run until they are told to end. */
#ifndef CLI_CMD_SERVE_H
#define CLI_CMD_SERVE_H
#include "cli/command.h"
#include "server/server.h"

/* Serves until Ctrl-C or SIGTERM; prints the address first. */
struct error *serve_until_signal(const struct server_params *params, bool as_json);

struct error *cmd_serve(struct call_context *context, const struct cli_options *options);
struct error *cmd_mcp(struct call_context *context, const struct cli_options *options);
#endif
