/* Refusing live migration while something writes the guest's memory past QEMU. QEMU's dirty
 * bitmap does not see what a kernel stores (docs/hybrid.md): a guest that is copied while it
 * runs would arrive with old bytes. Thread: that of the VM. */
#ifndef VM_MIGRATION_H
#define VM_MIGRATION_H
#include <stdbool.h>
struct error;
struct qmp;
struct vm;

/* From here on QEMU refuses to migrate, with words that say what to do. Nothing happens if it
 * does so already. *refuses_ret: false when this QEMU lacks what it takes (a driver for qcow
 * images); it then migrates as before. ERR_PEER: QEMU is migrating at the moment, or was told
 * never to refuse (-only-migratable). */
struct error *migration_refuse(struct qmp *qmp, bool *refuses_ret);

/* Takes that back, if there is anything to. */
struct error *migration_allow(struct qmp *qmp);

/* To be called before a VM goes on: refuses migration if the plugin serves kernels. What
 * stopped the VM may have allowed it, to copy it, and then have been killed. */
struct error *migration_check(struct vm *vm, struct qmp *qmp);
#endif
