/* snapshot, restore: a whole VM in a file and back; snapshots, forget: files that are kept by
 * name. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "box/calls.h"
#include "box/run_answer.h"
#include "box/target.h"
#include "vm/kept.h"
#include "vm/snapshot_file.h"
#include "vm/start.h"
#include "vm/vm.h"

static const struct call_param snapshot_params[] = {
	{ "path", CALL_PATH, .positional = true, .local = true, .placeholder = "F",
	  .help = "file to write; replaced only when all is written" },
	{ "keep", CALL_STRING, .placeholder = "NAME",
	  .help = "keep it under this name instead of in a file of your own" },
	{ 0 },
};

/* The file that is meant: given by path, or kept by name under `key`. Caller owns *ret. */
static struct error *file_of(struct call_context *context, const char *key, char **ret)
{
	const char *path = call_string(context, "path"), *name = call_string(context, key);
	if (!path == !name)
		return error_create(ERR_USAGE, "give either a file or --%s NAME", key);
	if (name)
		return kept_path(name, ret);
	*ret = strdup(path);
	return *ret ? NULL : error_create(ERR_MEMORY, "no memory for a path");
}

static struct error *run_snapshot(struct call_context *context, json_t **ret)
{
	struct vm *vm = target_vm(context->target);
	AUTO(own_free) char *path = NULL;
	struct snapshot_stats stats;
	TRY(file_of(context, "keep", &path));
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
	.examples =
		"  glassbox snapshot demo demo.gbs\n  glassbox restore demo.gbs --name two\n"
		"  glassbox snapshot demo --keep before-update",
	.flags = CALL_TARGET | CALL_LIVE_ONLY | CALL_CHANGES,
	.params = snapshot_params,
	.run = run_snapshot,
};

static const struct call_param restore_params[] = {
	{ "path", CALL_PATH, .positional = true, .local = true, .placeholder = "F",
	  .help = "file that `glassbox snapshot` wrote" },
	{ "kept", CALL_STRING, .placeholder = "NAME", .help = "a snapshot that was kept" },
	{ "name", CALL_STRING, .letter = 'n', .placeholder = "N",
	  .help = "name of the new VM (default: vm1, vm2, ...)" },
	{ 0 },
};

static struct error *run_restore(struct call_context *context, json_t **ret)
{
	AUTO(own_snapshot_file) struct snapshot_file *file = NULL;
	AUTO(own_free) char *path = NULL;
	TRY(file_of(context, "kept", &path));
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
	.flags = CALL_CHANGES,
	.params = restore_params,
	.run = run_restore,
};

static struct error *run_snapshots(struct call_context *context, json_t **ret)
{
	return kept_list(ret);
}

static const struct call_column snapshots_columns[] = {
	{ "name", "NAME", COLUMN_LEFT },
	{ "taken", "TAKEN", COLUMN_RIGHT },
	{ "bytes", "ON DISK", COLUMN_BYTES },
	{ "mem_bytes", "RAM", COLUMN_BYTES },
	{ 0 },
};

const struct call call_snapshots = {
	.name = "snapshots",
	.group = "lifecycle",
	.summary = "list the snapshots that are kept by name",
	.columns = snapshots_columns,
	.run = run_snapshots,
};

static const struct call_param forget_params[] = {
	{ "name", CALL_STRING, .positional = true, .required = true, .placeholder = "NAME",
	  .help = "of a kept snapshot" },
	{ 0 },
};

static struct error *run_forget(struct call_context *context, json_t **ret)
{
	const char *name = call_string(context, "name");
	TRY(kept_remove(name));
	*ret = json_pack("{s:s}", "forgotten", name);
	return *ret ? NULL : error_create(ERR_MEMORY, "no memory for an answer");
}

const struct call call_forget = {
	.name = "forget",
	.group = "lifecycle",
	.summary = "remove a kept snapshot",
	.flags = CALL_CHANGES,
	.params = forget_params,
	.run = run_forget,
};
