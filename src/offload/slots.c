#include "offload/slots.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "mcode/native.h"
#include "plugin/control.h"
#include "trace/capture.h"
#include "trace/source.h"

enum { REQUEST_MS = 5000 };

static struct error *read_state(struct trace_source *source, struct gb_control *ret)
{
	TRY(trace_source_state(source, ret));
	if (ret->kernels.bytes < GB_KERNEL_SLOTS * sizeof(struct gb_kernel))
		return error_create(ERR_BAD_DATA, "the trace file has no room for kernels");
	return NULL;
}

struct error *offload_check(struct trace_source *source)
{
	struct gb_control state;
	TRY(read_state(source, &state));
	if (state.can_offload)
		return NULL;
	return error_hint(error_create(ERR_UNSUPPORTED,
				       "this QEMU's plugin interface (%u) cannot "
				       "write registers: no offload",
				       state.plugin_api),
			  "QEMU 11.1 or newer can");
}

static uint64_t slot_offset(const struct gb_control *state, unsigned index)
{
	return state->kernels.offset + index * sizeof(struct gb_kernel);
}

struct error *offload_slot(struct trace_source *source, unsigned index, struct gb_kernel *ret,
			   bool *used_ret)
{
	struct gb_control state;
	TRY(read_state(source, &state));
	if (index >= GB_KERNEL_SLOTS)
		return error_create(ERR_NOT_FOUND, "no kernel slot %u", index);
	TRY(trace_source_read(source, slot_offset(&state, index), ret, sizeof(*ret)));
	*used_ret = ret->state == GB_KERNEL_READY || ret->state == GB_KERNEL_LOADED ||
		    ret->state == GB_KERNEL_REFUSED || ret->state == GB_KERNEL_LOST;
	return NULL;
}

/* What is in the slots: which are free, which ids are there, where free code space begins. */
struct census {
	uint64_t ids[GB_KERNEL_SLOTS];
	bool used[GB_KERNEL_SLOTS];
	uint32_t serials[GB_KERNEL_SLOTS];
	uint64_t code_end;
	size_t n_used;
};

static struct error *take_census(struct trace_source *source, struct census *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (unsigned i = 0; i < GB_KERNEL_SLOTS; i++) {
		struct gb_kernel slot;
		TRY(offload_slot(source, i, &slot, &ret->used[i]));
		ret->serials[i] = slot.serial;
		if (!ret->used[i])
			continue;
		ret->ids[i] = slot.id;
		ret->n_used++;
		if (slot.code_offset < GB_KERNEL_CODE_BYTES &&
		    slot.code_bytes <= GB_KERNEL_CODE_BYTES - slot.code_offset &&
		    slot.code_offset + slot.code_bytes > ret->code_end)
			ret->code_end = slot.code_offset + slot.code_bytes;
	}
	return NULL;
}

static bool census_has(const struct census *census, uint64_t id)
{
	for (unsigned i = 0; i < GB_KERNEL_SLOTS; i++)
		if (census->used[i] && census->ids[i] == id)
			return true;
	return false;
}

static unsigned census_free(const struct census *census)
{
	unsigned i = 0;
	while (i < GB_KERNEL_SLOTS && census->used[i])
		i++;
	return i;
}

static struct error *fill_slot(const struct offload_kernel *k, struct gb_kernel *slot)
{
	if (!k->loop_bytes || k->loop_bytes > GB_KERNEL_MAX_LOOP_BYTES ||
	    k->head_offset >= k->loop_bytes)
		return error_create(ERR_UNSUPPORTED,
				    "a loop of %u bytes is too long to replace", k->loop_bytes);
	slot->id = k->id;
	slot->cr3 = k->cr3;
	slot->gva = k->gva;
	slot->in_gpr = k->image->in_gpr;
	slot->in_xmm = k->image->in_xmm;
	slot->out_gpr = k->image->out_gpr;
	slot->out_xmm = k->image->out_xmm;
	slot->code_bytes = k->image->size_bytes;
	slot->plan_offset = k->image->plan_offset;
	slot->run_offset = k->image->run_offset;
	slot->features = k->image->features;
	slot->uneven = k->image->uneven;
	slot->min_iterations = k->min_iterations;
	slot->loop_bytes = k->loop_bytes;
	slot->head_offset = k->head_offset;
	slot->n_insns = k->n_insns;
	slot->tcg_ps = k->tcg_ps;
	memcpy(slot->loop, k->loop, k->loop_bytes);
	return NULL;
}

static struct error *put_one(struct trace_source *source, const struct offload_kernel *k,
			     struct census *census)
{
	struct gb_control state;
	struct gb_kernel slot = { 0 };
	unsigned index = census_free(census);
	uint64_t code_at = (census->code_end + 63) & ~63ull;
	uint32_t ready = GB_KERNEL_READY;
	if (index == GB_KERNEL_SLOTS || k->image->size_bytes > GB_KERNEL_CODE_BYTES - code_at)
		return error_create(ERR_LIMIT, "no room for more kernels");
	TRY(fill_slot(k, &slot));
	TRY(read_state(source, &state));
	slot.serial = census->serials[index] + 1;
	slot.code_offset = code_at;
	TRY(trace_source_write(source, state.kernel_code.offset + code_at, k->image->bytes,
			       k->image->size_bytes));
	TRY(trace_source_write(source, slot_offset(&state, index), &slot, sizeof(slot)));
	TRY(trace_source_write(source, slot_offset(&state, index), &ready, sizeof(ready)));
	census->used[index] = true;
	census->ids[index] = k->id;
	census->code_end = code_at + k->image->size_bytes;
	census->n_used++;
	return NULL;
}

struct error *offload_put(struct trace_source *source, const struct offload_kernel *kernels,
			  size_t n, size_t *n_ret)
{
	struct census census;
	TRY(take_census(source, &census));
	for (size_t i = 0; i < n; i++)
		if (!census_has(&census, kernels[i].id))
			TRY(put_one(source, &kernels[i], &census));
	*n_ret = census.n_used;
	return NULL;
}

struct error *offload_forgive(struct trace_source *source, uint64_t id)
{
	struct gb_control state;
	uint32_t retired = GB_KERNEL_RETIRED;
	TRY(read_state(source, &state));
	for (unsigned i = 0; i < GB_KERNEL_SLOTS; i++) {
		struct gb_kernel slot;
		bool used;
		TRY(offload_slot(source, i, &slot, &used));
		if (used && slot.id == id && slot.state == GB_KERNEL_LOST)
			TRY(trace_source_write(source, slot_offset(&state, i), &retired,
					       sizeof(retired)));
	}
	return NULL;
}

struct error *offload_clear_slots(struct trace_source *source)
{
	struct gb_control state;
	uint32_t retired = GB_KERNEL_RETIRED;
	TRY(read_state(source, &state));
	for (unsigned i = 0; i < GB_KERNEL_SLOTS; i++) {
		struct gb_kernel slot;
		bool used;
		TRY(offload_slot(source, i, &slot, &used));
		if (used)
			TRY(trace_source_write(source, slot_offset(&state, i), &retired,
					       sizeof(retired)));
	}
	return NULL;
}

struct error *offload_ram(struct trace_source *source, const uint64_t (*segments)[3], size_t n)
{
	struct gb_ram_segment list[GB_MAX_RAM_SEGMENTS] = { 0 };
	uint32_t count = n < GB_MAX_RAM_SEGMENTS ? (uint32_t)n : GB_MAX_RAM_SEGMENTS;
	for (uint32_t i = 0; i < count; i++)
		list[i] = (struct gb_ram_segment){ segments[i][0], segments[i][1],
						   segments[i][2] };
	TRY(trace_source_write(source, offsetof(struct gb_control, ram_segment), list,
			       sizeof(list)));
	return trace_source_write(source, offsetof(struct gb_control, n_ram_segments), &count,
				  sizeof(count));
}

/* Long enough for several copies of the counts, which come every 50 ms. */
static struct error *wait_for_counts(void *user)
{
	nanosleep(&(struct timespec){ 0, *(const long *)user * 1000000L }, NULL);
	return NULL;
}

struct error *offload_calibrate(struct trace_source *source)
{
	enum { ENOUGH_NS = 20 * 1000 * 1000 };
	long watch_ms = 300;
	struct gb_control state;
	TRY(read_state(source, &state));
	if (state.request.mode != GB_MODE_OFF || state.request.offload ||
	    state.counted_vcpu_ns >= ENOUGH_NS)
		return NULL;
	struct gb_request counting = { .mode = GB_MODE_COUNT };
	return trace_watch(source, &counting, wait_for_counts, &watch_ms);
}

static void switch_offload(struct gb_request *request, const void *user)
{
	const struct offload_wish *wish = user;
	request->offload = wish->offload;
	request->tier = wish->tier;
	request->slice_us = wish->slice_us;
}

struct error *offload_switch(struct trace_source *source, const struct offload_wish *wish)
{
	struct gb_control state;
	TRY(read_state(source, &state));
	return trace_source_change(source, switch_offload, wish, REQUEST_MS);
}

uint64_t offload_short_id(const char *id)
{
	char text[17] = "";
	strncpy(text, id, 16);
	return strtoull(text, NULL, 16);
}

const char *offload_reason(unsigned plan_result)
{
	switch (plan_result) {
#define REASON_CASE(name, number, text) \
	case number:                    \
		return text;
		GB_PLAN_RESULTS(REASON_CASE)
#undef REASON_CASE
	default:
		return "unknown";
	}
}

const char *offload_refusal(unsigned refusal)
{
	static const char *const words[] = { NULL,
					     "image outside its area",
					     "loop bytes missing",
					     "this host's CPU lacks an instruction set",
					     "no executable memory",
					     "needs a register the plugin cannot write" };
	return refusal < sizeof(words) / sizeof(*words) ? words[refusal] : "unknown";
}
