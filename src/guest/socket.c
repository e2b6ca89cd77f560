#include "guest/socket.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "guest/file.h"
#include "guest/internal.h"

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
	STATE_CLOSE = 7,
	STATE_LISTEN = 10,
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
	uint64_t peer = guest_load(guest, sk, guest_field(guest, "unix_sock.peer"));
	if (peer)
		unix_name(guest, peer, s->remote, sizeof(s->remote));
}

static void read_netlink(struct guest *guest, uint64_t sk, struct guest_socket *s)
{
	uint32_t local =
		(uint32_t)guest_load(guest, sk, guest_field(guest, "netlink_sock.portid"));
	uint32_t remote =
		(uint32_t)guest_load(guest, sk, guest_field(guest, "netlink_sock.dst_portid"));
	snprintf(s->local, sizeof(s->local), "%u", local);
	snprintf(s->remote, sizeof(s->remote), "%u", remote);
}

static void read_packet(struct guest *guest, uint64_t sk, struct guest_socket *s)
{
	uint16_t type =
		from_network(guest_load(guest, sk, guest_field(guest, "packet_sock.num")));
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

bool guest_socket_read(struct guest *guest, const struct guest_file *file,
		       struct guest_socket *ret)
{
	uint64_t operations,
		ops = guest_load(guest, file->gva, guest_need_field(guest, "file.f_op"));
	if (!guest_symbol(guest, "socket_file_ops", &operations) || ops != operations)
		return false;
	uint64_t socket =
		guest_load(guest, file->gva, guest_need_field(guest, "file.private_data"));
	uint64_t sk = guest_load(guest, socket, guest_need_field(guest, "socket.sk"));
	if (!socket || !sk)
		return false;
	struct guest_socket s = { .gva = sk };
	unsigned family = (unsigned)guest_load(
		guest, sk, guest_need_field(guest, "sock_common.skc_family"));
	unsigned type =
		(unsigned)guest_load(guest, socket, guest_need_field(guest, "socket.type"));
	unsigned protocol =
		(unsigned)guest_load(guest, sk, guest_need_field(guest, "sock.sk_protocol"));
	unsigned state = (unsigned)guest_load(guest, sk,
					      guest_need_field(guest, "sock_common.skc_state"));
	name_kind(&s, family, type);
	name_protocol(&s, family, protocol);
	read_addresses(guest, sk, family, &s);
	bool is_ip = family == FAMILY_INET || family == FAMILY_INET6;
	s.state = state_name(state, is_ip && type == TYPE_STREAM);
	s.receive_queue =
		(uint32_t)guest_load(guest, sk, guest_field(guest, "sock.sk_rmem_alloc"));
	s.send_queue =
		(uint32_t)guest_load(guest, sk, guest_field(guest, "sock.sk_wmem_queued"));
	s.inode = guest_load(guest, file->inode, guest_field(guest, "inode.i_ino"));
	*ret = s;
	return true;
}
