/* Sockets held open by processes. Thread: that of the guest. */
#ifndef GUEST_SOCKET_H
#define GUEST_SOCKET_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
struct guest;
struct guest_file;

struct guest_socket {
	uint64_t gva; /* of its struct sock */
	const char
		*family; /* "inet", "inet6", "unix", "netlink", "packet", or a number's text */
	const char *type; /* "stream", "dgram", "raw", "seqpacket", ... */
	char proto[16]; /* "tcp", "udp", "icmp", "route", ... or a number */
	char local[160], remote[160]; /* "127.0.0.1:80", "[::1]:53", a path, "@abstract" */
	const char *state; /* "LISTEN", "ESTABLISHED", "UNCONNECTED", ... */
	uint32_t receive_queue, send_queue;
	uint64_t inode;
	char family_text[16], type_text[16];
};

/* False when the file is no socket or nothing of it can be read. */
bool guest_socket_read(struct guest *guest, const struct guest_file *file,
		       struct guest_socket *ret);
#endif
