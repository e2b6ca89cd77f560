#include "vm/vm.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "vm/foreign.h"
#include "vm/internal.h"
#include "vm/layout.h"
#include "vm/mapping.h"
#include "vm/proc.h"
#include "vm/ram.h"
#include "vm/state.h"

OWN_DECLARE(own_json, json_t *, json_decref)

void vm_close(struct vm *vm)
{
	if (!vm)
		return;
	phys_mem_destroy(vm->memory);
	json_decref(vm->document);
	free(vm->memory_error);
	free(vm->qmp_path);
	free(vm->name);
	free(vm);
}

static bool process_alive(void *user)
{
	const struct vm *vm = user;
	return proc_is(vm->pid, vm->start_time);
}

bool vm_owner_alive(void *user)
{
	return process_alive(user);
}

/* Memory of a VM of ours: one RAM file, laid out as vm.json says. */
static struct error *map_memory(struct vm *vm)
{
	const char *path = json_string_value(json_object_get(vm->document, "ram"));
	struct layout layout = { 0 };
	if (!path)
		return error_create(ERR_BAD_DATA, "vm.json names no RAM file");
	AUTO(own_mapping) struct mapping *mapping = NULL;
	TRY(mapping_open(path, &mapping));
	struct error *err = layout_from_json(json_object_get(vm->document, "layout"), &layout);
	AUTO(own_free) struct ram_piece *pieces = NULL;
	if (!err)
		err = error_alloc(layout.ranges.count, sizeof(*pieces), &pieces);
	for (size_t i = 0; !err && i < layout.ranges.count; i++)
		pieces[i] = (struct ram_piece){ .gpa = layout.ranges.items[i].gpa,
						.size_bytes = layout.ranges.items[i].size_bytes,
						.offset = layout.ranges.items[i].offset };
	if (!err)
		err = ram_create(&(struct ram_params){ .pieces = pieces,
						       .n_pieces = layout.ranges.count,
						       .mappings = &mapping,
						       .n_mappings = 1,
						       .is_live = true,
						       .owner_alive = process_alive,
						       .owner_user = vm },
				 &vm->memory);
	layout_deinit(&layout);
	if (!err)
		mapping = NULL; /* the memory owns it now */
	return err;
}

static struct error *no_such_vm(const char *name)
{
	return error_hint(error_create(ERR_NOT_FOUND, "no VM called %s is running", name),
			  "`glassbox ls` lists what is");
}

static struct error *open_ours(const char *name, struct vm *vm)
{
	TRY(state_check_name(name));
	if (!state_is_running(name))
		return no_such_vm(name);
	struct error *err = state_read(name, &vm->document);
	if (error_catch(&err, ERR_NOT_FOUND))
		return no_such_vm(name);
	TRY(err);
	vm->name = strdup(name);
	vm->ours = true;
	vm->access = "shared file";
	vm->pid = (pid_t)json_integer_value(json_object_get(vm->document, "pid"));
	vm->start_time =
		(uint64_t)json_integer_value(json_object_get(vm->document, "start_time"));
	TRY(state_path(name, "qmp.sock", &vm->qmp_path));
	if (!vm->name)
		return error_create(ERR_MEMORY, "no memory for a name");
	if (!proc_is(vm->pid, vm->start_time) || !json_object_get(vm->document, "layout"))
		return error_create(ERR_PEER, "VM %s is starting or ending", name);
	struct error *unmapped = map_memory(vm);
	if (unmapped) {
		vm->memory = &vm->no_memory;
		vm->memory_error = strdup(error_message(unmapped));
		error_destroy(unmapped);
	}
	return NULL;
}

static bool is_number(const char *text)
{
	size_t digits = strspn(text, "0123456789");
	return digits > 0 && digits < 10 && !text[digits];
}

/* Name of the running VM of ours whose QEMU has this PID; NULL if none. Caller owns. */
static char *name_of_pid(pid_t pid)
{
	AUTO(own_json) json_t *names = NULL;
	struct error *err = state_names(&names);
	if (err) {
		error_destroy(err);
		return NULL;
	}
	for (size_t i = 0; i < json_array_size(names); i++) {
		const char *name = json_string_value(json_array_get(names, i));
		AUTO(own_json) json_t *document = NULL;
		err = state_read(name, &document);
		bool match =
			!err && json_integer_value(json_object_get(document, "pid")) == pid;
		error_destroy(err);
		if (match)
			return strdup(name);
	}
	return NULL;
}

static struct error *open_pid(pid_t pid, struct vm *vm)
{
	AUTO(own_free) char *name = name_of_pid(pid);
	if (name)
		return open_ours(name, vm);
	return foreign_open(pid, vm);
}

static struct error *open_name(const char *name, struct vm *vm)
{
	struct error *bad_name = state_check_name(name);
	bool ours = !bad_name && state_is_running(name);
	error_destroy(bad_name);
	if (ours)
		return open_ours(name, vm);
	pid_t pid = foreign_find(name);
	return pid ? foreign_open(pid, vm) : no_such_vm(name);
}

struct error *vm_open(const char *name_or_pid, struct vm **ret)
{
	AUTO(own_vm) struct vm *vm = NULL;
	TRY(error_alloc(1, sizeof(*vm), &vm));
	TRY(is_number(name_or_pid) ? open_pid((pid_t)atoi(name_or_pid), vm)
				   : open_name(name_or_pid, vm));
	*ret = TAKE(vm);
	return NULL;
}

const char *vm_name(const struct vm *vm)
{
	return vm->name;
}

pid_t vm_pid(const struct vm *vm)
{
	return vm->pid;
}

uint64_t vm_start_time(const struct vm *vm)
{
	return vm->start_time;
}

struct phys_mem *vm_memory(struct vm *vm)
{
	return vm->memory;
}

bool vm_alive(const struct vm *vm)
{
	return vm->memory != &vm->no_memory && phys_mem_alive(vm->memory);
}

bool vm_is_ours(const struct vm *vm)
{
	return vm->ours;
}

const char *vm_access(const struct vm *vm)
{
	return vm->access;
}

const json_t *vm_document(const struct vm *vm)
{
	return vm->document;
}

struct error *vm_check_alive(struct vm *vm)
{
	if (!proc_is(vm->pid, vm->start_time))
		return error_create(ERR_PEER, "VM %s ended meanwhile", vm->name);
	if (vm->memory == &vm->no_memory)
		return error_create(ERR_PEER, "the memory of VM %s cannot be read: %s",
				    vm->name,
				    vm->memory_error ? vm->memory_error : "no reason known");
	if (!phys_mem_alive(vm->memory))
		return error_create(ERR_PEER, "the RAM file of VM %s was cut short", vm->name);
	return NULL;
}

struct error *vm_refresh(struct vm *vm)
{
	if (!vm->ours)
		return foreign_refresh(vm);
	json_t *fresh = NULL;
	TRY(state_read(vm->name, &fresh));
	json_decref(vm->document);
	vm->document = fresh;
	return NULL;
}

static json_t *list_entry(const json_t *document)
{
	static const char *const keys[] = { "name",   "pid",	 "state",	 "mem_bytes",
					    "cpus",   "accel",	 "profile",	 "machine",
					    "kernel", "boot_ms", "qemu_version", "screen" };
	json_t *entry = json_object();
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		json_t *value = json_object_get(document, keys[i]);
		json_object_set(entry, keys[i], value ? value : json_null());
	}
	json_object_set_new(entry, "ours", json_true());
	return entry;
}

struct error *vm_list(json_t **ret)
{
	AUTO(own_json) json_t *names = NULL;
	AUTO(own_json) json_t *list = json_array();
	TRY(state_names(&names));
	for (size_t i = 0; i < json_array_size(names); i++) {
		AUTO(own_json) json_t *document = NULL;
		struct error *err =
			state_read(json_string_value(json_array_get(names, i)), &document);
		if (!err)
			json_array_append_new(list, list_entry(document));
		error_destroy(err);
	}
	TRY(foreign_list(list));
	*ret = TAKE(list);
	return NULL;
}
