/* Names for addresses in traces: kernel symbols from the guest's own table, processes by their
 * page table. Works without a kernel too: then names are addresses. Thread: one. */
#ifndef BOX_TRACE_NAMES_H
#define BOX_TRACE_NAMES_H
#include <stddef.h>
#include <stdint.h>

#include "base/own.h"
struct error;
struct target;
struct trace_names;

/* Caller owns *ret; target is borrowed. */
struct error *trace_names_create(struct target *target, struct trace_names **ret);
void trace_names_destroy(struct trace_names *names);
OWN_DECLARE(own_trace_names, struct trace_names *, trace_names_destroy)

/* A trace_placer: "do_syscall_64", "workload[61] xor_words", "cat[7] libc.so.6:read"; the place
 * in the file, or just the address, when the program has no symbols in memory. */
void trace_names_place(void *names, uint64_t cr3, uint64_t gva, char *ret, size_t ret_bytes,
		       uint64_t *into_ret);

/* Page table of the process with this pid, or 0. */
uint64_t trace_names_cr3(const struct trace_names *names, int64_t pid);
/* "workload[61]", or "" when no process has this page table. */
void trace_names_process(struct trace_names *names, uint64_t cr3, char *ret, size_t ret_bytes);
#endif
