/* What `run` says about a VM that was just started. */
#ifndef BOX_RUN_ANSWER_H
#define BOX_RUN_ANSWER_H
#include <jansson.h>
struct error;
struct vm_start;
struct vm_spec;

/* {name, pid, accel, accel_why, boot_ms, ready_ms}; NULL without memory. */
json_t *run_document(const struct vm_start *start);

/* Starts a VM, warm if the spec says so. Caller owns *ret. */
struct error *run_start(const struct vm_spec *spec, struct vm_start **ret);

/* Starts a VM, waits for a demo guest to be up, lets it live on its own. Caller owns *ret. */
struct error *run_detached(const struct vm_spec *spec, json_t **ret);
#endif
