#include "server/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/lazy_library.h"
#include "box/box.h"
#include "server/internal.h"
#include "server/live.h"
#include "server/pictures.h"
#include "vm/audit.h"
#include "vm/state.h"

static const struct lws_protocols protocols[] = {
	{ .name = "http",
	  .callback = http_callback,
	  .per_session_data_size = sizeof(struct session) },
	{ .name = "pipe", .callback = pipe_callback, .rx_buffer_size = 16384 },
	{ .name = NULL },
};

/* Called by a worker: makes the loop run EVENT_WAIT_CANCELLED. */
static void wake(void *user)
{
	struct server *server = user;
	if (server->context)
		lws_cancel_service(server->context);
}

static void log_line(int level, const char *line)
{
	fprintf(stderr, "glassbox: web server: %s", line);
}

static struct error *check_params(const struct server_params *params,
				  const struct access *access)
{
	if (!params->certificate != !params->key)
		return error_create(ERR_USAGE, "TLS needs both a certificate and a key");
	if (access->is_loopback || params->certificate)
		return NULL;
	return error_hint(error_create(ERR_USAGE, "%s is not loopback and TLS is off",
				       access->listen_host),
			  "give --cert and --key, or listen on 127.0.0.1");
}

LAZY_LIBRARY(websockets);

static struct error *listen_on(struct server *server, const struct server_params *params)
{
	struct lws_context_creation_info info = {
		.port = params->port,
		.iface = server->access.listen_host,
		.protocols = protocols,
		.user = server,
		.gid = (gid_t)-1,
		.uid = (uid_t)-1,
		.options = LWS_SERVER_OPTION_DISABLE_IPV6 *
				   !strchr(server->access.listen_host, ':') |
			   LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND,
		.timeout_secs = 30,
		.keepalive_timeout = 60,
		.max_http_header_data = 8192,
		.max_http_header_pool = 256,
		.fd_limit_per_thread = 0,
		.server_string = "glassbox",
	};
	TRY(lazy_library_open(&lazy_library_websockets));
	if (params->certificate) {
		info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
		info.ssl_cert_filepath = params->certificate;
		info.ssl_private_key_filepath = params->key;
	}
	lws_set_log_level(LLL_ERR, log_line);
	server->context = lws_create_context(&info);
	if (!server->context)
		return error_hint(
			error_create(ERR_SYSTEM, "cannot listen on %s port %u",
				     server->access.listen_host, params->port),
			"another server may use the port: choose one with --listen HOST:PORT");
	struct lws_vhost *vhost = lws_get_vhost_by_name(server->context, "default");
	server->access.port = (uint16_t)lws_get_vhost_listen_port(vhost);
	return NULL;
}

static struct error *make_url(const struct server *server, const char *token, bool has_tls,
			      char **ret)
{
	bool is_v6 = strchr(server->access.listen_host, ':');
	if (asprintf(ret, "http%s://%s%s%s:%u/#token=%s", has_tls ? "s" : "", is_v6 ? "[" : "",
		     server->access.listen_host, is_v6 ? "]" : "", server->access.port,
		     token) < 0) {
		*ret = NULL;
		return error_create(ERR_MEMORY, "no memory for the address");
	}
	return NULL;
}

static struct error *start(struct server *server, const struct server_params *params)
{
	TRY(access_init(&server->access, params->host ? params->host : "127.0.0.1",
			params->port));
	server->access.reads_need_token |= params->reads_need_token;
	TRY(check_params(params, &server->access));
	TRY(box_create(&server->box));
	TRY(pictures_create(&server->pictures));
	TRY(lives_create(wake, server, &server->lives));
	TRY(jobs_create(N_WORKERS, MAX_QUEUED_JOBS, wake, server, &server->jobs));
	struct error *err = listen_on(server, params);
	if (err && params->any_port) {
		struct server_params free_port = *params;
		free_port.port = 0;
		error_destroy(err);
		err = listen_on(server, &free_port);
	}
	TRY(err);
	if (!params->no_record)
		TRY(recorder_create(
			&(struct recorder_params){ .box = server->box,
						   .where = params->db,
						   .keep_ns = params->keep_ns,
						   .max_bytes = params->db_max_bytes },
			&server->recorder));
	TRY(make_url(server, server->access.read_token, params->certificate,
		     &server->read_url));
	return make_url(server, server->access.full_token, params->certificate, &server->url);
}

struct error *server_create(const struct server_params *params, struct server **ret)
{
	struct server *server = NULL;
	TRY(error_alloc(1, sizeof(*server), &server));
	struct error *err = start(server, params);
	if (err) {
		server_destroy(server);
		return err;
	}
	*ret = server;
	return NULL;
}

void server_destroy(struct server *server)
{
	if (!server)
		return;
	/* Workers end first, since they wake the context; sessions next, since they name their
	 * jobs. */
	if (server->jobs)
		jobs_finish(server->jobs);
	if (server->context)
		lws_context_destroy(server->context);
	jobs_destroy(server->jobs);
	recorder_destroy(server->recorder);
	lives_destroy(server->lives);
	pictures_destroy(server->pictures);
	box_destroy(server->box);
	free(server->url);
	free(server->read_url);
	free(server);
}

void server_audit(const char *user, const char *vm, const char *what)
{
	struct error *strange = state_check_name(vm);
	audit_write(&(struct audit_entry){ .user = user,
					   .vm = vm,
					   .is_ours = !strange,
					   .call = what,
					   .outcome = "begun" });
	error_destroy(strange);
}

const char *server_url(const struct server *server)
{
	return server->url;
}

const char *server_read_url(const struct server *server)
{
	return server->read_url;
}

uint16_t server_port(const struct server *server)
{
	return server->access.port;
}

struct error *server_run(struct server *server)
{
	ws_start(server);
	while (!server->stops)
		if (lws_service(server->context, 0) < 0)
			return error_create(ERR_SYSTEM, "the web server's event loop failed");
	return NULL;
}

void server_stop(struct server *server)
{
	server->stops = true;
	lws_cancel_service(server->context);
}
