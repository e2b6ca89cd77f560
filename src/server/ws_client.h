/* One WebSocket connection, shared by ws.c (messages) and ws_pipe.c (consoles and screens).
 * Thread: the event loop's. */
#ifndef SERVER_WS_CLIENT_H
#define SERVER_WS_CLIENT_H
#include <stdbool.h>
#include <stddef.h>

#include "base/vec.h"
struct error;
struct lws;
struct out_message;
struct screen_job;
struct ws_client;

/* ORDER pipes: the number is the first byte of their binary messages (docs/stream.md). */
enum ws_pipe_kind { WS_CONSOLE = 1, WS_SCREEN = 2, WS_N_PIPES };

/* A byte stream between the page and a VM. */
struct ws_pipe {
	struct ws_client *client;
	struct lws *wsi; /* the raw socket, or NULL */
	enum ws_pipe_kind kind;
	bool is_held; /* not read from, since the page is behind */
	VEC(char) typed; /* what waits to be written to the VM */
};

struct ws_client {
	struct ws_client *next;
	char user[64]; /* for the audit log */
	struct lws *wsi;
	struct ws_pipe pipes[WS_N_PIPES]; /* by kind; 0 is not used */
	struct screen_job *screen_job; /* asks QEMU for the screen, or NULL */
	struct out_message *first, **last;
	size_t out_bytes;
	char *vms_sent; /* the list of VMs that went out last */
	char *in; /* a message that comes in pieces */
	size_t in_bytes;
	bool may_change, is_slow;
};

/* Queues a message; prefix: a first byte, or -1. A client that is too far behind is dropped. */
void ws_send(struct ws_client *client, bool is_binary, int prefix, const void *bytes,
	     size_t length);

/* Shows the console or the screen of a VM to this client; vm NULL: nothing any more. */
void ws_pipe_open(struct ws_client *client, enum ws_pipe_kind kind, const char *vm);
/* Input from the page. */
void ws_pipe_type(struct ws_pipe *pipe, const char *bytes, size_t length);
/* Stops or goes on reading from the VM, by how far the page is behind. */
void ws_pipe_pace(struct ws_client *client);
void ws_pipe_deinit(struct ws_client *client);
#endif
