/* Where protocols keep their sockets:
 *
 *   TCP       inet_hashinfo: ehash for connections, those in TIME_WAIT and half-open ones too;
 *             listening_hash until 5.17, lhash2 since (cae3873c5b3a) for listeners
 *   UDP       udp_table.hash, udplite_table.hash
 *   raw, ping raw_hashinfo.ht of both families, ping_table.hash
 *   UNIX      unix_socket_table until 5.19, net.unx.table since (cf2f225e2653)
 *   packet    net.packet.sklist
 *   netlink   nl_table[protocol].hash, an rhashtable
 *
 * TCP's and UDP's table may belong to a network namespace instead of all of them.
 */
#include "guest/socket_table.h"

#include <string.h>

#include "guest/internal.h"

enum {
	BUCKETS_MAX = 1 << 20,
	UNIX_BUCKETS = 512, /* UNIX_HASH_SIZE; 2 * 256 before */
	NETLINK_PROTOCOLS = 32, /* MAX_LINKS */
	NAMESPACES_MAX = 4096,
	PIECE_BYTES = 4096,
};

struct sock_walk {
	struct guest *guest;
	guest_sock_fn *visit;
	void *user;
	struct field node; /* sock_common.skc_node, also the node of nulls lists */
	bool ended;
};

static void chain(struct sock_walk *w, uint64_t head, struct field link, const char *what)
{
	struct guest_list list;
	uint64_t sk;
	guest_hlist_begin(&list, w->guest, head, link, what);
	while (!w->ended && guest_list_next(&list, &sk))
		w->ended = !w->visit(w->user, sk);
}

/* An array of n heads, each step bytes from the next; most are empty, so they are read in
 * pieces. */
static void heads(struct sock_walk *w, uint64_t array, uint64_t n, uint64_t step, uint64_t at,
		  struct field link, const char *what)
{
	uint8_t piece[PIECE_BYTES];
	if (!array || !step || step > PIECE_BYTES || at + w->guest->word_bytes > step)
		return;
	n = n < BUCKETS_MAX ? n : BUCKETS_MAX;
	uint64_t per_piece = PIECE_BYTES / step;
	for (uint64_t i = 0; i < n && !w->ended && guest_step(w->guest); i += per_piece) {
		uint64_t part = n - i < per_piece ? n - i : per_piece;
		if (!guest_read(w->guest, array + i * step, piece, (size_t)(part * step)))
			return;
		for (uint64_t k = 0; k < part && !w->ended; k++) {
			uint64_t first = 0;
			memcpy(&first, piece + k * step + at, w->guest->word_bytes);
			if (first && !(first & 1))
				chain(w, array + (i + k) * step + at, link, what);
		}
	}
}

static void tcp_table(struct sock_walk *w, uint64_t table)
{
	struct guest *guest = w->guest;
	struct field listening = guest_field(guest, "inet_hashinfo.listening_hash");
	struct field head = guest_field(guest, "inet_listen_hashbucket.nulls_head");
	uint64_t bucket = guest_sizeof(guest, "struct inet_listen_hashbucket");
	uint64_t ehash =
		guest_load(guest, table, guest_need_field(guest, "inet_hashinfo.ehash"));
	uint64_t mask =
		guest_load(guest, table, guest_need_field(guest, "inet_hashinfo.ehash_mask"));
	heads(w, ehash, mask + 1, guest_sizeof(guest, "struct inet_ehash_bucket"), 0, w->node,
	      "TCP connections");
	if (listening.found && bucket) {
		heads(w, table + listening.offset, listening.size_bytes / bucket, bucket,
		      head.offset, w->node, "TCP listeners");
		return;
	}
	uint64_t lhash = guest_load(guest, table, guest_field(guest, "inet_hashinfo.lhash2"));
	mask = guest_load(guest, table, guest_field(guest, "inet_hashinfo.lhash2_mask"));
	heads(w, lhash, mask + 1, bucket, head.offset, w->node, "TCP listeners");
}

static void udp_table(struct sock_walk *w, uint64_t table)
{
	struct guest *guest = w->guest;
	uint64_t hash = guest_load(guest, table, guest_need_field(guest, "udp_table.hash"));
	uint64_t mask = guest_load(guest, table, guest_need_field(guest, "udp_table.mask"));
	heads(w, hash, mask + 1, guest_sizeof(guest, "struct udp_hslot"),
	      guest_field(guest, "udp_hslot.head").offset, w->node, "UDP sockets");
}

static void array_in(struct sock_walk *w, uint64_t table, const char *member, const char *what)
{
	struct field array = guest_field(w->guest, member);
	unsigned word = w->guest->word_bytes;
	if (array.found)
		heads(w, table + array.offset, array.size_bytes / word, word, 0, w->node, what);
}

/* --- netlink: an rhashtable, whose heads use bit 0 as a lock ---------------------------------
 */

static void rhashtable(struct sock_walk *w, uint64_t table)
{
	struct guest *guest = w->guest;
	struct field buckets = guest_need_field(guest, "bucket_table.buckets");
	struct field link = guest_need_field(guest, "netlink_sock.node");
	uint64_t n = guest_load(guest, table, guest_field(guest, "bucket_table.size"));
	if (guest_load(guest, table, guest_field(guest, "bucket_table.nest"))) {
		guest_add_note(guest, "a table of netlink sockets is nested: not read");
		return;
	}
	for (uint64_t i = 0; i < n && i < BUCKETS_MAX && !w->ended && guest_step(guest); i++) {
		uint64_t head = table + buckets.offset + i * guest->word_bytes;
		uint64_t first = guest_read_word(guest, head) & ~1ull;
		if (!guest_is_kernel_pointer(guest, first))
			continue;
		w->ended = !w->visit(w->user, first - link.offset);
		/* A chain element begins with the pointer to the next. */
		if (!w->ended)
			chain(w, first, link, "netlink sockets");
	}
}

static void netlink_tables(struct sock_walk *w)
{
	struct guest *guest = w->guest;
	struct field current = guest_field(guest, "rhashtable.tbl");
	struct field future = guest_field(guest, "bucket_table.future_tbl");
	struct field hash = guest_field(guest, "netlink_table.hash");
	uint64_t step = guest_sizeof(guest, "struct netlink_table"), symbol;
	if (!guest_symbol(guest, "nl_table", &symbol) || !hash.found || !step)
		return;
	uint64_t tables = guest_read_word(guest, symbol);
	for (unsigned i = 0; tables && i < NETLINK_PROTOCOLS && !w->ended; i++) {
		uint64_t table = guest_load(guest, tables + i * step + hash.offset, current);
		if (!table)
			continue;
		rhashtable(w, table);
		uint64_t next = guest_load(guest, table, future);
		if (next && next != table && !w->ended)
			rhashtable(w, next);
	}
}

/* --- per network namespace -------------------------------------------------------------------
 */

struct shared_tables {
	uint64_t tcp, udp; /* shown already */
};

static void namespace_tables(struct sock_walk *w, uint64_t net,
			     const struct shared_tables *shared)
{
	struct guest *guest = w->guest;
	uint64_t tcp =
		guest_load(guest, net, guest_field(guest, "net.ipv4.tcp_death_row.hashinfo"));
	uint64_t udp = guest_load(guest, net, guest_field(guest, "net.ipv4.udp_table"));
	struct field packets = guest_field(guest, "net.packet.sklist");
	uint64_t unix_table =
		guest_load(guest, net, guest_field(guest, "net.unx.table.buckets"));
	if (tcp && tcp != shared->tcp)
		tcp_table(w, tcp);
	if (udp && udp != shared->udp)
		udp_table(w, udp);
	if (packets.found && !w->ended)
		chain(w, net + packets.offset, w->node, "packet sockets");
	heads(w, unix_table, UNIX_BUCKETS, guest->word_bytes, 0, w->node, "UNIX sockets");
}

static void all_namespaces(struct sock_walk *w, const struct shared_tables *shared)
{
	struct guest *guest = w->guest;
	struct field link = guest_need_field(guest, "net.list");
	struct guest_list list;
	uint64_t head, net;
	if (!link.found || !guest_symbol(guest, "net_namespace_list", &head))
		return;
	guest_list_begin(&list, guest, head, link, "network namespaces");
	for (unsigned n = 0; n < NAMESPACES_MAX && !w->ended && guest_list_next(&list, &net);
	     n++)
		namespace_tables(w, net, shared);
}

/* Each of these is there in every kernel with networks; not to know it is to miss sockets. */
static void note_missing(struct guest *guest, const struct shared_tables *shared)
{
	uint64_t gva;
	if (!guest_symbol(guest, "nl_table", &gva) ||
	    (!shared->tcp && !guest_field(guest, "net.ipv4.tcp_death_row.hashinfo").found) ||
	    (!shared->udp && !guest_field(guest, "net.ipv4.udp_table").found))
		guest_add_note(guest,
			       "tables of sockets are not known: sockets that no process "
			       "holds are missing");
}

void guest_socks_each(struct guest *guest, guest_sock_fn *visit, void *user)
{
	struct sock_walk w = { .guest = guest, .visit = visit, .user = user };
	struct shared_tables shared = { 0 };
	uint64_t gva;
	w.node = guest_field(guest, "sock_common.skc_node");
	if (!w.node.found) {
		guest_add_note(guest,
			       "sockets that no process holds are not listed: where this "
			       "kernel keeps them is not known");
		return;
	}
	if (guest_symbol(guest, "tcp_hashinfo", &shared.tcp))
		tcp_table(&w, shared.tcp);
	if (guest_symbol(guest, "udp_table", &shared.udp))
		udp_table(&w, shared.udp);
	note_missing(guest, &shared);
	if (guest_symbol(guest, "udplite_table", &gva))
		udp_table(&w, gva);
	if (guest_symbol(guest, "raw_v4_hashinfo", &gva))
		array_in(&w, gva, "raw_hashinfo.ht", "raw sockets");
	if (guest_symbol(guest, "raw_v6_hashinfo", &gva))
		array_in(&w, gva, "raw_hashinfo.ht", "raw sockets");
	if (guest_symbol(guest, "ping_table", &gva))
		array_in(&w, gva, "ping_table.hash", "ping sockets");
	if (guest_symbol(guest, "unix_socket_table", &gva))
		heads(&w, gva, UNIX_BUCKETS, guest->word_bytes, 0, w.node, "UNIX sockets");
	netlink_tables(&w);
	all_namespaces(&w, &shared);
}
