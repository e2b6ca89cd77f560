/* The call that lets a VM run learned kernels, and tells what they did. */
#include <string.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "base/vec.h"
#include "box/call_offload.h"
#include "box/calls.h"
#include "box/guest_call.h"
#include "box/target.h"
#include "learn/library.h"
#include "offload/from_library.h"
#include "offload/report.h"
#include "offload/slots.h"
#include "trace/source.h"

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

static struct error *switch_on(struct call_context *context, struct trace_source *source,
			       json_t **left_out_ret)
{
	AUTO(own_library) struct library *library = NULL;
	size_t n;
	TRY(offload_check(source));
	TRY(library_open(call_string(context, "library"), &library));
	TRY(offload_put_library(source, library, &n, left_out_ret));
	TRY(tell_ram(context, source));
	TRY(offload_calibrate(source));
	return offload_switch(source, true);
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

static struct error *run_offload(struct call_context *context, json_t **ret)
{
	AUTO(own_trace_source) struct trace_source *source = NULL;
	AUTO(own_json) json_t *left_out = json_array(), *document = NULL;
	const char *wanted = call_string(context, "state");
	TRY(open_source(context->target, &source));
	if (wanted && !strcmp(wanted, "on")) {
		json_decref(TAKE(left_out));
		TRY(switch_on(context, source, &left_out));
	}
	if (wanted && !strcmp(wanted, "off"))
		TRY(offload_switch(source, false));
	TRY(report(context->target, source, &document));
	json_object_set(document, "left_out", left_out);
	*ret = TAKE(document);
	return NULL;
}

static const struct call_param offload_params[] = {
	{ "state", CALL_STRING, .positional = true, .placeholder = "on|off",
	  .choices = "on,off", .help = "switch it; without it: what it did so far" },
	{ "library", CALL_PATH, .placeholder = "DIR",
	  .help = "kernel library; the user's own if not given" },
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
		"stays as it\nis. `off` at any time. Without a word: what the kernels did. "
		"Needs "
		"a VM started with\n--learn and QEMU 11.1.",
	.examples = "  glassbox offload demo on\n  glassbox offload demo --json\n"
		    "  glassbox offload demo off",
	.flags = CALL_TARGET | CALL_LIVE_ONLY | CALL_CHANGES,
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
