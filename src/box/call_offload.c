/* The call that lets a VM run learned kernels, and tells what they did. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "base/vec.h"
#include "box/call_offload.h"
#include "box/calls.h"
#include "box/guest_call.h"
#include "box/offload_guard.h"
#include "box/target.h"
#include "learn/library.h"
#include "offload/from_library.h"
#include "offload/pixel_file.h"
#include "offload/pixel_service.h"
#include "offload/report.h"
#include "offload/slots.h"
#include "trace/source.h"
#include "vm/vm.h"

/* The plugin is told where RAM lies, so that memory above the PCI hole is served as well. */
static struct error *tell_ram(struct call_context *context, struct trace_source *source)
{
	const struct phys_mem *mem = target_memory(context->target);
	uint64_t segments[GB_MAX_RAM_SEGMENTS][3];
	size_t n = 0;
	for (size_t i = 0; i < mem->n_segments && n < GB_MAX_RAM_SEGMENTS; i++, n++) {
		segments[n][0] = mem->segments[i].gpa;
		segments[n][1] = mem->segments[i].size_bytes;
		segments[n][2] = mem->segments[i].file_offset;
	}
	return offload_ram(source, segments, n);
}

/* The service is nobody's child, so that it outlives a command and leaves no zombie in a
 * server. Its words go nowhere: the shared file says how it is. */
static struct error *start_service(struct call_context *context)
{
	const char *library = call_string(context, "library"),
		   *gpu = call_string(context, "gpu");
	const char *argv[8] = { "glassbox", "pixel-cpu", target_name(context->target) };
	int n = 3, status;
	if (gpu && !strcmp(gpu, "any"))
		argv[n++] = "--software";
	if (library) {
		argv[n++] = "--library";
		argv[n++] = library;
	}
	pid_t child = fork();
	if (child < 0)
		return error_system(errno, "cannot start the Pixel CPU service");
	if (!child) {
		int nothing = open("/dev/null", O_RDWR);
		setsid();
		if (fork())
			_exit(0);
		for (int fd = 0; fd < 3; fd++)
			dup2(nothing, fd);
		close_range(3, ~0u, 0);
		execv("/proc/self/exe", (char *const *)(uintptr_t)argv);
		_exit(1);
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		continue;
	return NULL;
}

/* Waits until the service says what it is, but not for ever: compiling shaders takes time. */
static struct error *await_service(const char *vm)
{
	enum { PATIENCE_MS = 10000, STEP_MS = 20 };
	for (int waited = 0; waited < PATIENCE_MS; waited += STEP_MS) {
		AUTO(own_json) json_t *report = NULL;
		TRY(pixel_file_report(vm, &report));
		const char *state = json_string_value(json_object_get(report, "state"));
		if (!state || !strcmp(state, "ready") || !strcmp(state, "no device"))
			return NULL;
		nanosleep(&(struct timespec){ 0, STEP_MS * 1000000L }, NULL);
	}
	return NULL;
}

static struct error *use_gpu(struct call_context *context)
{
	AUTO(own_json) json_t *report = NULL;
	const char *gpu = call_string(context, "gpu"), *vm = target_name(context->target);
	TRY(pixel_file_report(vm, &report));
	const char *state = json_string_value(json_object_get(report, "state"));
	if ((gpu && !strcmp(gpu, "off")) || !state || !strcmp(state, "ready"))
		return NULL;
	TRY(pixel_file_forget(vm));
	TRY(start_service(context));
	return await_service(vm);
}

static struct error *check_slice(struct call_context *context)
{
	enum { LEAST_US = 100, MOST_US = 1000000 };
	uint64_t us = call_integer(context, "slice_us", LEAST_US);
	if (us < LEAST_US || us > MOST_US)
		return error_create(ERR_USAGE, "a slice takes %d to %d us, not %llu", LEAST_US,
				    MOST_US, (unsigned long long)us);
	return NULL;
}

static struct error *switch_on(struct call_context *context, struct trace_source *source,
			       json_t **left_out_ret, bool *can_migrate_ret)
{
	AUTO(own_library) struct library *library = NULL;
	size_t n;
	TRY(check_slice(context));
	TRY(offload_check(source));
	TRY(library_open(call_string(context, "library"), &library));
	TRY(offload_put_library(source, library, &n, left_out_ret));
	TRY(tell_ram(context, source));
	TRY(offload_calibrate(source));
	const char *tier = call_string(context, "tier"),
		   *listen = call_string(context, "listen");
	bool always = listen && !strcmp(listen, "always");
	uint64_t slice_us = call_integer(context, "slice_us", 0);
	struct offload_wish wish = {
		.offload = always ? GB_OFFLOAD_ON : GB_OFFLOAD_AUTO,
		.tier = !tier || !strcmp(tier, "auto") ? GB_TIER_NONE
			: !strcmp(tier, "gpu")	       ? GB_TIER_GPU
						       : GB_TIER_NATIVE,
		.slice_us = (uint32_t)slice_us,
	};
	TRY(offload_guarded(target_vm(context->target), source, &wish, can_migrate_ret));
	return use_gpu(context);
}

static struct error *open_source(struct target *target, struct trace_source **ret)
{
	char path[256];
	trace_source_path(target_name(target), path, sizeof(path));
	return trace_source_open(path, ret);
}

static struct error *report(struct target *target, struct trace_source *source, json_t **ret)
{
	AUTO(own_json) json_t *document = NULL;
	TRY(offload_report(source, &document));
	json_object_set_new(document, "vm", json_string(target_name(target)));
	json_t *service = NULL;
	TRY(pixel_file_report(target_name(target), &service));
	json_object_set_new(document, "pixel_cpu", service);
	*ret = TAKE(document);
	return NULL;
}

struct error *hybrid_report(struct target *target, json_t **ret)
{
	AUTO(own_trace_source) struct trace_source *source = NULL;
	TRY(open_source(target, &source));
	return report(target, source, ret);
}

static struct error *run_hybrid(struct call_context *context, json_t **ret)
{
	return hybrid_report(context->target, ret);
}

static json_t *migration_word(const char *state, bool can_migrate)
{
	if (!can_migrate)
		return json_string("refused");
	return json_string(strcmp(state, "on") ? "possible"
					       : "this QEMU cannot refuse it: switch offload "
						 "off before you migrate the VM");
}

static struct error *run_offload(struct call_context *context, json_t **ret)
{
	AUTO(own_trace_source) struct trace_source *source = NULL;
	AUTO(own_json) json_t *left_out = json_array(), *document = NULL;
	const char *wanted = call_string(context, "state");
	bool can_migrate;
	TRY(open_source(context->target, &source));
	if (wanted && !strcmp(wanted, "on")) {
		json_decref(TAKE(left_out));
		TRY(switch_on(context, source, &left_out, &can_migrate));
	}
	if (wanted && !strcmp(wanted, "off"))
		TRY(offload_guarded(target_vm(context->target), source,
				    &(struct offload_wish){ .offload = GB_OFFLOAD_OFF },
				    &can_migrate));
	TRY(report(context->target, source, &document));
	json_object_set(document, "left_out", left_out);
	if (wanted)
		json_object_set_new(document, "migration", migration_word(wanted, can_migrate));
	*ret = TAKE(document);
	return NULL;
}

static const struct call_param offload_params[] = {
	{ "state", CALL_STRING, .positional = true, .placeholder = "on|off",
	  .choices = "on,off", .help = "switch it; without it: what it did so far" },
	{ "library", CALL_PATH, .local = true, .placeholder = "DIR",
	  .help = "kernel library; the user's own if not given" },
	{ "gpu", CALL_STRING, .placeholder = "auto|any|off", .choices = "auto,any,off",
	  .help = "auto: long loops go to a GPU if there is one; any: a software device will "
		  "do, for tests" },
	{ "listen", CALL_STRING, .placeholder = "auto|always", .choices = "auto,always",
	  .help = "auto: QEMU's code is left alone while kernels save less than looking for "
		  "their loops costs; always: loops that are short-lived are served as well" },
	{ "tier", CALL_STRING, .placeholder = "auto|native|gpu", .choices = "auto,native,gpu",
	  .help = "auto: what measures better; else always that one, where it can be" },
	{ "slice_us", CALL_INTEGER, .placeholder = "US",
	  .help = "longest stall of the guest by a kernel at once; 1000 if not given" },
	{ 0 },
};

const struct call call_offload = {
	.name = "offload",
	.group = "learning",
	.summary = "run learned kernels in place of the guest's loops",
	.details =
		"`on` compiles every kernel of the library for this machine and lets the VM's "
		"QEMU run\nthem wherever their loop occurs and their guard holds; everything "
		"else "
		"stays as it\nis. `off` at any time. While it is on, QEMU refuses to migrate "
		"the "
		"VM. Without a word:\nwhat the kernels did. Needs a VM started with --learn "
		"and "
		"QEMU 11.1.",
	.examples = "  glassbox offload demo on\n  glassbox offload demo --json\n"
		    "  glassbox offload demo off",
	.flags = CALL_TARGET | CALL_LIVE_ONLY | CALL_CHANGES | CALL_SLOW,
	.params = offload_params,
	.run = run_offload,
};

const struct call call_hybrid = {
	.name = "hybrid",
	.group = "learning",
	.summary = "who does the guest's work: QEMU or the Pixel CPU",
	.details =
		"Changes nothing. `share`: percent of the guest's instructions done by QEMU "
		"and "
		"by\nkernels since offload was first switched on; `kernels`: what each of them "
		"did, what it\ncosts, what it saved, and why its guard failed.",
	.examples = "  glassbox hybrid demo\n  glassbox hybrid demo --json",
	.flags = CALL_TARGET | CALL_LIVE_ONLY,
	.run = run_hybrid,
};

static struct error *run_pixel_cpu(struct call_context *context, json_t **ret)
{
	struct pixel_service_params params = {
		.vm = target_name(context->target),
		.library = call_string(context, "library"),
		.device = call_string(context, "device"),
		.software = call_bool(context, "software"),
		.qemu = vm_pid(target_vm(context->target)),
	};
	TRY(pixel_service_run(&params));
	return pixel_file_report(params.vm, ret);
}

static const struct call_param pixel_cpu_params[] = {
	{ "library", CALL_PATH, .placeholder = "DIR",
	  .help = "kernel library; the user's own if not given" },
	{ "device", CALL_STRING, .placeholder = "NAME", .help = "part of a GPU's name" },
	{ "software", CALL_BOOL, .help = "a device that is no GPU will do" },
	{ 0 },
};

const struct call call_pixel_cpu = {
	.name = "pixel-cpu",
	.group = "programs",
	.summary = "serve a VM's long loops on a GPU (`offload VM on` starts it)",
	.details = "Runs until offload is switched off or the VM ends. It may be killed at any "
		   "time: the guest\ngoes on without it.",
	.flags = CALL_TARGET | CALL_LIVE_ONLY | CALL_CLI_ONLY,
	.params = pixel_cpu_params,
	.run = run_pixel_cpu,
};
