/* QEMUs that somebody else started: finding them and getting at their memory. Thread: any. */
#ifndef VM_FOREIGN_H
#define VM_FOREIGN_H
#include <jansson.h>
#include <sys/types.h>
struct error;
struct vm;

/* Fills in a zeroed vm. ERR_NOT_FOUND if pid is no QEMU. */
struct error *foreign_open(pid_t pid, struct vm *vm);
struct error *foreign_refresh(struct vm *vm);

/* Appends every QEMU that is not a child of one of our keepers. */
struct error *foreign_list(json_t *list);

/* PID of the foreign QEMU with this -name, or 0. */
pid_t foreign_find(const char *name);
#endif
