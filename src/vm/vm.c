#include "vm/vm.h"

#include <stdlib.h>

#include "base/error.h"
#include "base/phys_mem.h"

struct vm {
	char *name;
	pid_t pid;
	struct phys_mem *memory;
};

struct error *vm_open(const char *name_or_pid, struct vm **ret)
{
	return error_hint(error_create(ERR_NOT_FOUND, "no VM called %s", name_or_pid),
			  "`glassbox ls` lists them");
}

void vm_close(struct vm *vm)
{
	if (!vm)
		return;
	phys_mem_destroy(vm->memory);
	free(vm->name);
	free(vm);
}

const char *vm_name(const struct vm *vm)
{
	return vm->name;
}

pid_t vm_pid(const struct vm *vm)
{
	return vm->pid;
}

struct phys_mem *vm_memory(struct vm *vm)
{
	return vm->memory;
}

bool vm_alive(const struct vm *vm)
{
	return vm->memory && phys_mem_alive(vm->memory);
}
