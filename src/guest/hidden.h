/* Tasks that some structures of the kernel know and its task list does not: what a rootkit
 * hides. Thread: that of the guest. */
#ifndef GUEST_HIDDEN_H
#define GUEST_HIDDEN_H
#include "guest/task.h"

enum guest_view {
	GUEST_VIEW_PID_MAP = 1 << 0, /* the table of process ids */
	GUEST_VIEW_CPU = 1 << 1, /* a CPU runs it */
};

struct guest_hidden {
	struct guest_task task;
	unsigned views; /* enum guest_view: where it was found */
};

typedef bool guest_hidden_fn(void *user, const struct guest_hidden *hidden);
struct error *guest_hidden_each(struct guest *guest, guest_hidden_fn *visit, void *user);
#endif
