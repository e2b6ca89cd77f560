/* Memory areas of a process. Thread: that of the guest. */
#ifndef GUEST_VMA_H
#define GUEST_VMA_H
#include <stdbool.h>
#include <stdint.h>

#include "guest/path.h"
struct guest;
struct guest_task;

struct guest_vma {
	uint64_t start, end, offset;
	uint64_t gva; /* of the vm_area_struct */
	uint64_t file; /* struct file, or 0 */
	char perms[5]; /* "r-xp" */
	const char *kind; /* "file", "heap", "stack", "vdso", "vvar", "vsyscall", "shared",
			     "anonymous" */
	char path[GUEST_PATH_BYTES]; /* as in /proc/PID/maps; "" when there is none */
};

/* Shows every area of the process in ascending order; false from visit ends the walk. */
typedef bool guest_vma_fn(void *user, const struct guest_vma *vma);
void guest_vmas_each(struct guest *guest, const struct guest_task *task, guest_vma_fn *visit,
		     void *user);
#endif
