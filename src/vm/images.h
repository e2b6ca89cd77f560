/* Opens what a VM boots from: disk images, an ISO, UEFI firmware with variables of its own.
 * Thread: one. */
#ifndef VM_IMAGES_H
#define VM_IMAGES_H
#include <stddef.h>

#include "vm/command.h"
#include "vm/spec.h"
struct error;

#define MAX_IMAGES 16u

struct images {
	struct command_image items[MAX_IMAGES];
	size_t count;
	char *uefi_code; /* or NULL */
};

/* Caller deinits *ret, also on failure. ERR_SYSTEM, ERR_BAD_DATA, ERR_NOT_FOUND (firmware). */
struct error *images_open(const struct vm_spec *spec, struct images *ret);
void images_deinit(struct images *images);
#endif
