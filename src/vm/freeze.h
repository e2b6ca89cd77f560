/* Holds all threads of a process still for a moment, without its help: ptrace, from a thread of
 * our own. Whatever happens to us meanwhile, the kernel lets the process go on. Thread: any. */
#ifndef VM_FREEZE_H
#define VM_FREEZE_H
#include <stdint.h>
#include <sys/types.h>
struct error;

struct freeze_times {
	uint64_t hold_ns; /* until every thread stood still */
	uint64_t held_ns; /* while they did */
	uint64_t release_ns;
};

/* Calls while_held(user), on another thread, while no thread of that process runs, and returns
 * its error. ERR_UNSUPPORTED, and while_held was not called: it is forbidden, somebody else
 * traces the process, or one of its threads does not stop within a second. ERR_PEER: it ended.
 * ret may be NULL. */
struct error *freeze_run(pid_t pid, uint64_t start_time,
			 struct error *(*while_held)(void *user), void *user,
			 struct freeze_times *ret);
#endif
