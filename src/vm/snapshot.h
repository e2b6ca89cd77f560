/* A consistent copy of a running VM's memory with a short pause: most of it is copied while the
 * guest runs, then the guest is stopped only for what it wrote meanwhile. Taking the next one
 * from the same copier copies only what changed. Thread: one. */
#ifndef VM_SNAPSHOT_H
#define VM_SNAPSHOT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/own.h"
#include "base/vec.h"
#include "vm/dirty.h"
#include "vm/pause.h"
struct error;
struct phys_mem;
struct qmp;
struct vm;
struct snapshot;

/* Borrows vm. Where the guest can be stopped neither by its threads nor by a monitor, the copy
 * is not consistent: snapshot_stats says so. Caller owns *ret. */
struct error *snapshot_create(struct vm *vm, struct snapshot **ret);
void snapshot_destroy(struct snapshot *snapshot);
OWN_DECLARE(own_snapshot, struct snapshot *, snapshot_destroy)

struct snapshot_stats {
	uint64_t pause_ns; /* all of the next three */
	struct pause_times pause;
	uint64_t total_ns;
	size_t pages_live; /* copied while the guest ran, repetitions included */
	size_t pages_paused; /* copied while it was stopped */
	unsigned rounds; /* of copying while it ran */
	bool is_consistent;
};

struct snapshot_params {
	/* QEMU itself has to stop the guest, because while_paused asks it for something. */
	bool needs_monitor;
	/* Called while the guest stands still, after the copy; NULL: nothing. qmp is NULL
	 * unless the monitor was needed, or the only way. An error ends the snapshot, after the
	 * guest was let go. */
	struct error *(*while_paused)(void *user, struct qmp *qmp);
	void *user;
	const struct dirty_pages **changed_ret; /* pages copied while paused; or NULL */
};

/* Takes or renews the copy. */
struct error *snapshot_take(struct snapshot *snapshot, const struct snapshot_params *params,
			    struct snapshot_stats *ret);

/* The copy; borrowed, and changed only by snapshot_take. */
struct phys_mem *snapshot_memory(struct snapshot *snapshot);

/* Pages in which two memories differ: ascending runs. A page that only one of them has differs
 * unless it is all zeros. */
struct error *snapshot_diff(struct phys_mem *a, struct phys_mem *b, struct dirty_pages *ret);
#endif
