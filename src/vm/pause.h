/* Lets something be done while a guest stands still, by the shortest way there is. Thread: that
 * of the VM. */
#ifndef VM_PAUSE_H
#define VM_PAUSE_H
#include <stdbool.h>
#include <stdint.h>
struct error;
struct qmp;
struct vm;

enum pause_kind {
	PAUSE_NONE,
	PAUSE_THREADS, /* QEMU's threads are held: its memory stands still, its devices do not
			  know */
	PAUSE_MONITOR, /* QEMU itself stops the machine: its device state can be asked for */
};

/* "none", "threads held", "monitor". */
const char *pause_kind_name(enum pause_kind kind);

struct pause_params {
	bool needs_monitor; /* only PAUSE_MONITOR will do */
	/* With PAUSE_THREADS on another thread, and qmp is NULL. An error ends the pause. */
	struct error *(*while_paused)(void *user, struct qmp *qmp);
	void *user;
};

struct pause_times {
	enum pause_kind kind;
	/* Upper bounds, taken outside: of stopping it, what was done, letting it go. Zero when
	 * the guest was paused already. */
	uint64_t stop_ns, held_ns, go_ns;
};

/* ERR_UNSUPPORTED, and while_paused was not called: there is no way to stop this guest. */
struct error *pause_run(struct vm *vm, const struct pause_params *params,
			struct pause_times *ret);
#endif
