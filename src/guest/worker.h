/* Full names of kernel threads, as /proc composes them. Thread: that of the guest. */
#ifndef GUEST_WORKER_H
#define GUEST_WORKER_H
#include <stddef.h>
#include <stdint.h>
struct guest;

/* Replaces comm in name by the longer form, when the kernel thread at task has one. */
void guest_worker_name(struct guest *guest, uint64_t task, uint32_t flags, char *name,
		       size_t size);
#endif
