/* The set of VMs in use by a long-running process: opens each target once, keeps the kernel
 * found in it, and lets many threads run calls. A VM that ended or was replaced is opened anew.
 * Thread: any; calls on one VM run one after the other, on different VMs at the same time. */
#ifndef BOX_BOX_H
#define BOX_BOX_H
#include <jansson.h>
struct box;
struct call;
struct call_context;
struct error;
struct target;

struct error *box_create(struct box **ret);
void box_destroy(struct box *box);

struct box_request {
	const struct call *call;
	const char *vm; /* name or PID; NULL for a call without CALL_TARGET */
	json_t *args; /* borrowed; checked here against the call's parameters */
	const char *user; /* who asks, for the audit log */
};

/* Runs one call. Caller owns *ret. Fails with what the call fails with, and ERR_USAGE. */
struct error *box_call(struct box *box, const struct box_request *request, json_t **ret);

/* Borrows the VM's target under its lock for work that is not a call (streams). Runs use(user,
 * target). */
struct error *box_with_target(struct box *box, const char *vm,
			      struct error *(*use)(void *user, struct target *target),
			      void *user);
#endif
