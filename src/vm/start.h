/* Starts VMs and waits for what their keepers report. Thread: any; a struct vm_start belongs to
 * one thread. */
#ifndef VM_START_H
#define VM_START_H
#include <stdbool.h>
#include <sys/types.h>

#include "base/own.h"
#include "vm/spec.h"
struct error;
struct vm_start; /* a VM that was just started and still hangs on its starter */

/* Starts QEMU and returns when the guest's CPU runs. Until vm_start_detach, the end of this
 * process ends the VM. spec->name may be NULL: the first free of vm1, vm2, ... Caller owns
 * *ret. Fails with QEMU's own words (ERR_PEER), ERR_NOT_FOUND, ERR_LIMIT, ERR_USAGE; nothing is
 * left behind then. */
struct error *vm_start(const struct vm_spec *spec, struct vm_start **ret);

/* Closes the connection; without vm_start_detach before it, that ends the VM. */
void vm_start_destroy(struct vm_start *start);
OWN_DECLARE(own_vm_start, struct vm_start *, vm_start_destroy)

/* Lets the VM live on its own. */
void vm_start_detach(struct vm_start *start);

const char *vm_start_name(const struct vm_start *start);
pid_t vm_start_pid(const struct vm_start *start);
const char *vm_start_accel(const struct vm_start *start); /* "tcg", "kvm" */
const char *vm_start_accel_why(const struct vm_start *start);
bool vm_start_is_restored(const struct vm_start *start); /* it did not boot */
int vm_start_fd(const struct vm_start *start); /* readable: vm_start_poll has news */

enum vm_news {
	VM_NEWS_NONE, /* nothing until the timeout */
	VM_NEWS_FIRST_LINE, /* the first userspace line appeared */
	VM_NEWS_READY, /* the guest's start-up is finished */
	VM_NEWS_PANICKED,
	VM_NEWS_ENDED, /* the VM is gone; vm_start_reason says why */
};

/* Next piece of news, waiting at most timeout_ms. */
enum vm_news vm_start_poll(struct vm_start *start, int timeout_ms);

/* Milliseconds from the start of QEMU to the first userspace line and to the end of start-up;
 * negative while unknown. */
double vm_start_boot_ms(const struct vm_start *start);
double vm_start_ready_ms(const struct vm_start *start);
const char *vm_start_reason(const struct vm_start *start); /* or NULL */
#endif
