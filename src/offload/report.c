#include "offload/report.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/error.h"
#include "offload/slots.h"
#include "plugin/control.h"
#include "trace/source.h"

OWN_DECLARE(own_json, json_t *, json_decref)

static void put(json_t *to, const char *key, uint64_t value)
{
	json_object_set_new(to, key, json_integer((json_int_t)value));
}

/* null for what is not measured yet. */
static void put_ratio(json_t *to, const char *key, double a, double b)
{
	json_object_set_new(to, key, a > 0 && b > 0 ? json_real(a / b) : json_null());
}

static json_t *failures_json(const struct gb_kernel *slot)
{
	json_t *failures = json_object();
	for (unsigned i = 1; i < GB_PLAN_REASONS; i++)
		if (slot->failures[i])
			put(failures, offload_reason(i), slot->failures[i]);
	return failures;
}

static json_t *gpu_json(const struct gb_kernel *slot)
{
	json_t *gpu = json_object();
	put(gpu, "executions", slot->gpu_executions);
	put(gpu, "iterations", slot->gpu_iterations);
	put(gpu, "ns", slot->gpu_ns);
	put(gpu, "late", slot->gpu_late);
	put(gpu, "failed", slot->gpu_failed);
	put_ratio(gpu, "ns_per_iteration", slot->gpu_ps, 1000);
	return gpu;
}

const char *offload_state_word(const struct gb_kernel *slot)
{
	switch (slot->state) {
	case GB_KERNEL_READY:
		return "waiting";
	case GB_KERNEL_LOADED:
		return slot->heads ? "attached" : "loaded";
	case GB_KERNEL_LOST:
	case GB_KERNEL_RETIRED:
		return "retired";
	default:
		return "refused";
	}
}

static const char *tier_word(uint32_t tier)
{
	return tier == GB_TIER_GPU ? "gpu" : tier == GB_TIER_NATIVE ? "native" : "tcg";
}

void offload_slot_fields(json_t *to, const struct gb_kernel *slot)
{
	uint32_t here_ps = slot->tier == GB_TIER_GPU ? slot->gpu_ps : slot->native_ps;
	json_object_set_new(to, "state", json_string(offload_state_word(slot)));
	json_object_set_new(to, "tier", json_string(tier_word(slot->tier)));
	put(to, "heads", slot->heads);
	put(to, "entries", slot->entries);
	put(to, "executions", slot->executions);
	put(to, "iterations", slot->iterations);
	put(to, "instructions", slot->iterations * slot->n_insns);
	put(to, "bytes", slot->bytes);
	put(to, "ns", slot->ns);
	put(to, "idle_ns", slot->idle_ns);
	json_object_set_new(to, "saved_ns", json_integer(slot->saved_ns));
	put_ratio(to, "tcg_ns_per_iteration", slot->tcg_now_ps, 1000);
	put_ratio(to, "ns_per_iteration", here_ps, 1000);
	put_ratio(to, "speedup", slot->tcg_now_ps, here_ps);
	put(to, "entry_ns", slot->entry_ns);
	put(to, "least_iterations", slot->least_now);
	json_object_set_new(to, "gpu", gpu_json(slot));
	put(to, "tier_switches", slot->tier_switches);
	put(to, "retirements", slot->retirements);
	json_object_set_new(to, "failures", failures_json(slot));
}

json_t *offload_slot_json(const struct gb_kernel *slot)
{
	const char *refusal = offload_refusal(slot->refusal);
	char id[19];
	snprintf(id, sizeof(id), "0x%" PRIx64, slot->id);
	json_t *row = json_pack("{s:s, s:s?}", "id", id, "reason",
				slot->state == GB_KERNEL_LOST ? "slower than QEMU" : refusal);
	if (row)
		offload_slot_fields(row, slot);
	return row;
}

/* QEMU's instructions per nanosecond of vCPU time. */
struct speed {
	double insns_per_ns;
	const char *basis; /* NULL: unknown */
};

static struct speed qemu_speed(const struct gb_control *c, double loop_insns, double loop_ns)
{
	enum { LEAST_NS = 20 * 1000 * 1000 };
	if (c->counted_vcpu_ns >= LEAST_NS && c->counted_insns)
		return (struct speed){ (double)c->counted_insns / (double)c->counted_vcpu_ns,
				       "counted" };
	if (loop_ns > 0)
		return (struct speed){ loop_insns / loop_ns, "kernels" };
	return (struct speed){ 0, NULL };
}

static void put_percent(json_t *to, const char *key, double part, double all)
{
	json_object_set_new(to, key, all > 0 ? json_real(100 * part / all) : json_null());
}

static json_t *share_json(const struct gb_control *c, struct speed speed)
{
	double kernel_ns = (double)c->kernel_ns, all_ns = (double)c->offload_vcpu_ns;
	double qemu_ns = all_ns > kernel_ns ? all_ns - kernel_ns : 0;
	double kernels = (double)c->kernel_insns, gpu = (double)c->kernel_gpu_insns;
	double qemu = qemu_ns * speed.insns_per_ns;
	double all = speed.basis ? qemu + kernels : 0;
	json_t *share = json_object();
	put_percent(share, "qemu", qemu, all);
	put_percent(share, "pixel_cpu", kernels, all);
	put_percent(share, "native", kernels - gpu, all);
	put_percent(share, "gpu", gpu, all);
	json_object_set_new(share, "basis",
			    speed.basis ? json_string(speed.basis) : json_null());
	json_object_set_new(share, "qemu_instructions",
			    speed.basis ? json_integer((json_int_t)qemu) : json_null());
	put(share, "pixel_cpu_instructions", c->kernel_insns);
	put(share, "gpu_instructions", c->kernel_gpu_insns);
	put(share, "qemu_ns", (uint64_t)qemu_ns);
	put(share, "pixel_cpu_ns", c->kernel_ns);
	return share;
}

struct error *offload_report(struct trace_source *source, json_t **ret)
{
	AUTO(own_json) json_t *kernels = json_array();
	struct gb_control state;
	double loop_insns = 0, loop_ns = 0;
	for (unsigned i = 0; i < GB_KERNEL_SLOTS; i++) {
		struct gb_kernel slot;
		bool used;
		TRY(offload_slot(source, i, &slot, &used));
		if (!used)
			continue;
		if (json_array_append_new(kernels, offload_slot_json(&slot)))
			return error_create(ERR_MEMORY, "out of memory");
		if (!slot.tcg_now_ps)
			continue;
		loop_insns += (double)slot.iterations * slot.n_insns;
		loop_ns += (double)slot.iterations * slot.tcg_now_ps / 1000;
	}
	TRY(trace_source_state(source, &state));
	*ret = json_pack("{s:s, s:b, s:b, s:I, s:o, s:O}", "offload",
			 state.offload ? "on" : "off", "asleep", state.asleep != 0, "listening",
			 state.listening != 0, "naps", (json_int_t)state.naps, "share",
			 share_json(&state, qemu_speed(&state, loop_insns, loop_ns)), "kernels",
			 kernels);
	return *ret ? NULL : error_create(ERR_MEMORY, "out of memory");
}
