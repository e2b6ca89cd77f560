/* What kernels did, as JSON: one kernel's slot, and who does the guest's work. Thread: any. */
#ifndef OFFLOAD_REPORT_H
#define OFFLOAD_REPORT_H
#include <jansson.h>
struct error;
struct gb_kernel;
struct trace_source;

/* A slot's counters and prices. New reference, or NULL without memory. */
json_t *offload_slot_json(const struct gb_kernel *slot);

/* The same fields put into an object that has some already. */
void offload_slot_fields(json_t *to, const struct gb_kernel *slot);

/* {offload, share, kernels}; caller owns *ret. share: percent of the guest's instructions done
 * by qemu and by pixel_cpu (native + gpu), null as long as QEMU's speed is unknown; `basis`
 * says how that is known: "counted" (all blocks were counted for a while) or "kernels" (the
 * learned loops' own speed under TCG). */
struct error *offload_report(struct trace_source *source, json_t **ret);

/* "waiting", "attached", "loaded", "retired", "refused". */
const char *offload_state_word(const struct gb_kernel *slot);
#endif
