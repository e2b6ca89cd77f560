/* Offload and migration exclude each other: the one way offload is switched. (The benches
 * switch guests of their own without it.) Thread: the target's. */
#ifndef BOX_OFFLOAD_GUARD_H
#define BOX_OFFLOAD_GUARD_H
#include <stdbool.h>
struct error;
struct offload_wish;
struct trace_source;
struct vm;

/* offload_switch (offload/slots.h). From before it is on until after it is off, QEMU refuses to
 * migrate the VM; *can_migrate_ret: it does not, since this QEMU cannot refuse. On fails with
 * ERR_PEER while the VM is being migrated. If QEMU's monitor does not answer, on fails,
 * and off fails after offload is off. */
struct error *offload_guarded(struct vm *vm, struct trace_source *source,
			      const struct offload_wish *wish, bool *can_migrate_ret);
#endif
