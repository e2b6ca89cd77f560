/* Traces in other tools' formats: drcov (coverage, read by Lighthouse, bncov, ...) and folded
 * stacks (flame graphs). Names come from a callback, so that this room needs no guest. Thread:
 * one. */
#ifndef TRACE_EXPORT_H
#define TRACE_EXPORT_H
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "base/own.h"
struct error;
struct trace_blocks;
struct trace_edge;
struct trace_space;

/* Writes a name for an address ("[kernel] do_syscall_64") into ret; may leave it empty. cr3 is
 * 0 for the kernel. */
typedef void trace_namer(void *user, uint64_t cr3, uint64_t gva, char *ret, size_t ret_bytes);

/* drcov version 2. Modules are runs of executed code without gaps of 16 MiB or more, named by
 * the namer's answer for their first block. */
struct error *trace_export_drcov(FILE *out, const struct trace_blocks *blocks,
				 const uint8_t *executed, trace_namer *name, void *user);

/* Call stacks, rebuilt from calls and returns as blocks go by. */
struct trace_stacks;
struct error *trace_stacks_create(const struct trace_blocks *blocks, struct trace_stacks **ret);
void trace_stacks_destroy(struct trace_stacks *stacks);
OWN_DECLARE(own_trace_stacks, struct trace_stacks *, trace_stacks_destroy)

struct error *trace_stacks_add(struct trace_stacks *stacks, unsigned vcpu,
			       const uint64_t *words, size_t n);

/* One line per distinct stack: outermost;...;innermost instructions. */
struct error *trace_stacks_write(const struct trace_stacks *stacks, FILE *out,
				 trace_namer *name, void *user);
#endif
