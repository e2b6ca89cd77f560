#include "box/target.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "vm/dump.h"
#include "vm/vm.h"

struct target {
	char *name;
	struct vm *vm; /* NULL for a dump */
	struct phys_mem *dump; /* NULL for a VM */
};

void target_destroy(struct target *target)
{
	if (!target)
		return;
	phys_mem_destroy(target->dump);
	vm_close(target->vm);
	free(target->name);
	free(target);
}

static struct error *open_memory(const struct target_params *params, struct target *target)
{
	if (params->file)
		return dump_open(params->file, &target->dump);
	return vm_open(params->vm, &target->vm);
}

struct error *target_open(const struct target_params *params, struct target **ret)
{
	struct target *target = NULL;
	CHECK(!params->vm != !params->file);
	TRY(error_alloc(1, sizeof(*target), &target));
	target->name = strdup(params->file ? params->file : params->vm);
	struct error *err = target->name ? open_memory(params, target)
					 : error_create(ERR_MEMORY, "no memory for a target");
	if (err) {
		target_destroy(target);
		return err;
	}
	*ret = target;
	return NULL;
}

bool target_alive(struct target *target)
{
	return !target->vm || (vm_alive(target->vm) && phys_mem_alive(vm_memory(target->vm)));
}

const char *target_name(const struct target *target)
{
	return target->vm ? vm_name(target->vm) : target->name;
}

struct phys_mem *target_memory(struct target *target)
{
	return target->vm ? vm_memory(target->vm) : target->dump;
}

struct vm *target_vm(struct target *target)
{
	return target->vm;
}
