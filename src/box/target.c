#include "box/target.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "guest/guest.h"
#include "guest/symbols_file.h"
#include "vm/dump.h"
#include "vm/state.h"
#include "vm/vm.h"

struct target {
	char *name;
	struct vm *vm; /* NULL for a dump */
	struct phys_mem *dump; /* NULL for a VM */
	struct guest *guest; /* NULL until asked for */
	bool no_cache;
	char *symbols; /* file with symbols to use, or NULL */
};

void target_destroy(struct target *target)
{
	if (!target)
		return;
	guest_destroy(target->guest);
	phys_mem_destroy(target->dump);
	vm_close(target->vm);
	free(target->symbols);
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
	target->no_cache = params->no_cache;
	target->symbols = params->symbols ? strdup(params->symbols) : NULL;
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

struct error *target_check_alive(struct target *target)
{
	if (target->vm)
		return vm_check_alive(target->vm);
	if (!phys_mem_alive(target->dump))
		return error_create(ERR_BAD_DATA, "%s was cut short", target->name);
	return NULL;
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

/* A VM of ours keeps what was found next to its other files, and loses it with them. */
static struct error *cache_path(struct target *target, char **ret)
{
	*ret = NULL;
	if (target->vm && vm_is_ours(target->vm))
		return state_path(vm_name(target->vm), "guest.cache", ret);
	return NULL;
}

struct error *target_guest(struct target *target, struct guest **ret)
{
	if (!target->guest) {
		AUTO(own_free) char *path = NULL;
		TRY(cache_path(target, &path));
		struct symbols_file given = { 0 };
		if (target->symbols)
			TRY(symbols_file_read(target->symbols, &given));
		struct guest_params params = { .cache_path = path,
					       .ignore_cache = target->no_cache,
					       .symbols = TAKE(given.symbols),
					       .types = TAKE(given.types),
					       .source_name = given.source };
		struct error *err = guest_open(target_memory(target), &params, &target->guest);
		symbols_file_deinit(&given);
		if (err) {
			/* A VM that ended meanwhile is the better explanation. */
			struct error *dead = target_check_alive(target);
			if (!dead)
				return err;
			error_destroy(err);
			return dead;
		}
	}
	*ret = target->guest;
	return NULL;
}

struct guest *target_guest_open(struct target *target)
{
	return target->guest;
}
