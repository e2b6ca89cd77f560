/* Control groups. Thread: that of the guest. */
#ifndef GUEST_CGROUP_H
#define GUEST_CGROUP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
struct error;
struct guest;

enum { GUEST_CGROUP_PATH_BYTES = 1024 };

struct guest_cgroup {
	uint64_t gva;
	char path[GUEST_CGROUP_PATH_BYTES];
	char hierarchy[64]; /* "v2", or the name of a v1 hierarchy */
	unsigned depth;
	uint64_t id;
	const int32_t *pids; /* processes directly in it */
	size_t n_pids;
};

/* Path of a task's group in the unified hierarchy; in that of version 1 where it lies deepest
 * when the unified one says nothing. False when the kernel has no control groups. */
bool guest_task_cgroup(struct guest *guest, uint64_t task_gva, char *path, size_t size);

typedef bool guest_cgroup_fn(void *user, const struct guest_cgroup *cgroup);
/* Parents before children. Fails: ERR_NOT_FOUND, ERR_MEMORY. */
struct error *guest_cgroups_each(struct guest *guest, guest_cgroup_fn *visit, void *user);
#endif
