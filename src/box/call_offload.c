/* The call that lets a VM run learned kernels, and tells what they did. */
#include <string.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "base/vec.h"
#include "box/calls.h"
#include "box/guest_call.h"
#include "box/target.h"
#include "learn/library.h"
#include "offload/from_library.h"
#include "offload/slots.h"
#include "trace/source.h"

static json_t *failures_json(const struct gb_kernel *slot)
{
	json_t *failures = json_object();
	for (unsigned i = 1; i < GB_PLAN_REASONS; i++)
		if (slot->failures[i])
			json_object_set_new(failures, offload_reason(i),
					    json_integer((json_int_t)slot->failures[i]));
	return failures;
}

static const char *state_word(const struct gb_kernel *slot)
{
	switch (slot->state) {
	case GB_KERNEL_READY:
		return "waiting";
	case GB_KERNEL_LOADED:
		return slot->heads ? "attached" : "loaded";
	default:
		return "refused";
	}
}

static json_t *slot_json(const struct gb_kernel *slot)
{
	const char *refusal = offload_refusal(slot->refusal);
	return json_pack("{s:o, s:s, s:s?, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "id",
			 call_hex(slot->id), "state", state_word(slot), "reason", refusal,
			 "heads", (json_int_t)slot->heads, "entries", (json_int_t)slot->entries,
			 "executions", (json_int_t)slot->executions, "iterations",
			 (json_int_t)slot->iterations, "instructions",
			 (json_int_t)(slot->iterations * slot->n_insns), "bytes",
			 (json_int_t)slot->bytes, "ns", (json_int_t)slot->ns, "failures",
			 failures_json(slot));
}

static struct error *add_slots(struct trace_source *source, json_t *list)
{
	for (unsigned i = 0; i < GB_KERNEL_SLOTS; i++) {
		struct gb_kernel slot;
		bool used;
		TRY(offload_slot(source, i, &slot, &used));
		if (used)
			TRY(json_list_add(list, slot_json(&slot)));
	}
	return NULL;
}

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
	return offload_switch(source, true);
}

static struct error *run_offload(struct call_context *context, json_t **ret)
{
	AUTO(own_trace_source) struct trace_source *source = NULL;
	AUTO(own_json) json_t *left_out = NULL, *kernels = json_array();
	const char *wanted = call_string(context, "state");
	struct gb_control state;
	char path[256];
	trace_source_path(target_name(context->target), path, sizeof(path));
	TRY(trace_source_open(path, &source));
	if (wanted && !strcmp(wanted, "on"))
		TRY(switch_on(context, source, &left_out));
	if (wanted && !strcmp(wanted, "off"))
		TRY(offload_switch(source, false));
	TRY(trace_source_state(source, &state));
	TRY(add_slots(source, kernels));
	*ret = json_pack("{s:s, s:s, s:O, s:o}", "vm", target_name(context->target), "offload",
			 state.offload ? "on" : "off", "kernels", kernels, "left_out",
			 left_out ? json_incref(left_out) : json_array());
	return *ret ? NULL : error_create(ERR_MEMORY, "out of memory");
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
