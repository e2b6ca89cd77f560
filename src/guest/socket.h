/* Sockets: those that processes hold open, and those that only the kernel knows. Thread: that
 * of the guest. */
#ifndef GUEST_SOCKET_H
#define GUEST_SOCKET_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
struct error;
struct guest;
struct guest_tasks;

struct guest_socket {
	uint64_t gva; /* of its struct sock */
	int32_t pid; /* who holds it, -1: no process */
	int32_t fd; /* -1: no process */
	const char *family; /* "inet", "inet6", "unix", "netlink", "packet"; NULL: another */
	const char *type; /* "stream", "dgram", "raw", "seqpacket", ... or NULL */
	char proto[16]; /* "tcp", "udp", "icmp", "route", ... or a number */
	char local[160], remote[160]; /* "127.0.0.1:80", "[::1]:53", a path, "@abstract" */
	const char *state; /* "LISTEN", "ESTABLISHED", "TIME_WAIT", "UNCONNECTED", ... */
	bool has_queues;
	uint32_t receive_queue, send_queue; /* bytes, as /proc/net and ss count them; of
					     * listeners: connections that wait */
	uint64_t inode; /* 0: it has none (any more) */
	bool has_uid;
	uint32_t uid;
	uint32_t net_ns; /* number of its network namespace, 0 unknown */
	char family_text[16], type_text[16];
};

/* Sockets in the order of the tasks and their descriptors, then those that no process holds:
 * every one of a protocol's table. With only_held the latter are left out. False from visit
 * ends the walk. Fails: ERR_MEMORY. */
typedef bool guest_socket_fn(void *user, const struct guest_socket *socket);
struct error *guest_sockets_each(struct guest *guest, const struct guest_tasks *tasks,
				 bool only_held, guest_socket_fn *visit, void *user);
#endif
