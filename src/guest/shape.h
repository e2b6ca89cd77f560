/* Processes of a kernel that tells nothing: no symbols, no types. Found by the shape of the
 * first task, which is its own parent, and by what must hold between it and kthreadd. For
 * x86-64 only, and only what every kernel must have: pid, parent, name, page tables. Thread:
 * that of the guest.
 */
#ifndef GUEST_SHAPE_H
#define GUEST_SHAPE_H
#include <stdbool.h>
struct error;
struct guest;
struct guest_tasks;

/* For memory in which neither symbols nor page tables were found: where the kernel image lies
 * and the page tables, by the shape alone. False if there is no such shape. */
bool shape_settle(struct guest *guest);

/* Adds a note that says what this is. Fails: ERR_NOT_FOUND, ERR_MEMORY. */
struct error *shape_tasks_read(struct guest *guest, struct guest_tasks *ret);
#endif
