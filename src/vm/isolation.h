/* What QEMU, which runs hostile guests, is not allowed to do: its user, its resource limits,
 * its namespaces. Prepared by the starter, entered by QEMU's process just before exec, taken
 * down by the keeper. */
#ifndef VM_ISOLATION_H
#define VM_ISOLATION_H
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "vm/spec.h"
struct error;

struct isolation {
	bool enabled;
	uint64_t memory_limit_bytes;
};

/* Decides what is possible here and prepares it. *report_ret: what `status` tells; owned. */
struct error *isolation_prepare(const struct vm_spec *spec, struct isolation *ret,
				json_t **report_ret);

/* In QEMU's process, between fork and exec. Prints and ends the process when a promised
 * protection cannot be had. */
void isolation_enter(const struct isolation *isolation);

/* In the keeper, when QEMU is gone. */
void isolation_leave(const struct isolation *isolation);
#endif
