/* The server's memory of the past: a thread looks at every running VM once a second and records
 * what changed (box/facts_watch.h). The past of a VM lies with its other files and ends with
 * it; with a database elsewhere it stays, and VMs that others started are recorded too. Thread:
 * any, except create and destroy. */
#ifndef SERVER_RECORDER_H
#define SERVER_RECORDER_H
#include <stdint.h>
struct box;
struct error;
struct recorder;

struct recorder_params {
	struct box *box; /* borrowed; must outlive the recorder */
	const char *where; /* postgresql:// URL or SQLite file of all VMs; NULL: each its own */
	uint64_t interval_ms; /* 0: 1000 */
	uint64_t keep_ns, max_bytes; /* bounds, see facts.h; 0: the defaults */
};

/* Starts to record. Caller owns *ret. */
struct error *recorder_create(const struct recorder_params *params, struct recorder **ret);
void recorder_destroy(struct recorder *recorder); /* NULL is fine */

struct recorder_counts {
	uint64_t looks, changes, failures; /* a failure: a VM whose past could not be written */
	uint64_t cpu_ns; /* the thread's own */
	uint64_t vms; /* recorded now */
};
struct recorder_counts recorder_counts(struct recorder *recorder); /* NULL gives zeros */
#endif
