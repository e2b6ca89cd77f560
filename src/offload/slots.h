/* Kernels in a VM's shared file: puts compiled kernels into the plugin's slots, switches
 * offload on and off, reads what they did. Thread: one per trace source. */
#ifndef OFFLOAD_SLOTS_H
#define OFFLOAD_SLOTS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/own.h"
#include "plugin/control.h"
#include "plugin/kernel_abi.h"
struct error;
struct mcode_image;
struct trace_source;

struct offload_kernel {
	uint64_t id; /* first 8 bytes of the kernel's hash */
	const uint8_t *loop; /* exact code bytes */
	uint32_t loop_bytes;
	uint32_t head_offset;
	uint64_t gva; /* only at this address; 0: anywhere */
	uint64_t cr3; /* only under this page table; 0: any */
	uint32_t n_insns; /* of one iteration */
	uint32_t tcg_ps; /* per iteration under TCG; 0: unknown */
	uint32_t min_iterations; /* 0: the plugin's default */
	const struct mcode_image *image;
};

/* Fails: ERR_UNSUPPORTED when this QEMU's plugin cannot offload. */
struct error *offload_check(struct trace_source *source);

/* Puts kernels into free slots, up to as many as there are; the same id is put once. Nothing
 * runs before offload_switch. *n_ret: how many are in slots afterwards. Fails: ERR_LIMIT when
 * slots or code space are full. */
struct error *offload_put(struct trace_source *source, const struct offload_kernel *kernels,
			  size_t n, size_t *n_ret);

/* A kernel that lost against TCG may be put again: it was learned anew. */
struct error *offload_forgive(struct trace_source *source, uint64_t id);

/* Takes every kernel out; the plugin forgets them at the next switch. */
struct error *offload_clear_slots(struct trace_source *source);

/* Tells the plugin where RAM lies, from (gpa, bytes, file offset) triples. */
struct error *offload_ram(struct trace_source *source, const uint64_t (*segments)[3], size_t n);

/* Finds out how fast QEMU does guest instructions, by counting for a third of a second, unless
 * that is known or somebody is watching. What the guest does not do meanwhile stays unknown. */
struct error *offload_calibrate(struct trace_source *source);

struct offload_wish {
	enum gb_offload offload;
	enum gb_tier tier; /* the one to use wherever it can be; GB_TIER_NONE: the better one */
	uint32_t slice_us; /* longest stall of the guest at once; 0: 1000 */
};

/* Switches, and makes the plugin take over what was put. The watching mode stays as it is. */
struct error *offload_switch(struct trace_source *source, const struct offload_wish *wish);

/* A slot as it is now; false: empty. */
struct error *offload_slot(struct trace_source *source, unsigned index, struct gb_kernel *ret,
			   bool *used_ret);

/* The first 16 digits of a kernel's id, as the slot's number. */
uint64_t offload_short_id(const char *id);

/* Words for a plan result and for a refusal. */
const char *offload_reason(unsigned plan_result);
const char *offload_refusal(unsigned refusal);
#endif
