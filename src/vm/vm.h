/* A running VM seen from outside: its memory, its state, its monitor. Opened by the name that
 * `glassbox run` gave it or by the PID of any QEMU. Reading never changes the VM. Thread: one
 * at a time; the memory as struct phys_mem. */
#ifndef VM_VM_H
#define VM_VM_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/own.h"
struct error;
struct phys_mem;
struct vm;

/* Caller owns *ret. Fails: ERR_NOT_FOUND (no such VM), ERR_SYSTEM (no permission), ERR_PEER. */
struct error *vm_open(const char *name_or_pid, struct vm **ret);
void vm_close(struct vm *vm);
OWN_DECLARE(own_vm, struct vm *, vm_close)

const char *vm_name(const struct vm *vm);
pid_t vm_pid(const struct vm *vm);
struct phys_mem *vm_memory(struct vm *vm); /* borrowed */
bool vm_alive(const struct vm *vm); /* the very process we opened, not a reused PID */
#endif
