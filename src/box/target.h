/* What a call works on: a running VM, or a dump file. Opens physical memory at once and finds
 * the kernel in it only when first asked. Thread: one at a time. */
#ifndef BOX_TARGET_H
#define BOX_TARGET_H
#include <stdbool.h>
struct error;
struct guest;
struct phys_mem;
struct target;
struct vm;

struct target_params {
	const char *vm; /* name or PID of a VM, or NULL */
	const char *file; /* dump file, or NULL; exactly one of vm and file */
	const char *symbols; /* ISF, vmlinux, System.map or BTF file to use, or NULL */
	bool no_cache; /* do the whole discovery again */
};

/* Caller owns *ret. Fails: ERR_NOT_FOUND, ERR_SYSTEM, ERR_BAD_DATA. */
struct error *target_open(const struct target_params *params, struct target **ret);
void target_destroy(struct target *target);

/* False once the VM behind it has ended: open it anew. Always true for a dump. */
bool target_alive(struct target *target);

/* The same as an error that says what happened, for the end of a call that read memory. */
struct error *target_check_alive(struct target *target);

const char *target_name(const struct target *target);
struct phys_mem *target_memory(struct target *target); /* borrowed */
struct vm *target_vm(struct target *target); /* borrowed; NULL for a dump */

/* The kernel in this memory; borrowed. Discovery happens at the first call. */
struct error *target_guest(struct target *target, struct guest **ret);
struct guest *target_guest_open(struct target *target); /* the same if it happened, else NULL */
#endif
