/* Kernel stacks of sleeping tasks. Thread: that of the guest. */
#ifndef GUEST_STACK_H
#define GUEST_STACK_H
#include <stdbool.h>
#include <stdint.h>
struct error;
struct guest;
struct guest_task;

struct guest_frame {
	uint64_t address;
	const char *how; /* "orc", "frame pointer", or "guess": may be a stale value */
};

typedef bool guest_frame_fn(void *user, const struct guest_frame *frame);
/* Innermost frame first. Fails: ERR_UNSUPPORTED for a task that is running on a CPU,
 * ERR_BAD_DATA. */
struct error *guest_stack_each(struct guest *guest, const struct guest_task *task,
			       guest_frame_fn *visit, void *user);
#endif
