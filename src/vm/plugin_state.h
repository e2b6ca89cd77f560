/* What the plugin in a VM's QEMU says of itself. Thread: any. */
#ifndef VM_PLUGIN_STATE_H
#define VM_PLUGIN_STATE_H
#include <stdbool.h>
struct gb_control;
struct vm;

/* Copies its control block, which QEMU's side may write: to be believed as little as QEMU.
 * False: no plugin, or one of another version. */
bool plugin_state_read(struct vm *vm, struct gb_control *ret);
#endif
