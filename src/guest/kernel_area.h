/* The kernel's own address space: where its areas are. Thread: that of the guest. */
#ifndef GUEST_KERNEL_AREA_H
#define GUEST_KERNEL_AREA_H
#include <stdint.h>
struct guest;

struct guest_kernel_areas {
	uint64_t direct_first; /* where physical address 0 is mapped */
	uint64_t vmalloc_first, vmalloc_end;
	uint64_t modules_first, modules_end; /* empty where modules are in vmalloc (32 bits) */
};
/* The bases may be variables of the kernel; the sizes are the architecture's. */
void guest_kernel_areas(struct guest *guest, struct guest_kernel_areas *ret);
#endif
