/* The audit log: who asked what of which VM. One JSON line per call, appended and never
 * rewritten, rotated by size: NAME/audit.log with the VM's files, and audit.log in the state
 * root, which outlives the VM. Thread: any; several processes at once. */
#ifndef VM_AUDIT_H
#define VM_AUDIT_H
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
struct error;

struct audit_entry {
	const char *user; /* who asked over the network, or NULL: the user of this process */
	const char *vm; /* name, PID or dump; or NULL */
	bool is_ours; /* the VM has a folder of its own */
	const char *call;
	const json_t *args; /* borrowed; long ones are cut */
	const char *outcome; /* "ok" or the error's text */
};

/* Never fails: a log that cannot be written is reported once on stderr. */
void audit_write(const struct audit_entry *entry);

/* The last entries of a VM's log, oldest first: objects as the log has them. Lines that are not
 * whole are left out. Caller owns *ret. */
struct error *audit_read(const char *vm, uint64_t most, json_t **ret);
#endif
