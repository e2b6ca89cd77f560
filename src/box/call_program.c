/* Calls that are programs of their own on the command line: the server, MCP on stdin and the
 * tour. */
#include "box/call.h"

static const struct call_param serve_params[] = {
	{ "listen", CALL_STRING, .letter = 'l', .placeholder = "HOST:PORT",
	  .help = "address to listen on; 127.0.0.1:8036 if not given, port 0 takes a free "
		  "one" },
	{ "cert", CALL_PATH, .placeholder = "FILE",
	  .help = "TLS certificate (PEM); needed beyond loopback" },
	{ "key", CALL_PATH, .placeholder = "FILE", .help = "TLS private key (PEM)" },
	{ "private", CALL_BOOL, .help = "reading needs the token too, not only changing" },
	{ "no_record", CALL_BOOL, .help = "keep no memory of the VMs' past" },
	{ "db", CALL_STRING, .placeholder = "WHERE",
	  .help = "postgresql:// URL or SQLite file for the past of all VMs, instead of one "
		  "file with each VM" },
	{ "keep_days", CALL_INTEGER, .placeholder = "N",
	  .help = "forget what ended longer ago; 7 if not given" },
	{ "db_max", CALL_SIZE, .placeholder = "SIZE",
	  .help = "bound of an SQLite file, the oldest is dropped; 256M if not given" },
	{ 0 },
};

const struct call call_serve = {
	.name = "serve",
	.group = "programs",
	.summary = "serve the web page, REST, WebSocket, MCP and metrics",
	.details = "Prints the address to open, with the token that changing a VM needs. "
		   "Listens on\n"
		   "loopback unless told otherwise, and then only with TLS. Looks at every VM "
		   "once "
		   "a second and\n"
		   "records what changed (query, history, diff, timeline). Ctrl-C ends it.",
	.examples = "  glassbox serve\n  glassbox serve --listen 127.0.0.1:0",
	.flags = CALL_CLI_ONLY,
	.params = serve_params,
};

const struct call call_mcp = {
	.name = "mcp",
	.group = "programs",
	.summary = "speak the Model Context Protocol on stdin and stdout",
	.details = "For assistants: every query of glassbox becomes a tool. The server of\n"
		   "`glassbox serve` speaks it at /mcp.",
	.flags = CALL_CLI_ONLY,
};

static const struct call_param demo_params[] = {
	{ "once", CALL_BOOL, .help = "end after the tour instead of serving the page" },
	{ "profile", CALL_STRING, .placeholder = "P",
	  .help = "which demo guest: 5.10, 6.1, 6.12, testing" },
	{ "output", CALL_PATH, .letter = 'o', .placeholder = "F.png",
	  .help = "where the picture goes (glassbox-demo.png)" },
	{ 0 },
};

const struct call call_demo = {
	.name = "demo",
	.group = "programs",
	.summary = "take the tour: boot, look inside, draw, ask, then serve the page",
	.details = "Works on a guest of its own, which is stopped at the end. Without a "
		   "terminal, or with\n"
		   "--once, it ends by itself.",
	.flags = CALL_CLI_ONLY,
	.params = demo_params,
};
