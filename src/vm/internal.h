/* struct vm, shared by the files of this room that fill it in. */
#ifndef VM_INTERNAL_H
#define VM_INTERNAL_H
#include "base/phys_mem.h"
#include "vm/vm.h"

struct vm {
	char *name;
	pid_t pid;
	uint64_t start_time;
	bool ours;
	const char *access;
	char *qmp_path; /* or NULL */
	json_t *document;
	struct phys_mem *memory;
	/* When a VM of ours cannot be mapped (its RAM file was cut) it can still be stopped. */
	struct phys_mem no_memory;
	char *memory_error;
};

/* For struct ram_params: user is the struct vm. */
bool vm_owner_alive(void *user);
#endif
