/* A running VM seen from outside: its memory, its state, its monitor. Opened by the name that
 * `glassbox run` gave it or by the PID of any QEMU. Reading never changes the VM. Thread: one
 * at a time; the memory as struct phys_mem. */
#ifndef VM_VM_H
#define VM_VM_H
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/own.h"
struct error;
struct phys_mem;
struct qmp;
struct vm;

/* Caller owns *ret. Fails: ERR_NOT_FOUND (no such VM), ERR_SYSTEM (no permission), ERR_PEER. */
struct error *vm_open(const char *name_or_pid, struct vm **ret);
void vm_close(struct vm *vm);
OWN_DECLARE(own_vm, struct vm *, vm_close)

const char *vm_name(const struct vm *vm);
pid_t vm_pid(const struct vm *vm);
uint64_t vm_start_time(const struct vm *vm); /* of the process: see vm/proc.h */
struct phys_mem *vm_memory(struct vm *vm); /* borrowed */
bool vm_alive(const struct vm *vm); /* the very process we opened, not a reused PID */
bool vm_is_ours(const struct vm *vm); /* started by glassbox */

/* ERR_PEER when the VM ended or its RAM file was cut since it was opened; for the end of a
 * call that read its memory. */
struct error *vm_check_alive(struct vm *vm);

/* "shared file", "memfd", "process" (a system call per read). */
const char *vm_access(const struct vm *vm);

/* What is known about it, as in vm.json; borrowed, read again by vm_refresh. */
const json_t *vm_document(const struct vm *vm);
struct error *vm_refresh(struct vm *vm);

/* Connects to its monitor. Caller owns *ret (qmp_close) and should not keep it: QEMU serves one
 * connection at a time. ERR_UNSUPPORTED for a foreign QEMU without a known monitor. */
struct error *vm_qmp(struct vm *vm, struct qmp **ret);

/* Controls. vm_stop asks the guest to power off, and after grace_ms ends QEMU; it returns when
 * nothing is left of the VM. */
struct error *vm_pause(struct vm *vm);
struct error *vm_resume(struct vm *vm);
struct error *vm_reset(struct vm *vm);
struct error *vm_stop(struct vm *vm, int grace_ms, const char **how_ret);

/* vm_resume over a monitor that is held, without waiting for the new state. */
struct error *vm_continue(struct vm *vm, struct qmp *qmp);

/* Opens the VM's screen for one more viewer: *fd_ret is a connected stream that speaks RFB
 * (VNC) without a password. Caller owns it. ERR_UNSUPPORTED for a VM without a screen. */
struct error *vm_screen(struct vm *vm, int *fd_ret);

/* All VMs: an array of objects with name, pid, state, mem_bytes, cpus, accel, ours. Includes
 * QEMUs started by others. Caller owns *ret. */
struct error *vm_list(json_t **ret);
#endif
