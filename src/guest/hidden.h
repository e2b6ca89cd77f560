/* What some structures of the kernel know and its lists do not: what a rootkit hides. Thread:
 * that of the guest. */
#ifndef GUEST_HIDDEN_H
#define GUEST_HIDDEN_H
#include "guest/module.h"
#include "guest/task.h"

/* Processes and threads that the task list does not have. */
enum guest_view {
	GUEST_VIEW_PID_MAP = 1 << 0, /* the table of process ids */
	GUEST_VIEW_CPU = 1 << 1, /* a CPU runs it */
	GUEST_VIEW_RUN_QUEUE = 1 << 2, /* it waits for a CPU */
	GUEST_VIEW_SLAB = 1 << 3, /* a living object in the cache of task_struct */
};

struct guest_hidden {
	struct guest_task task;
	unsigned views; /* enum guest_view: where it was found */
};

typedef bool guest_hidden_fn(void *user, const struct guest_hidden *hidden);
struct error *guest_hidden_each(struct guest *guest, guest_hidden_fn *visit, void *user);

/* Modules that the list of modules does not have. */
enum guest_module_view {
	GUEST_MODULE_VIEW_SYSFS = 1 << 0, /* the set behind /sys/module */
	GUEST_MODULE_VIEW_TREE = 1 << 1, /* the tree that finds a module by address */
	GUEST_MODULE_VIEW_MEMORY = 1 << 2, /* a struct module in the memory of modules */
};

typedef bool guest_hidden_module_fn(void *user, const struct guest_module *module,
				    unsigned views);
struct error *guest_hidden_modules_each(struct guest *guest, guest_hidden_module_fn *visit,
					void *user);
#endif
