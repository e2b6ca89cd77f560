#include "guest/socket.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "guest/file.h"
#include "guest/internal.h"
#include "guest/socket_table.h"
#include "guest/task.h"

/* Numbers of the guest's ABI. */
enum {
	FAMILY_UNIX = 1,
	FAMILY_INET = 2,
	FAMILY_INET6 = 10,
	FAMILY_NETLINK = 16,
	FAMILY_PACKET = 17,
	TYPE_STREAM = 1,
	TYPE_SEQPACKET = 5,
	UNIX_NAME_BYTES = 108,
	STATE_SYN_RECV = 3,
	STATE_TIME_WAIT = 6,
	STATE_CLOSE = 7,
	STATE_LISTEN = 10,
	STATE_NEW_SYN_RECV = 12,
	PROTOCOL_TCP = 6,
	BUFFERS_MAX = 1 << 16,
	SOCKETS_MAX = 1 << 20,
};

static const char *family_name(unsigned family)
{
	static const char *const names[] = {
		[FAMILY_UNIX] = "unix",
		[FAMILY_INET] = "inet",
		[FAMILY_INET6] = "inet6",
		[15] = "key",
		[FAMILY_NETLINK] = "netlink",
		[FAMILY_PACKET] = "packet",
		[29] = "can",
		[31] = "bluetooth",
		[38] = "alg",
		[40] = "vsock",
		[44] = "xdp",
	};
	return family < sizeof(names) / sizeof(names[0]) ? names[family] : NULL;
}

static const char *type_name(unsigned type)
{
	static const char *const names[] = { NULL,  "stream",	 "dgram", "raw",
					     "rdm", "seqpacket", "dccp",  NULL,
					     NULL,  NULL,	 "packet" };
	return type < sizeof(names) / sizeof(names[0]) ? names[type] : NULL;
}

static const char *ip_protocol(unsigned protocol)
{
	switch (protocol) {
	case 1:
		return "icmp";
	case 6:
		return "tcp";
	case 17:
		return "udp";
	case 58:
		return "icmp6";
	case 132:
		return "sctp";
	case 136:
		return "udplite";
	case 255:
		return "raw";
	case 262:
		return "mptcp";
	default:
		return NULL;
	}
}

static const char *netlink_protocol(unsigned protocol)
{
	static const char *const names[] = { "route",	  "unused", "usersock", "firewall",
					     "sock_diag", "nflog",  "xfrm",	"selinux",
					     "iscsi",	  "audit",  "fib",	"connector",
					     "netfilter", "ip6_fw", "dnrtmsg",	"uevent",
					     "generic",	  NULL,	    "scsi",	"ecryptfs",
					     "rdma",	  "crypto", "smc" };
	return protocol < sizeof(names) / sizeof(names[0]) ? names[protocol] : NULL;
}

static const char *state_name(unsigned state, bool is_tcp)
{
	static const char *const names[] = { NULL,	    "ESTABLISHED", "SYN_SENT",
					     "SYN_RECV",    "FIN_WAIT1",   "FIN_WAIT2",
					     "TIME_WAIT",   "CLOSE",	   "CLOSE_WAIT",
					     "LAST_ACK",    "LISTEN",	   "CLOSING",
					     "NEW_SYN_RECV" };
	if (!is_tcp && state == STATE_CLOSE)
		return "UNCONNECTED";
	return state < sizeof(names) / sizeof(names[0]) && names[state] ? names[state]
									: "UNKNOWN";
}

static uint16_t from_network(uint64_t port)
{
	return (uint16_t)((port & 0xff) << 8 | (port >> 8 & 0xff));
}

static void inet_text(struct guest *guest, uint64_t sk, const char *address_field, bool is_v6,
		      unsigned port, char *text, size_t size)
{
	uint8_t address[16] = { 0 };
	char printed[INET6_ADDRSTRLEN] = "";
	struct field field = guest_need_field(guest, address_field);
	if (field.found)
		guest_read(guest, sk + field.offset, address, is_v6 ? 16 : 4);
	inet_ntop(is_v6 ? AF_INET6 : AF_INET, address, printed, sizeof(printed));
	snprintf(text, size, is_v6 ? "[%s]:%u" : "%s:%u", printed, port);
}

static void read_inet(struct guest *guest, uint64_t sk, bool is_v6, struct guest_socket *s)
{
	unsigned local =
		(unsigned)guest_load(guest, sk, guest_need_field(guest, "sock_common.skc_num"));
	unsigned remote = from_network(
		guest_load(guest, sk, guest_need_field(guest, "sock_common.skc_dport")));
	inet_text(guest, sk,
		  is_v6 ? "sock_common.skc_v6_rcv_saddr" : "sock_common.skc_rcv_saddr", is_v6,
		  local, s->local, sizeof(s->local));
	inet_text(guest, sk, is_v6 ? "sock_common.skc_v6_daddr" : "sock_common.skc_daddr",
		  is_v6, remote, s->remote, sizeof(s->remote));
}

static void unix_name(struct guest *guest, uint64_t sk, char *text, size_t size)
{
	uint64_t address = guest_load(guest, sk, guest_need_field(guest, "unix_sock.addr"));
	int length = 0;
	struct field name = guest_field(guest, "unix_address.name");
	*text = 0;
	if (!address || !name.found)
		return;
	length = (int)guest_load(guest, address, guest_field(guest, "unix_address.len"));
	/* A sockaddr_un: two bytes of family, then the path; a leading NUL makes it abstract.
	 */
	char path[UNIX_NAME_BYTES + 1] = "";
	length = length < 2 ? 0 : length - 2 > UNIX_NAME_BYTES ? UNIX_NAME_BYTES : length - 2;
	if (!guest_read(guest, address + name.offset + 2, path, (size_t)length))
		return;
	path[length] = 0;
	if (length && !*path) {
		for (int i = 0; i < length; i++)
			if (!path[i])
				path[i] = '@';
	}
	snprintf(text, size, "%s", path);
}

static void read_unix(struct guest *guest, uint64_t sk, struct guest_socket *s)
{
	unix_name(guest, sk, s->local, sizeof(s->local));
	uint64_t peer = guest_load(guest, sk, guest_need_field(guest, "unix_sock.peer"));
	if (peer)
		unix_name(guest, peer, s->remote, sizeof(s->remote));
}

static void read_netlink(struct guest *guest, uint64_t sk, struct guest_socket *s)
{
	uint32_t local =
		(uint32_t)guest_load(guest, sk, guest_need_field(guest, "netlink_sock.portid"));
	uint32_t remote =
		(uint32_t)guest_load(guest, sk, guest_field(guest, "netlink_sock.dst_portid"));
	snprintf(s->local, sizeof(s->local), "%u", local);
	snprintf(s->remote, sizeof(s->remote), "%u", remote);
}

static void read_packet(struct guest *guest, uint64_t sk, struct guest_socket *s)
{
	uint16_t type =
		from_network(guest_load(guest, sk, guest_need_field(guest, "packet_sock.num")));
	int device = (int)guest_load(guest, sk, guest_field(guest, "packet_sock.ifindex"));
	snprintf(s->proto, sizeof(s->proto), "0x%04x", type);
	snprintf(s->local, sizeof(s->local), "interface %d", device);
}

static void name_protocol(struct guest_socket *s, unsigned family, unsigned protocol)
{
	const char *name = NULL;
	if (family == FAMILY_INET || family == FAMILY_INET6)
		name = ip_protocol(protocol);
	else if (family == FAMILY_NETLINK)
		name = netlink_protocol(protocol);
	else if (family == FAMILY_UNIX)
		name = "unix";
	if (name)
		snprintf(s->proto, sizeof(s->proto), "%s", name);
	else
		snprintf(s->proto, sizeof(s->proto), "%u", protocol);
}

static void name_kind(struct guest_socket *s, unsigned family, unsigned type)
{
	s->family = family_name(family);
	s->type = type_name(type);
	snprintf(s->family_text, sizeof(s->family_text), "%u", family);
	snprintf(s->type_text, sizeof(s->type_text), "%u", type);
}

static void read_addresses(struct guest *guest, uint64_t sk, unsigned family,
			   struct guest_socket *s)
{
	switch (family) {
	case FAMILY_INET:
	case FAMILY_INET6:
		read_inet(guest, sk, family == FAMILY_INET6, s);
		break;
	case FAMILY_UNIX:
		read_unix(guest, sk, s);
		break;
	case FAMILY_NETLINK:
		read_netlink(guest, sk, s);
		break;
	case FAMILY_PACKET:
		read_packet(guest, sk, s);
		break;
	default:
		break;
	}
}

/* --- queues ----------------------------------------------------------------------------------
 */

/* Bytes that wait in the receive queue; or the number of buffers. */
static uint32_t queued(struct guest *guest, uint64_t sk, bool count)
{
	struct field queue = guest_field(guest, "sock.sk_receive_queue");
	struct field length = guest_field(guest, "sk_buff.len");
	struct guest_list list;
	uint64_t buffer;
	uint32_t total = 0;
	if (!queue.found || !length.found)
		return 0;
	guest_list_begin(&list, guest, sk + queue.offset, (struct field){ 0 },
			 "buffers of a socket");
	for (unsigned n = 0; n < BUFFERS_MAX && guest_list_next(&list, &buffer); n++)
		total += count ? 1 : (uint32_t)guest_load(guest, buffer, length);
	return total;
}

/* The difference of two of TCP's sequence numbers, which wrap. */
static uint32_t sequence_span(struct guest *guest, uint64_t sk, const char *to,
			      const char *from)
{
	struct field end = guest_field(guest, to), start = guest_field(guest, from);
	if (!end.found || !start.found)
		return 0;
	uint32_t span =
		(uint32_t)guest_load(guest, sk, end) - (uint32_t)guest_load(guest, sk, start);
	return (int32_t)span > 0 ? span : 0;
}

static void tcp_queues(struct guest *guest, uint64_t sk, unsigned state, struct guest_socket *s)
{
	if (state == STATE_LISTEN) {
		s->receive_queue = (uint32_t)guest_load(
			guest, sk, guest_field(guest, "sock.sk_ack_backlog"));
		return;
	}
	s->receive_queue = sequence_span(guest, sk, "tcp_sock.rcv_nxt", "tcp_sock.copied_seq");
	s->send_queue = sequence_span(guest, sk, "tcp_sock.write_seq", "tcp_sock.snd_una");
}

static void read_queues(struct guest *guest, uint64_t sk, unsigned family, unsigned state,
			bool is_tcp, struct guest_socket *s)
{
	if (is_tcp) {
		tcp_queues(guest, sk, state, s);
		return;
	}
	/* The socket itself holds one. */
	uint32_t sent =
		(uint32_t)guest_load(guest, sk, guest_field(guest, "sock.sk_wmem_alloc"));
	s->send_queue = sent ? sent - 1 : 0;
	if (family == FAMILY_UNIX)
		s->receive_queue = queued(guest, sk, state == STATE_LISTEN);
	else
		s->receive_queue = (uint32_t)guest_load(
			guest, sk, guest_field(guest, "sock.sk_backlog.rmem_alloc"));
}

/* --- one socket ------------------------------------------------------------------------------
 */

static uint64_t inode_number(struct guest *guest, uint64_t sk)
{
	struct field inode = guest_field(guest, "socket_alloc.vfs_inode");
	struct field socket = guest_field(guest, "socket_alloc.socket");
	uint64_t gva = guest_load(guest, sk, guest_field(guest, "sock.sk_socket"));
	if (!gva || !inode.found || !socket.found)
		return 0;
	return guest_load(guest, gva - socket.offset + inode.offset,
			  guest_field(guest, "inode.i_ino"));
}

/* What a connection that waits for its end, or for its beginning, is: only sock_common is
 * there. */
static void read_small(struct guest *guest, uint64_t sk, unsigned family, unsigned state,
		       struct guest_socket *s)
{
	name_kind(s, family, TYPE_STREAM);
	name_protocol(s, family, PROTOCOL_TCP);
	if (state == STATE_TIME_WAIT)
		state = (unsigned)guest_load(
			guest, sk, guest_field(guest, "inet_timewait_sock.tw_substate"));
	s->state = state_name(state == STATE_NEW_SYN_RECV ? STATE_SYN_RECV : state, true);
}

static void read_full(struct guest *guest, uint64_t sk, unsigned family, unsigned state,
		      struct guest_socket *s)
{
	unsigned type =
		(unsigned)guest_load(guest, sk, guest_need_field(guest, "sock.sk_type"));
	unsigned protocol =
		(unsigned)guest_load(guest, sk, guest_need_field(guest, "sock.sk_protocol"));
	struct field uid = guest_field(guest, "sock.sk_uid");
	bool is_ip = family == FAMILY_INET || family == FAMILY_INET6;
	bool is_stream = is_ip && type == TYPE_STREAM;
	name_kind(s, family, type);
	name_protocol(s, family, protocol);
	s->state = state_name(state, is_stream);
	read_queues(guest, sk, family, state, is_stream && protocol == PROTOCOL_TCP, s);
	s->inode = inode_number(guest, sk);
	s->has_uid = uid.found;
	s->uid = (uint32_t)guest_load(guest, sk, uid);
}

static void read_sock(struct guest *guest, uint64_t sk, struct guest_socket *ret)
{
	struct guest_socket s = { .gva = sk, .pid = -1, .fd = -1 };
	s.has_queues = guest_field(guest, "sock.sk_wmem_alloc").found;
	unsigned family = (unsigned)guest_load(
		guest, sk, guest_need_field(guest, "sock_common.skc_family"));
	unsigned state = (unsigned)guest_load(guest, sk,
					      guest_need_field(guest, "sock_common.skc_state"));
	bool is_ip = family == FAMILY_INET || family == FAMILY_INET6;
	bool is_small = is_ip && (state == STATE_TIME_WAIT || state == STATE_NEW_SYN_RECV);
	uint64_t net = guest_load(guest, sk, guest_field(guest, "sock_common.skc_net.net"));
	(is_small ? read_small : read_full)(guest, sk, family, state, &s);
	read_addresses(guest, sk, family, &s);
	if (net)
		s.net_ns = (uint32_t)guest_load(guest, net, guest_field(guest, "net.ns.inum"));
	*ret = s;
}

/* The sock behind a descriptor, 0 when it is no socket. */
static uint64_t sock_of_file(struct guest *guest, const struct guest_file *file)
{
	struct field f_op = guest_field(guest, "file.f_op");
	uint64_t operations;
	if (f_op.found && guest_symbol(guest, "socket_file_ops", &operations)
		    ? guest_load(guest, file->gva, f_op) != operations
		    : strcmp(file->type, "socket") != 0)
		return 0;
	uint64_t socket =
		guest_load(guest, file->gva, guest_need_field(guest, "file.private_data"));
	return socket ? guest_load(guest, socket, guest_need_field(guest, "socket.sk")) : 0;
}

/* --- all sockets -----------------------------------------------------------------------------
 */

struct socket_walk {
	struct guest *guest;
	const struct guest_task *task;
	guest_socket_fn *visit;
	void *user;
	VEC(uint64_t) held, all;
	bool ended, no_memory;
};

static bool held_socket(void *user, const struct guest_file *file)
{
	struct socket_walk *w = user;
	struct guest_socket s;
	uint64_t sk = sock_of_file(w->guest, file);
	if (!sk)
		return true;
	read_sock(w->guest, sk, &s);
	s.pid = w->task->pid;
	s.fd = (int32_t)file->fd;
	w->no_memory = !VEC_PUSH(&w->held, sk);
	w->ended = w->no_memory || !w->visit(w->user, &s);
	return !w->ended;
}

static bool remember_sock(void *user, uint64_t sk)
{
	struct socket_walk *w = user;
	w->no_memory = w->all.count >= SOCKETS_MAX || !VEC_PUSH(&w->all, sk);
	return !w->no_memory;
}

static int compare_addresses(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
	return a < b ? -1 : a > b;
}

static void show_unheld(struct socket_walk *w)
{
	if (w->held.count)
		qsort(w->held.items, w->held.count, sizeof(uint64_t), compare_addresses);
	if (w->all.count)
		qsort(w->all.items, w->all.count, sizeof(uint64_t), compare_addresses);
	for (size_t i = 0; i < w->all.count && !w->ended && guest_step(w->guest); i++) {
		struct guest_socket s;
		uint64_t sk = w->all.items[i];
		if ((i && w->all.items[i - 1] == sk) ||
		    (w->held.count &&
		     bsearch(&sk, w->held.items, w->held.count, sizeof(sk), compare_addresses)))
			continue;
		read_sock(w->guest, sk, &s);
		w->ended = !w->visit(w->user, &s);
	}
}

struct error *guest_sockets_each(struct guest *guest, const struct guest_tasks *tasks,
				 bool only_held, guest_socket_fn *visit, void *user)
{
	struct socket_walk w = { .guest = guest, .visit = visit, .user = user };
	/* The tables first: what is opened meanwhile is found with its process. */
	if (!only_held)
		guest_socks_each(guest, remember_sock, &w);
	for (size_t i = 0; i < tasks->count && !w.ended && !w.no_memory; i++) {
		w.task = &tasks->items[i];
		guest_files_each(guest, w.task, held_socket, &w);
	}
	if (!w.no_memory)
		show_unheld(&w);
	VEC_FREE(&w.held);
	VEC_FREE(&w.all);
	return w.no_memory ? error_create(ERR_MEMORY, "no memory for sockets") : NULL;
}
