/* Notes a call in the audit log. Thread: any. */
#ifndef BOX_CALL_AUDIT_H
#define BOX_CALL_AUDIT_H
#include "box/call.h"
struct error;

/* user: who asked over the network, or NULL. vm: name, PID or dump, or NULL. err is borrowed.
 * Calls that neither look into a VM nor change anything are not logged. */
void call_audit(const struct call *call, const char *user, const char *vm, const json_t *args,
		const struct error *err);
#endif
