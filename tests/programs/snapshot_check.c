/* snapshot_check VM threads|monitor ROUNDS [MS]: takes snapshots of a running VM and compares
 * each with all of its memory while the guest still stands. Prints one JSON object. Exit 0 only
 * if no page ever differed. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "vm/snapshot.h"
#include "vm/vm.h"

struct check {
	struct vm *vm;
	struct snapshot *snapshot;
	unsigned long long n_compared, n_wrong, n_paused;
	enum pause_kind kind;
};

static struct error *compare_all(void *user, struct qmp *qmp)
{
	struct check *check = user;
	struct dirty_pages pages = { 0 };
	struct error *err =
		snapshot_diff(snapshot_memory(check->snapshot), vm_memory(check->vm), &pages);
	check->n_wrong += pages.n_pages;
	check->n_compared++;
	dirty_pages_deinit(&pages);
	return err;
}

static struct error *run(struct check *check, bool needs_monitor, unsigned rounds, int ms)
{
	TRY(snapshot_create(check->vm, &check->snapshot));
	struct snapshot_params params = { .needs_monitor = needs_monitor,
					  .while_paused = compare_all,
					  .user = check };
	for (unsigned i = 0; i < rounds; i++) {
		struct snapshot_stats stats;
		TRY(snapshot_take(check->snapshot, &params, &stats));
		check->n_paused += stats.pages_paused;
		check->kind = stats.pause.kind;
		poll(NULL, 0, ms);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct check check = { 0 };
	if (argc < 4)
		return 2;
	struct error *err = vm_open(argv[1], &check.vm);
	if (!err)
		err = run(&check, !strcmp(argv[2], "monitor"), (unsigned)atoi(argv[3]),
			  argc > 4 ? atoi(argv[4]) : 20);
	if (err) {
		fprintf(stderr, "snapshot_check: %s\n", error_message(err));
		error_destroy(err);
		return 1;
	}
	printf("{\"by\": \"%s\", \"snapshots\": %llu, \"wrong\": %llu, \"pages_paused\": "
	       "%llu}\n",
	       pause_kind_name(check.kind), check.n_compared, check.n_wrong, check.n_paused);
	snapshot_destroy(check.snapshot);
	vm_close(check.vm);
	return check.n_wrong != 0;
}
