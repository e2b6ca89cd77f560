#include "guest/fingerprint.h"

#include <xxhash.h>

#include "guest/internal.h"
#include "guest/socket_table.h"

enum { DESCRIPTORS_MAX = 1 << 20, PIECE_BYTES = 2048 };

struct printer {
	struct guest *guest;
	struct guest_fingerprints prints;
	struct field pid, parent, cred, mm, comm, exit_state, files, nsproxy;
	struct field table, count, array; /* files_struct, fdtable */
	struct field mounts, event, n_mounts; /* nsproxy, mnt_namespace */
	struct field common; /* sock_common: from its addresses to its state */
	uint64_t last_ns;
};

static void add(struct printer *p, enum guest_fingerprint which, const void *bytes, size_t n)
{
	p->prints.print[which] = XXH3_64bits_withSeed(bytes, n, p->prints.print[which]);
}

static void add_files(struct printer *p, uint64_t task)
{
	struct guest *guest = p->guest;
	uint64_t files = guest_load(guest, task, p->files);
	uint64_t table = files ? guest_load(guest, files, p->table) : 0;
	uint64_t array = table ? guest_load(guest, table, p->array) : 0;
	uint64_t bytes = table ? guest_load(guest, table, p->count) * guest->word_bytes : 0;
	uint8_t piece[PIECE_BYTES];
	bytes = bytes < DESCRIPTORS_MAX ? bytes : DESCRIPTORS_MAX;
	for (uint64_t at = 0; array && at < bytes && guest_step(guest); at += PIECE_BYTES) {
		size_t part = bytes - at < PIECE_BYTES ? (size_t)(bytes - at) : PIECE_BYTES;
		if (!guest_read(guest, array + at, piece, part))
			return;
		add(p, GUEST_PRINT_FILES, piece, part);
	}
}

/* Namespaces count their events; most processes share one. */
static void add_mounts(struct printer *p, uint64_t task)
{
	struct guest *guest = p->guest;
	uint64_t proxy = guest_load(guest, task, p->nsproxy);
	uint64_t ns = proxy ? guest_load(guest, proxy, p->mounts) : 0;
	if (!ns || ns == p->last_ns)
		return;
	p->last_ns = ns;
	uint64_t words[] = { ns, guest_load(guest, ns, p->event),
			     guest_load(guest, ns, p->n_mounts) };
	add(p, GUEST_PRINT_MOUNTS, words, sizeof(words));
}

static void add_task(struct printer *p, uint64_t task)
{
	struct guest *guest = p->guest;
	char comm[16] = "";
	guest_read(guest, task + p->comm.offset, comm, sizeof(comm));
	uint64_t words[] = { task,
			     guest_load(guest, task, p->pid),
			     guest_load(guest, task, p->parent),
			     guest_load(guest, task, p->cred),
			     guest_load(guest, task, p->mm),
			     guest_load(guest, task, p->exit_state) };
	add(p, GUEST_PRINT_PROCESSES, words, sizeof(words));
	add(p, GUEST_PRINT_PROCESSES, comm, sizeof(comm));
	add_files(p, task);
	add_mounts(p, task);
}

static bool add_tasks(struct printer *p)
{
	struct field link = guest_field(p->guest, "task_struct.tasks");
	struct guest_list list;
	uint64_t init_task, task;
	if (!link.found || !guest_symbol(p->guest, "init_task", &init_task))
		return false;
	guest_list_begin(&list, p->guest, init_task + link.offset, link, "processes");
	while (guest_list_next(&list, &task))
		add_task(p, task);
	return list.ended_well;
}

static bool add_modules(struct printer *p)
{
	struct field link = guest_field(p->guest, "module.list");
	struct field state = guest_field(p->guest, "module.state");
	struct guest_list list;
	uint64_t head, module;
	if (!link.found || !guest_symbol(p->guest, "modules", &head))
		return true; /* a kernel without modules */
	guest_list_begin(&list, p->guest, head, link, "modules");
	while (guest_list_next(&list, &module)) {
		uint64_t words[] = { module, guest_load(p->guest, module, state) };
		add(p, GUEST_PRINT_MODULES, words, sizeof(words));
	}
	return list.ended_well;
}

/* Addresses, ports, family and state are the first words of every sock. */
static bool add_sock(void *user, uint64_t sk)
{
	struct printer *p = user;
	uint8_t bytes[64];
	size_t n = p->common.offset + 1;
	if (n <= sizeof(bytes) && guest_read(p->guest, sk, bytes, n))
		add(p, GUEST_PRINT_SOCKETS, bytes, n);
	add(p, GUEST_PRINT_SOCKETS, &sk, sizeof(sk));
	return true;
}

bool guest_fingerprints_read(struct guest *guest, struct guest_fingerprints *ret)
{
	struct printer p = {
		.guest = guest,
		.pid = guest_field(guest, "task_struct.pid"),
		.parent = guest_field(guest, "task_struct.real_parent"),
		.cred = guest_field(guest, "task_struct.real_cred"),
		.mm = guest_field(guest, "task_struct.mm"),
		.comm = guest_field(guest, "task_struct.comm"),
		.exit_state = guest_field(guest, "task_struct.exit_state"),
		.files = guest_field(guest, "task_struct.files"),
		.nsproxy = guest_field(guest, "task_struct.nsproxy"),
		.table = guest_field(guest, "files_struct.fdt"),
		.count = guest_field(guest, "fdtable.max_fds"),
		.array = guest_field(guest, "fdtable.fd"),
		.mounts = guest_field(guest, "nsproxy.mnt_ns"),
		.event = guest_field(guest, "mnt_namespace.event"),
		/* A count until 6.7, then the name of the tree. */
		.n_mounts = guest_field(guest, "mnt_namespace.nr_mounts|mnt_namespace.mounts"),
		.common = guest_field(guest, "sock_common.skc_state"),
	};
	unsigned faults = guest->faults;
	if (!p.event.found || !p.array.found || !p.comm.found || !p.common.found ||
	    !add_tasks(&p) || !add_modules(&p))
		return false;
	guest_socks_each(guest, add_sock, &p);
	/* Who holds a socket is told by the descriptors. */
	add(&p, GUEST_PRINT_SOCKETS, &p.prints.print[GUEST_PRINT_FILES], sizeof(uint64_t));
	*ret = p.prints;
	return guest->faults == faults && !guest->out_of_budget;
}
