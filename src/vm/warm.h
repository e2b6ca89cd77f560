/* Warm starts: a demo guest is booted once, saved when it is up, and from then on a new one is
 * a copy that goes on from there, in about a seventh of the time. The copies lie in
 * $XDG_CACHE_HOME/glassbox/warm, one for each machine, kernel and QEMU; the oldest go. All VMs
 * made from one copy are the same guest: same boot id, same random numbers. Thread: any. */
#ifndef VM_WARM_H
#define VM_WARM_H
#include "vm/spec.h"
struct error;
struct vm_start;

/* Like vm_start. Makes the copy if there is none (which takes a cold boot), and boots cold when
 * the copy does not work. ERR_USAGE for a machine that cannot be copied: one with disks, a
 * kernel of the caller's or QEMU's own options. */
struct error *warm_start(const struct vm_spec *spec, struct vm_start **ret);
#endif
