/* Sockets that processes hold, for a kernel without types. A descriptor whose inode says
 * "socket" leads to structures that point at each other:
 *
 *   file     { .., private_data -> socket }
 *   socket   { state, type, flags, file -> back, sk, [..] ops -> { family, .. } }
 *   sock     { addresses, hash, ports, family, state, .., net, v6 addresses, .., socket ->
 * back,
 *              .., type:16, protocol:16 }
 *
 * The first 19 bytes of sock are the same in all kernels since 3.13; that the family agrees
 * with the one in ops shows that they are what they seem. What lies behind is found by what
 * must hold for all sockets of the sample. Only when family, state, type and protocol are found
 * is any of it said. */
#include <stdlib.h>
#include <string.h>

#include "guest/inferred.h"
#include "guest/internal.h"
#include "guest/shape.h"

enum {
	FILE_BYTES = 256,
	SOCKET_BYTES = 64,
	SOCK_BYTES = 1024,
	UNIX_SOCK_BYTES = 2048,
	MODE_TYPE = 0170000,
	MODE_SOCKET = 0140000,
	FAMILIES = 46,
	UNIX = 1,
	INET = 2,
	INET6 = 10,
	STREAM = 1,
	DATAGRAM = 2,
	TCP = 6,
	UDP = 17,
	SAMPLE_MAX = 256,
	NAME_MAX_BYTES = 110, /* sockaddr_un */
	SKC_DADDR = 0,
	SKC_RCV_SADDR = 4,
	SKC_DPORT = 12,
	SKC_NUM = 14,
	SKC_FAMILY = 16,
	SKC_STATE = 18,
};

struct one {
	uint64_t file, inode, socket, sk;
	uint32_t family, type;
};

struct sockets {
	const struct shape *s;
	uint64_t net; /* the first network */
	struct one all[SAMPLE_MAX];
	size_t n;
	uint32_t inode, private_data; /* in file */
	uint32_t file; /* in socket; sk is the next word */
};

static bool offset_of(const struct shape *s, const char *path, uint32_t *ret)
{
	struct field field;
	if (!inferred_find(s->guest, path, strlen(path), &field))
		return false;
	*ret = field.offset;
	return true;
}

static void add_file(struct sockets *f, uint64_t file)
{
	const struct shape *s = f->s;
	uint64_t inode = shape_word(s, file + f->inode);
	if (f->n == SAMPLE_MAX || !shape_is_pointer(s, inode) ||
	    (shape_u32(s, inode) & MODE_TYPE) != MODE_SOCKET)
		return;
	for (size_t i = 0; i < f->n; i++)
		if (f->all[i].file == file)
			return;
	f->all[f->n++] = (struct one){ .file = file, .inode = inode };
}

/* Descriptors of all processes of the sample. */
static bool collect(struct sockets *f, const struct shape_sample *sample)
{
	const struct shape *s = f->s;
	uint32_t files_at, table_at;
	if (!offset_of(s, "task_struct.files", &files_at) ||
	    !offset_of(s, "files_struct.fdt", &table_at) ||
	    !offset_of(s, "file.f_inode", &f->inode))
		return false;
	for (size_t i = 0; i < sample->count; i++) {
		const struct shape_task *task = &sample->tasks[i];
		uint64_t files = task->mm ? shape_of(s, task, files_at) : 0;
		uint64_t table = files ? shape_word(s, files + table_at) : 0;
		uint64_t array = table ? shape_word(s, table + s->word) : 0;
		uint32_t n = table ? shape_u32(s, table) : 0;
		for (uint32_t fd = 0; array && fd < n && fd < SAMPLE_MAX; fd++) {
			uint64_t file = shape_word(s, array + fd * s->word);
			if (file && shape_is_pointer(s, file))
				add_file(f, file);
		}
	}
	return f->n >= 2;
}

/* --- file, socket ---------------------------------------------------------------------------
 */

/* The operations, behind sk and perhaps one word more, begin with the family. */
static bool socket_here(const struct sockets *f, struct one *one, uint32_t private_data,
			uint32_t file)
{
	const struct shape *s = f->s;
	uint64_t socket = shape_word(s, one->file + private_data);
	if (!shape_is_pointer(s, socket) || shape_word(s, socket + file) != one->file)
		return false;
	uint64_t sk = shape_word(s, socket + file + s->word);
	uint64_t ops = shape_word(s, socket + file + 2 * s->word);
	if (!shape_is_pointer(s, sk) || !shape_is_pointer(s, ops))
		return false;
	one->socket = socket;
	one->sk = sk;
	one->family = shape_u32(s, sk + SKC_FAMILY) & 0xffff;
	one->type = shape_u32(s, socket + 4) & 0xffff;
	return one->family && one->family < FAMILIES && shape_u32(s, ops) == one->family &&
	       one->type && one->type <= 10;
}

static bool all_sockets_here(struct sockets *f, uint32_t private_data, uint32_t file)
{
	for (size_t i = 0; i < f->n; i++)
		if (!socket_here(f, &f->all[i], private_data, file))
			return false;
	f->private_data = private_data;
	f->file = file;
	return true;
}

static bool find_socket(struct sockets *f)
{
	uint32_t word = f->s->word;
	for (uint32_t at = 0; at < FILE_BYTES; at += word)
		for (uint32_t file = 8; file < SOCKET_BYTES; file += word)
			if (all_sockets_here(f, at, file))
				return true;
	return false;
}

/* --- sock ----------------------------------------------------------------------------------
 */

typedef bool sock_rule(const struct sockets *f, const struct one *one, uint32_t at);

/* The one place up to SOCK_BYTES where a rule holds for all sockets; 0 if there is none, or
 * more than one. */
static uint32_t only_place(const struct sockets *f, sock_rule *rule, uint32_t step)
{
	uint32_t found = 0;
	for (uint32_t at = SKC_STATE + 6; at < SOCK_BYTES; at += step) {
		size_t good = 0;
		while (good < f->n && rule(f, &f->all[good], at))
			good++;
		if (good < f->n)
			continue;
		if (found)
			return 0;
		found = at;
	}
	return found;
}

static bool rule_back(const struct sockets *f, const struct one *one, uint32_t at)
{
	return shape_word(f->s, one->sk + at) == one->socket;
}

static bool rule_net(const struct sockets *f, const struct one *one, uint32_t at)
{
	return shape_word(f->s, one->sk + at) == f->net;
}

static uint32_t half_at(const struct shape *s, uint64_t gva)
{
	uint16_t half = 0;
	return shape_read(s, gva, &half, 2) ? half : 0;
}

static bool type_here(const struct sockets *f, const struct one *one, uint32_t at,
		      uint32_t protocol_at)
{
	uint32_t type = half_at(f->s, one->sk + at);
	uint32_t protocol = half_at(f->s, one->sk + protocol_at);
	bool is_ip = one->family == INET || one->family == INET6;
	if (type != one->type)
		return false;
	if (is_ip && type == STREAM)
		return protocol == TCP || protocol > 0xff || protocol == 132;
	if (is_ip && type == DATAGRAM)
		return protocol == UDP || protocol == 1 || protocol == 58 || protocol == 136;
	return one->family != UNIX || protocol <= 1;
}

/* Both are numbers of 16 bits, side by side; the protocol is the first of them since 7.0. */
static bool rule_type_first(const struct sockets *f, const struct one *one, uint32_t at)
{
	return type_here(f, one, at, at + 2);
}

static bool rule_type_second(const struct sockets *f, const struct one *one, uint32_t at)
{
	return type_here(f, one, at, at - 2);
}

static void add_sock(const struct sockets *f, uint32_t type, uint32_t protocol, uint32_t back)
{
	struct guest *guest = f->s->guest;
	uint32_t word = f->s->word, net = f->net ? only_place(f, rule_net, word) : 0;
	inferred_add(guest, "file.private_data", f->private_data, word);
	inferred_add(guest, "socket.sk", f->file + word, word);
	inferred_add(guest, "sock_common.skc_daddr", SKC_DADDR, 4);
	inferred_add(guest, "sock_common.skc_rcv_saddr", SKC_RCV_SADDR, 4);
	inferred_add(guest, "sock_common.skc_dport", SKC_DPORT, 2);
	inferred_add(guest, "sock_common.skc_num", SKC_NUM, 2);
	inferred_add(guest, "sock_common.skc_family", SKC_FAMILY, 2);
	inferred_add(guest, "sock_common.skc_state", SKC_STATE, 1);
	inferred_add(guest, "sock.sk_type", type, 2);
	inferred_add(guest, "sock.sk_protocol", protocol, 2);
	if (net) {
		/* Where the kernel has IPv6, its addresses are next. */
		inferred_add(guest, "sock_common.skc_net.net", net, word);
		inferred_add(guest, "sock_common.skc_v6_daddr", net + word, 16);
		inferred_add(guest, "sock_common.skc_v6_rcv_saddr", net + word + 16, 16);
	}
	if (back)
		inferred_add(guest, "sock.sk_socket", back, word);
}

/* A socket lies right before its inode. */
static void infer_inode(const struct sockets *f)
{
	uint64_t distance = f->all[0].inode - f->all[0].socket;
	for (size_t i = 0; i < f->n; i++)
		if (f->all[i].inode - f->all[i].socket != distance || distance > 1024)
			return;
	inferred_add(f->s->guest, "socket_alloc.socket", 0, (uint32_t)distance);
	inferred_add(f->s->guest, "socket_alloc.vfs_inode", distance, 512);
}

/* --- UNIX -----------------------------------------------------------------------------------
 */

/* unix_address { refcount, length, [hash,] { family:16, name } } */
static bool address_here(const struct shape *s, uint64_t address, uint32_t name)
{
	uint32_t length = shape_u32(s, address + 4);
	return shape_is_pointer(s, address) && length >= 2 && length <= NAME_MAX_BYTES &&
	       half_at(s, address + name) == UNIX;
}

static unsigned addresses_at(const struct sockets *f, uint32_t at, uint32_t name)
{
	unsigned n = 0;
	for (size_t i = 0; i < f->n; i++) {
		uint64_t address =
			f->all[i].family == UNIX ? shape_word(f->s, f->all[i].sk + at) : 0;
		if (address && !address_here(f->s, address, name))
			return 0;
		n += address != 0;
	}
	return n;
}

/* A peer is a socket of the family, or none. */
static unsigned peers_at(const struct sockets *f, uint32_t at)
{
	unsigned n = 0;
	for (size_t i = 0; i < f->n; i++) {
		uint64_t peer =
			f->all[i].family == UNIX ? shape_word(f->s, f->all[i].sk + at) : 0;
		if (peer && (peer % f->s->word || peer == f->all[i].sk ||
			     half_at(f->s, peer + SKC_FAMILY) != UNIX))
			return 0;
		n += peer != 0;
	}
	return n;
}

static void infer_unix(const struct sockets *f)
{
	struct guest *guest = f->s->guest;
	uint32_t word = f->s->word;
	for (uint32_t at = 256; at < UNIX_SOCK_BYTES; at += word)
		for (uint32_t name = 8; name <= 12; name += 4) {
			if (!addresses_at(f, at, name))
				continue;
			inferred_add(guest, "unix_sock.addr", at, word);
			inferred_add(guest, "unix_address.len", 4, 4);
			inferred_add(guest, "unix_address.name", name, NAME_MAX_BYTES);
			for (uint32_t peer = at + word; peer < at + 256; peer += word)
				if (peers_at(f, peer)) {
					inferred_add(guest, "unix_sock.peer", peer, word);
					break;
				}
			return;
		}
}

static void infer(struct sockets *f)
{
	const struct shape *s = f->s;
	uint32_t proxy_at, net_at;
	if (!find_socket(f))
		return;
	if (offset_of(s, "task_struct.nsproxy", &proxy_at) &&
	    offset_of(s, "nsproxy.net_ns", &net_at))
		f->net = shape_word(s, shape_word(s, s->init + proxy_at) + net_at);
	uint32_t first = only_place(f, rule_type_first, 2);
	uint32_t second = only_place(f, rule_type_second, 2);
	uint32_t back = only_place(f, rule_back, s->word);
	if (!first == !second)
		return;
	add_sock(f, first ? first : second, first ? first + 2 : second - 2, back);
	if (back)
		infer_inode(f);
	infer_unix(f);
}

void shape_infer_sockets(const struct shape *s, const struct shape_sample *sample)
{
	struct sockets *f = calloc(1, sizeof(*f));
	if (!f)
		return;
	f->s = s;
	if (collect(f, sample))
		infer(f);
	free(f);
}
