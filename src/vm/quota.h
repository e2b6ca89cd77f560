/* How much of the host a VM may use: memory, processor time, processes. By a control group
 * where one can be made (version 2, or the older hierarchies), else by resource limits of the
 * process. Thread: one. */
#ifndef VM_QUOTA_H
#define VM_QUOTA_H
#include <stdint.h>

#include "vm/spec.h"

enum quota_kind { QUOTA_NONE, QUOTA_PROCESS, QUOTA_CGROUP1, QUOTA_CGROUP2 };

struct quota {
	enum quota_kind kind;
	uint64_t memory_bytes;
	unsigned cpu_percent; /* 0: none */
	char *groups[3]; /* folders of ours: one for version 2; memory, cpu, pids for version 1
			  */
};

/* Makes the control groups. Never fails: what cannot be had is left out and named. */
void quota_prepare(const struct vm_spec *spec, struct quota *ret);
void quota_deinit(struct quota *limits); /* forgets; quota_leave removes */

const char *quota_name(const struct quota *limits); /* "cgroup v2", "cgroup v1", ... */

/* In QEMU's process before it gives up its rights. */
void quota_enter(const struct quota *limits);

/* Removes the control groups once they are empty. */
void quota_leave(const struct quota *limits);
#endif
