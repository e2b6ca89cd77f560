#include "vm/spec_json.h"

#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/error.h"

OWN_DECLARE(own_json, json_t *, json_decref)

/* ORDER spec fields: what is kept of a spec, by type; beside it what a reset boots. */
#define SPEC_TEXTS(X) X(accel) X(machine) X(cpu) X(profile) X(first_text) X(ready_text) X(iso)
#define SPEC_FLAGS(X) \
	X(uefi) X(snapshot) X(is_i386) X(net) X(screen) X(no_plugin) X(no_powerdown)
#define SPEC_LISTS(X) X(disks) X(forwards) X(qemu_args)

static json_t *list_to_json(const char *const *list)
{
	json_t *json = json_array();
	for (; list && *list; list++)
		json_array_append_new(json, json_string(*list));
	return json;
}

json_t *spec_file_stamp(const char *path)
{
	struct stat info;
	char whole[PATH_MAX];
	if (!path || !realpath(path, whole) || stat(whole, &info))
		return NULL;
	return json_pack("[s, I, I, I]", whole, (json_int_t)info.st_size,
			 (json_int_t)info.st_mtim.tv_sec, (json_int_t)info.st_mtim.tv_nsec);
}

static json_t *boot_to_json(const struct vm_spec *spec)
{
	return json_pack("{s:o*, s:o*, s:s*}", "kernel", spec_file_stamp(spec->kernel),
			 "initrd", spec_file_stamp(spec->initrd), "append", spec->append);
}

/* The path, if the file is still the one that the stamp is of; borrowed from stamp. */
static const char *same_file(const json_t *stamp)
{
	const char *path = json_string_value(json_array_get(stamp, 0));
	AUTO(own_json) json_t *now = spec_file_stamp(path);
	return now && json_equal(now, stamp) ? path : NULL;
}

static void boot_from_json(const json_t *boot, struct vm_spec *spec)
{
	const json_t *initrd = json_object_get(boot, "initrd");
	const char *kernel = same_file(json_object_get(boot, "kernel"));
	if (!kernel || (initrd && !same_file(initrd)))
		return;
	spec->kernel = kernel;
	spec->initrd = same_file(initrd);
	spec->append = json_string_value(json_object_get(boot, "append"));
}

struct error *spec_to_json(const struct vm_spec *spec, json_t **ret)
{
	json_t *json =
		json_pack("{s:I, s:i, s:i}", "mem_bytes", (json_int_t)spec->mem_bytes, "cpus",
			  (int)spec->cpus, "cpu_percent", (int)spec->cpu_percent);
	if (!json)
		return error_create(ERR_MEMORY, "no memory for a description");
#define PUT_TEXT(name)  \
	if (spec->name) \
		json_object_set_new(json, #name, json_string(spec->name));
#define PUT_FLAG(name) json_object_set_new(json, #name, json_boolean(spec->name));
#define PUT_LIST(name) json_object_set_new(json, #name, list_to_json(spec->name));
	SPEC_TEXTS(PUT_TEXT)
	SPEC_FLAGS(PUT_FLAG)
	SPEC_LISTS(PUT_LIST)
	if (spec->kernel)
		json_object_set_new(json, "boot", boot_to_json(spec));
	*ret = json;
	return NULL;
}

/* Copies a list's texts into lists from *used on; NULL at its end. */
static const char *const *take_list(const json_t *list, const char **lists, size_t *used)
{
	const char **start = lists + *used;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *text = json_string_value(json_array_get(list, i));
		if (text)
			lists[(*used)++] = text;
	}
	lists[(*used)++] = NULL;
	return start;
}

struct error *spec_from_json(const json_t *json, struct vm_spec *spec, const char ***lists_ret)
{
	json_int_t mem = json_integer_value(json_object_get(json, "mem_bytes"));
	json_int_t cpus = json_integer_value(json_object_get(json, "cpus"));
	size_t total = 0, used = 0;
	const char **lists = NULL;
	if (mem <= 0 || cpus <= 0 || cpus > 64)
		return error_create(ERR_BAD_DATA, "it does not say which machine it is of");
#define COUNT_LIST(name) total += json_array_size(json_object_get(json, #name)) + 1;
	SPEC_LISTS(COUNT_LIST)
	TRY(error_alloc(total, sizeof(*lists), &lists));
	*spec = (struct vm_spec){ .mem_bytes = (uint64_t)mem, .cpus = (unsigned)cpus };
	spec->cpu_percent = (unsigned)json_integer_value(json_object_get(json, "cpu_percent"));
#define GET_TEXT(name) spec->name = json_string_value(json_object_get(json, #name));
#define GET_FLAG(name) spec->name = json_is_true(json_object_get(json, #name));
#define GET_LIST(name) spec->name = take_list(json_object_get(json, #name), lists, &used);
	SPEC_TEXTS(GET_TEXT)
	SPEC_FLAGS(GET_FLAG)
	SPEC_LISTS(GET_LIST)
	boot_from_json(json_object_get(json, "boot"), spec);
	*lists_ret = lists;
	return NULL;
}
