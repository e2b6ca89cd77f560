/* Variables that a kernel built without KALLSYMS_ALL does not list, found by what must be
 * there. Thread: that of the guest. */
#ifndef GUEST_UNLISTED_H
#define GUEST_UNLISTED_H
#include <stdbool.h>
#include <stdint.h>
struct guest;

/* The address of a variable by its name. False when there is no way, or the kernel lists its
 * variables: then it has none of that name. */
bool unlisted_find(struct guest *guest, const char *name, uint64_t *gva_ret);

/* Looks through the data near the kernel's text for heads of lists: pairs of words whose first
 * points to something that points back. The first for which is_it says so. */
typedef bool unlisted_head_fn(void *user, uint64_t head);
bool unlisted_find_head(struct guest *guest, unlisted_head_fn *is_it, void *user,
			uint64_t *head_ret);
#endif
