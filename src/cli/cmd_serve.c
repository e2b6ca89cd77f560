/* `glassbox serve` and `glassbox mcp`. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/cmd_serve.h"
#include "server/mcp.h"
#include "server/server.h"

OWN_DECLARE(own_server, struct server *, server_destroy)

enum { DEFAULT_PORT = 8036 };
static const uint64_t day_ns = UINT64_C(86400000000000);

/* "HOST:PORT", "[::1]:PORT", "HOST" or ":PORT". Caller owns *host_ret, which may become NULL.
 */
static struct error *split_address(const char *text, char **host_ret, uint16_t *port_ret)
{
	*host_ret = NULL;
	*port_ret = DEFAULT_PORT;
	if (!text)
		return NULL;
	const char *colon = strrchr(text, ':');
	if (colon && strchr(colon, ']'))
		colon = NULL;
	size_t length = colon ? (size_t)(colon - text) : strlen(text);
	if (colon) {
		char *end;
		errno = 0;
		unsigned long port = strtoul(colon + 1, &end, 10);
		if (errno || end == colon + 1 || *end || port > 65535)
			return error_create(ERR_USAGE, "'%s' is not HOST:PORT", text);
		*port_ret = (uint16_t)port;
	}
	bool has_brackets = length > 2 && text[0] == '[' && text[length - 1] == ']';
	if (length)
		*host_ret = strndup(text + has_brackets, length - 2 * has_brackets);
	return NULL;
}

static void *wait_for_signal(void *argument)
{
	sigset_t set;
	int which;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigwait(&set, &which);
	server_stop(argument);
	return NULL;
}

/* Ends the server at Ctrl-C; the signals are taken by a thread of their own. */
static struct error *stop_on_signal(struct server *server, pthread_t *thread_ret)
{
	int failed = pthread_create(thread_ret, NULL, wait_for_signal, server);
	return failed ? error_system(failed, "cannot start a thread") : NULL;
}

static void block_signals(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

struct error *serve_until_signal(const struct server_params *params, bool as_json)
{
	block_signals();
	AUTO(own_server) struct server *server = NULL;
	TRY(server_create(params, &server));
	if (as_json)
		printf("{\"url\": \"%s\", \"read_url\": \"%s\", \"port\": %u}\n",
		       server_url(server), server_read_url(server), server_port(server));
	else
		printf("glassbox serves at %s\nfor looking only: %s\nCtrl-C ends it.\n",
		       server_url(server), server_read_url(server));
	fflush(stdout);
	pthread_t waiter;
	TRY(stop_on_signal(server, &waiter));
	struct error *err = server_run(server);
	pthread_cancel(waiter);
	pthread_join(waiter, NULL);
	return err;
}

struct error *cmd_serve(struct call_context *context, const struct cli_options *options)
{
	AUTO(own_free) char *host = NULL;
	struct server_params params = { .certificate = call_string(context, "cert"),
					.key = call_string(context, "key"),
					.reads_need_token = call_bool(context, "private"),
					.no_record = call_bool(context, "no_record"),
					.db = call_string(context, "db"),
					.keep_ns =
						call_integer(context, "keep_days", 0) * day_ns,
					.db_max_bytes = call_integer(context, "db_max", 0) };
	TRY(split_address(call_string(context, "listen"), &host, &params.port));
	params.host = host;
	if (!params.db)
		params.db = getenv("GLASSBOX_DB");
	if (params.db) /* where history and its like look, too (facts_watch_place) */
		setenv("GLASSBOX_DB", params.db, 1);
	return serve_until_signal(&params, options->json);
}

struct error *cmd_mcp(struct call_context *context, const struct cli_options *options)
{
	return mcp_serve_stdio();
}
