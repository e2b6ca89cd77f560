/* Model Context Protocol (revision 2025-03-26): every call as a tool, VMs as resources. One
 * JSON-RPC message in, one out; the transports are `glassbox mcp` (lines on stdin) and POST
 * /mcp. Thread: any. */
#ifndef SERVER_MCP_H
#define SERVER_MCP_H
#include <jansson.h>
#include <stdbool.h>
struct box;
struct error;

struct mcp_caller {
	struct box *box;
	const char *user; /* for the audit log */
	bool may_change; /* calls with CALL_CHANGES are allowed */
};

/* Answers message (NULL: it was not JSON). NULL for a notification. New reference. */
json_t *mcp_handle(const struct mcp_caller *caller, const json_t *message);

/* Serves stdin/stdout until end of file. */
struct error *mcp_serve_stdio(void);
#endif
