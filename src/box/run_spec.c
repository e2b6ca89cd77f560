#include "box/run_spec.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define DEFAULT_MEM (256u << 20)

void run_spec_deinit(struct run_spec *run)
{
	demo_guest_deinit(&run->demo);
	free(run->disks);
	free(run->forwards);
	free(run->qemu_args);
}

/* A list argument as strings with NULL at the end; NULL if it was not given. */
static struct error *strings(const struct call_context *context, const char *name,
			     const char ***ret)
{
	json_t *list = json_object_get(context->args, name);
	const char **texts = NULL;
	if (!list)
		return NULL;
	TRY(error_alloc(json_array_size(list) + 1, sizeof(*texts), &texts));
	for (size_t i = 0; i < json_array_size(list); i++)
		texts[i] = json_string_value(json_array_get(list, i));
	*ret = texts;
	return NULL;
}

static struct error *check_qemu_args(const char *const *words)
{
	if (words && *words && **words != '-')
		return error_hint(error_create(ERR_USAGE, "unexpected word '%s'", *words),
				  "QEMU's own options go after `--`");
	return NULL;
}

/* A comma would begin another option of QEMU, such as one that names a file. */
static struct error *check_plain(const char *option, const char *text)
{
	if (text && strchr(text, ','))
		return error_hint(
			error_create(ERR_USAGE, "--%s takes no comma: '%s'", option, text),
			"QEMU's own options go after `--`");
	return NULL;
}

struct error *run_spec_init(const struct call_context *context, struct run_spec *ret)
{
	*ret = (struct run_spec){ 0 };
	TRY(strings(context, "disk", &ret->disks));
	TRY(strings(context, "forward", &ret->forwards));
	TRY(strings(context, "qemu_args", &ret->qemu_args));
	TRY(check_qemu_args(ret->qemu_args));
	TRY(check_plain("machine", call_string(context, "machine")));
	for (const char **at = ret->forwards; at && *at; at++)
		TRY(check_plain("forward", *at));
	const char *isolation = call_string(context, "isolation");
	const char *accel = call_string(context, "accel");
	ret->spec = (struct vm_spec){
		.name = call_string(context, "name"),
		.mem_bytes = call_integer(context, "mem", 0),
		.cpus = (unsigned)call_integer(context, "cpus", 1),
		.kernel = call_string(context, "kernel"),
		.initrd = call_string(context, "initrd"),
		.append = call_string(context, "append"),
		.disks = ret->disks,
		.iso = call_string(context, "iso"),
		.uefi = call_bool(context, "uefi"),
		.snapshot = call_bool(context, "throwaway"),
		.accel = accel ? accel : "auto",
		.machine = call_string(context, "machine"),
		.cpu = call_string(context, "cpu"),
		.is_i386 = call_bool(context, "i386"),
		.net = call_bool(context, "net"),
		.screen = call_bool(context, "screen"),
		.forwards = ret->forwards,
		.learn = call_bool(context, "learn") || call_bool(context, "offload"),
		.offload = call_bool(context, "offload"),
		.warm = call_bool(context, "warm"),
		.no_plugin = call_bool(context, "no_plugin"),
		.qemu_args = ret->qemu_args,
		.isolation = isolation && !strcmp(isolation, "none") ? VM_ISOLATION_NONE
								     : VM_ISOLATION_AUTO,
		.cpu_percent = (unsigned)call_integer(context, "cpu_limit", 0),
	};
	struct vm_spec *spec = &ret->spec;
	const char *profile = call_string(context, "profile");
	bool has_own = spec->kernel || spec->disks || spec->iso || spec->uefi;
	if (call_has(context, "mem") && !spec->mem_bytes)
		return error_create(ERR_USAGE, "--mem must not be 0");
	if (profile && spec->kernel)
		return error_create(ERR_USAGE, "--profile and --kernel exclude each other");
	if (profile || !has_own)
		TRY(demo_guest_fill(profile, call_bool(context, "kaslr"), spec, &ret->demo));
	if (!spec->mem_bytes)
		spec->mem_bytes = DEFAULT_MEM;
	return NULL;
}
