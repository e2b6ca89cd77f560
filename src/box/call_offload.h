/* What the calls about offload share with the metrics. Thread: the target's. */
#ifndef BOX_CALL_OFFLOAD_H
#define BOX_CALL_OFFLOAD_H
#include <jansson.h>
struct error;
struct target;

/* The document of `hybrid`. Caller owns *ret. ERR_NOT_FOUND: the VM has no plugin. */
struct error *hybrid_report(struct target *target, json_t **ret);
#endif
