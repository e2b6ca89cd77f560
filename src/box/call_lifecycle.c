/* Calls that start, list, control and end VMs. */
#include <string.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "box/calls.h"
#include "box/run_answer.h"
#include "box/run_spec.h"
#include "box/status.h"
#include "box/target.h"
#include "vm/dirty.h"
#include "vm/start.h"
#include "vm/state.h"
#include "vm/vm.h"
#include "vm/warm.h"

OWN_DECLARE(own_json, json_t *, json_decref)

/* How long `run --detach` waits for the demo guest's start-up to finish. */
#define READY_TIMEOUT_MS 60000
/* How long a restored demo guest may take to answer on its console. */
#define RESTORED_TIMEOUT_MS 5000

static const struct call_param run_params[] = {
	{ "name", CALL_STRING, .letter = 'n', .placeholder = "N",
	  .help = "name of the VM (default: vm1, vm2, ...)" },
	{ "mem", CALL_SIZE, .letter = 'm', .placeholder = "SIZE",
	  .help = "RAM, e.g. 64M or 1G (default: 128M for the demo guest, else 256M)" },
	{ "cpus", CALL_INTEGER, .placeholder = "N", .help = "virtual CPUs (default: 1)" },
	{ "kernel", CALL_PATH, .placeholder = "F", .help = "bzImage, or vmlinux with PVH" },
	{ "initrd", CALL_PATH, .placeholder = "F", .help = "initial RAM disk" },
	{ "append", CALL_STRING, .placeholder = "S", .help = "kernel command line" },
	{ "profile", CALL_STRING, .placeholder = "P",
	  .help = "a demo guest made by `tools/setup guest`: 5.10, 6.1, 6.12, testing, ..." },
	{ "kaslr", CALL_BOOL, .help = "boot the demo guest by its bzImage on q35, with KASLR" },
	{ "warm", CALL_BOOL,
	  .help = "start from a copy of the same demo guest that is up; made at first use" },
	{ "disk", CALL_PATH, .placeholder = "F", .repeated = true,
	  .help = "disk image, raw or .qcow2; may be repeated" },
	{ "throwaway", CALL_BOOL, .help = "writes to disks are lost when the VM ends" },
	{ "iso", CALL_PATH, .placeholder = "F", .help = "CD image to boot from" },
	{ "uefi", CALL_BOOL, .help = "UEFI firmware instead of a BIOS" },
	{ "machine", CALL_STRING, .placeholder = "M",
	  .help = "QEMU machine: q35, pc, microvm (default: q35; demo guest: microvm)" },
	{ "cpu", CALL_STRING, .placeholder = "C", .help = "QEMU CPU model, e.g. max" },
	{ "i386", CALL_BOOL, .help = "32-bit machine" },
	{ "accel", CALL_STRING, .choices = "auto,tcg,kvm", .placeholder = "A",
	  .help = "auto uses KVM only after proving that it works" },
	{ "net", CALL_BOOL, .help = "user networking (virtio)" },
	{ "screen", CALL_BOOL,
	  .help = "a VGA screen with keyboard and tablet, shown in the page" },
	{ "forward", CALL_STRING, .placeholder = "tcp:HOST:PORT-:PORT", .repeated = true,
	  .help = "port forward as QEMU's hostfwd, e.g. tcp:127.0.0.1:2222-:22" },
	{ "learn", CALL_BOOL, .help = "watch execution (loads the plugin)" },
	{ "offload", CALL_BOOL,
	  .help = "the same as --learn: `offload NAME on` can then run proven kernels" },
	{ "no_plugin", CALL_BOOL,
	  .help = "keep the plugin out of QEMU: no learning, slower dirty tracking" },
	{ "isolation", CALL_STRING, .local = true, .choices = "auto,none", .placeholder = "I",
	  .help = "auto: as much as this user may; none: for debugging QEMU" },
	{ "cpu_limit", CALL_INTEGER, .placeholder = "PERCENT",
	  .help = "most host CPU the VM may use; 100 is one core" },
	{ "detach", CALL_BOOL, .letter = 'd',
	  .help = "return when the guest runs (demo guest: when it is up)" },
	{ "qemu_args", CALL_STRING, .positional = true, .repeated = true, .local = true,
	  .placeholder = "-- QEMU ARGS", .help = "passed to QEMU as they are" },
	{ 0 },
};

static struct error *run_attach(struct call_context *context, json_t **ret)
{
	struct vm *vm = target_vm(context->target);
	const json_t *known = vm_document(vm);
	const char *source = json_string_value(json_object_get(known, "layout_source"));
	const char *why = NULL;
	*ret = json_pack("{s:s, s:i, s:b, s:s, s:I, s:s, s:O?, s:s}", "name", vm_name(vm),
			 "pid", (int)vm_pid(vm), "ours", vm_is_ours(vm), "access",
			 vm_access(vm), "ram_bytes", (json_int_t)phys_mem_size(vm_memory(vm)),
			 "layout_source", source ? source : "QEMU's monitor", "state",
			 json_object_get(known, "state"), "dirty_source",
			 dirty_source_name(dirty_probe(vm, &why)));
	return *ret ? NULL : error_create(ERR_MEMORY, "no memory for an answer");
}

const struct call call_attach = {
	.name = "attach",
	.group = "lifecycle",
	.summary = "find the memory of a QEMU that somebody else started, and say how",
	.details =
		"Nothing stays attached: every command takes a PID, or the -name of a foreign\n"
		"QEMU, in place of a VM. Shared files and memfds are mapped; private memory "
		"is\n"
		"read through the process. The VM is not touched.",
	.examples = "  glassbox attach 4711\n  glassbox ps 4711",
	.flags = CALL_TARGET | CALL_LIVE_ONLY,
	.run = run_attach,
};

static json_t *ms_or_null(double ms)
{
	return ms < 0 ? json_null() : json_real(ms);
}

json_t *run_document(const struct vm_start *start)
{
	return json_pack("{s:s, s:i, s:s, s:s, s:o, s:o}", "name", vm_start_name(start), "pid",
			 (int)vm_start_pid(start), "accel", vm_start_accel(start), "accel_why",
			 vm_start_accel_why(start), "boot_ms",
			 ms_or_null(vm_start_boot_ms(start)), "ready_ms",
			 ms_or_null(vm_start_ready_ms(start)));
}

static struct error *wait_ready(struct vm_start *start)
{
	for (;;) {
		switch (vm_start_poll(start, READY_TIMEOUT_MS)) {
		case VM_NEWS_READY:
			return NULL;
		case VM_NEWS_PANICKED:
			return error_create(ERR_PEER, "the guest's kernel panicked");
		case VM_NEWS_ENDED:
			return error_create(ERR_PEER, "VM %s ended: %s", vm_start_name(start),
					    vm_start_reason(start) ? vm_start_reason(start)
								   : "its keeper died");
		case VM_NEWS_NONE:
			return error_create(ERR_PEER, "the guest does not finish starting");
		case VM_NEWS_FIRST_LINE:
			break;
		}
	}
}

struct error *run_start(const struct vm_spec *spec, struct vm_start **ret)
{
	return spec->warm ? warm_start(spec, ret) : vm_start(spec, ret);
}

struct error *run_detached(const struct vm_spec *spec, json_t **ret)
{
	AUTO(own_vm_start) struct vm_start *start = NULL;
	TRY(run_start(spec, &start));
	if (vm_start_is_restored(start) && spec->profile)
		vm_start_poll(start, RESTORED_TIMEOUT_MS);
	else if (spec->ready_text && !vm_start_is_restored(start))
		TRY(wait_ready(start));
	vm_start_detach(start);
	*ret = run_document(start);
	return NULL;
}

/* Over HTTP a VM is always detached; the command line has its own way (cli/cmd_run.c). */
static struct error *run_run(struct call_context *context, json_t **ret)
{
	struct run_spec run;
	struct error *err = run_spec_init(context, &run);
	if (!err)
		err = run_detached(&run.spec, ret);
	run_spec_deinit(&run);
	return err;
}

const struct call call_run = {
	.name = "run",
	.group = "lifecycle",
	.summary = "start a guest; the built-in demo guest unless told what to boot",
	.details =
		"In the foreground the guest's console is attached; Ctrl-] then d detaches,\n"
		"Ctrl-] then s stops the VM. RAM is a file in /dev/shm which everything else\n"
		"looks at. The measured boot time is printed.",
	.examples = "  glassbox run --detach --name demo\n"
		    "  glassbox run --kernel vmlinuz --initrd initrd.img --mem 512M\n"
		    "  glassbox run --disk debian.qcow2 --mem 1G --net -- -vga std",
	.flags = CALL_CHANGES,
	.params = run_params,
	.run = run_run,
};

static const struct call_column ls_columns[] = {
	{ "name", "NAME", COLUMN_LEFT },	 { "pid", "PID", COLUMN_RIGHT },
	{ "state", "STATE", COLUMN_LEFT },	 { "mem_bytes", "RAM", COLUMN_BYTES },
	{ "cpus", "CPUS", COLUMN_RIGHT },	 { "accel", "ACCEL", COLUMN_LEFT },
	{ "machine", "MACHINE", COLUMN_LEFT },	 { "profile", "PROFILE", COLUMN_LEFT },
	{ "ours", "OURS", COLUMN_LEFT },	 { "kernel", "KERNEL", COLUMN_HIDDEN },
	{ "boot_ms", "BOOT MS", COLUMN_HIDDEN }, { 0 },
};

static struct error *run_ls(struct call_context *context, json_t **ret)
{
	state_sweep();
	return vm_list(ret);
}

const struct call call_ls = {
	.name = "ls",
	.group = "lifecycle",
	.summary = "list running VMs, those that others started too",
	.columns = ls_columns,
	.run = run_ls,
};

static struct error *run_status(struct call_context *context, json_t **ret)
{
	return status_document(context->target, ret);
}

const struct call call_status = {
	.name = "status",
	.group = "lifecycle",
	.summary = "state, RAM, kernel, and where everything known about them comes from",
	.flags = CALL_TARGET,
	.run = run_status,
};

static struct error *state_answer(struct vm *vm, const char *state, json_t **ret)
{
	*ret = json_pack("{s:s, s:i, s:s}", "name", vm_name(vm), "pid", (int)vm_pid(vm),
			 "state", state);
	return *ret ? NULL : error_create(ERR_MEMORY, "no memory for an answer");
}

static struct error *run_pause(struct call_context *context, json_t **ret)
{
	struct vm *vm = target_vm(context->target);
	TRY(vm_pause(vm));
	return state_answer(vm, "paused", ret);
}

const struct call call_pause = {
	.name = "pause",
	.group = "lifecycle",
	.summary = "stop the guest's CPUs; its memory stays readable",
	.flags = CALL_TARGET | CALL_LIVE_ONLY | CALL_CHANGES,
	.run = run_pause,
};

static struct error *run_resume(struct call_context *context, json_t **ret)
{
	struct vm *vm = target_vm(context->target);
	TRY(vm_resume(vm));
	return state_answer(vm, "running", ret);
}

const struct call call_resume = {
	.name = "resume",
	.group = "lifecycle",
	.summary = "let a paused guest go on",
	.flags = CALL_TARGET | CALL_LIVE_ONLY | CALL_CHANGES,
	.run = run_resume,
};

static struct error *run_reset(struct call_context *context, json_t **ret)
{
	struct vm *vm = target_vm(context->target);
	TRY(vm_reset(vm));
	return state_answer(vm, "running", ret);
}

const struct call call_reset = {
	.name = "reset",
	.group = "lifecycle",
	.summary = "reset the machine, as its reset button would",
	.flags = CALL_TARGET | CALL_LIVE_ONLY | CALL_CHANGES,
	.run = run_reset,
};

static const struct call_param stop_params[] = {
	{ "grace_ms", CALL_INTEGER, .placeholder = "MS",
	  .help = "time for the guest to power off before it is ended (default: 5000)" },
	{ "force", CALL_BOOL, .letter = 'f', .help = "end it at once" },
	{ 0 },
};

static struct error *run_stop(struct call_context *context, json_t **ret)
{
	struct vm *vm = target_vm(context->target);
	const char *how = "ended";
	int grace_ms = call_bool(context, "force")
			       ? 0
			       : (int)(call_integer(context, "grace_ms", 5000) % 3600000);
	if (!vm_is_ours(vm))
		return error_hint(error_create(ERR_UNSUPPORTED,
					       "VM %s was not started by glassbox",
					       vm_name(vm)),
				  "end it where it was started");
	TRY(vm_stop(vm, grace_ms, &how));
	*ret = json_pack("{s:s, s:s, s:s}", "name", vm_name(vm), "state", "stopped", "how",
			 how);
	return NULL;
}

const struct call call_stop = {
	.name = "stop",
	.group = "lifecycle",
	.summary = "power the guest off (ACPI first, then by force) and remove its files",
	.flags = CALL_TARGET | CALL_LIVE_ONLY | CALL_CHANGES,
	.params = stop_params,
	.run = run_stop,
};
