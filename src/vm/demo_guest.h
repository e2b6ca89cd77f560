/* The built-in demo guests: what tools/guest built, as a struct vm_spec. Thread: any. */
#ifndef VM_DEMO_GUEST_H
#define VM_DEMO_GUEST_H
#include <jansson.h>
#include <stdbool.h>

#include "vm/spec.h"
struct error;

/* Boots fastest, and in 64 MB; tools/guest and tools/bench_guest agree. */
#define DEMO_GUEST_PROFILE "5.10"

/* Owns the texts that a filled-in spec borrows. */
struct demo_guest {
	char *kernel, *initrd;
	json_t *profile;
};

/* Completes spec for a profile ("6.1"; NULL: the default): kernel, initrd, append, machine,
 * texts. What spec has already is kept; is_kaslr boots the compressed kernel, which moves
 * itself. Caller deinits *ret after the last use of spec. ERR_NOT_FOUND with a hint. */
struct error *demo_guest_fill(const char *profile, bool is_kaslr, struct vm_spec *spec,
			      struct demo_guest *ret);
void demo_guest_deinit(struct demo_guest *guest);
#endif
