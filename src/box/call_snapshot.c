/* snapshot, restore: a whole VM in a file and back. */
#include "base/error.h"
#include "box/calls.h"
#include "box/run_answer.h"
#include "box/target.h"
#include "vm/snapshot_file.h"
#include "vm/start.h"
#include "vm/vm.h"

static const struct call_param snapshot_params[] = {
	{ "path", CALL_PATH, .positional = true, .required = true, .placeholder = "F",
	  .help = "file to write; replaced only when all is written" },
	{ 0 },
};

static struct error *run_snapshot(struct call_context *context, json_t **ret)
{
	struct vm *vm = target_vm(context->target);
	const char *path = call_string(context, "path");
	struct snapshot_stats stats;
	TRY(snapshot_save(vm, path, &stats));
	*ret = json_pack("{s:s, s:s, s:f, s:f, s:I, s:I, s:b}", "name", vm_name(vm), "path",
			 path, "pause_ms", (double)stats.pause_ns / 1e6, "total_ms",
			 (double)stats.total_ns / 1e6, "pages_live",
			 (json_int_t)stats.pages_live, "pages_paused",
			 (json_int_t)stats.pages_paused, "consistent",
			 (int)stats.is_consistent);
	return *ret ? NULL : error_create(ERR_MEMORY, "no memory for an answer");
}

const struct call call_snapshot = {
	.name = "snapshot",
	.group = "lifecycle",
	.summary = "save a whole VM, memory and devices, into a file",
	.details =
		"The guest goes on; it is paused only while QEMU writes its devices and what\n"
		"the guest wrote during the copying is copied again. Disks are not in the\n"
		"file.",
	.examples = "  glassbox snapshot demo demo.gbs\n  glassbox restore demo.gbs --name two",
	.flags = CALL_TARGET | CALL_LIVE_ONLY | CALL_CHANGES | CALL_CLI_ONLY,
	.params = snapshot_params,
	.run = run_snapshot,
};

static const struct call_param restore_params[] = {
	{ "path", CALL_PATH, .positional = true, .required = true, .placeholder = "F",
	  .help = "file that `glassbox snapshot` wrote" },
	{ "name", CALL_STRING, .letter = 'n', .placeholder = "N",
	  .help = "name of the new VM (default: vm1, vm2, ...)" },
	{ 0 },
};

static struct error *run_restore(struct call_context *context, json_t **ret)
{
	AUTO(own_snapshot_file) struct snapshot_file *file = NULL;
	const char *path = call_string(context, "path");
	TRY(snapshot_file_open(path, &file));
	struct vm_spec spec = *snapshot_file_spec(file);
	spec.name = call_string(context, "name");
	spec.restore = path;
	return run_detached(&spec, ret);
}

const struct call call_restore = {
	.name = "restore",
	.group = "lifecycle",
	.summary = "start a new VM from a snapshot; it goes on where it was",
	.examples = "  glassbox restore demo.gbs --name again",
	.flags = CALL_CHANGES | CALL_CLI_ONLY,
	.params = restore_params,
	.run = run_restore,
};
