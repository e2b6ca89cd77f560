/* The names chunk of a trace file: what lies at each block's address, so that a trace can be
 * read without the guest it came from. Thread: one per object. */
#ifndef TRACE_FILE_NAMES_H
#define TRACE_FILE_NAMES_H
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "base/own.h"
struct error;
struct trace_blocks;
struct trace_names_table;

/* Writes the function at an address ("do_syscall_64", "sh[12] busybox:main") into ret and the
 * bytes from its start into *into_ret; leaves ret empty when it does not know. */
typedef void trace_placer(void *user, uint64_t cr3, uint64_t gva, char *ret, size_t ret_bytes,
			  uint64_t *into_ret);

/* Writes the chunk for all blocks. Fails: ERR_SYSTEM, ERR_MEMORY. */
struct error *trace_file_names_write(FILE *out, const struct trace_blocks *blocks,
				     trace_placer *place, void *user);

/* Reads the chunk's data, which must stay where it is; entries that do not fit end it. NULL and
 * 0 give an empty table. Caller owns *ret. Fails: ERR_MEMORY. */
struct error *trace_names_table_create(const uint8_t *data, size_t n,
				       struct trace_names_table **ret);
void trace_names_table_destroy(struct trace_names_table *table);
OWN_DECLARE(own_trace_names_table, struct trace_names_table *, trace_names_table_destroy)

/* A trace_placer with a struct trace_names_table as user: knows the blocks' own addresses. */
void trace_names_table_place(void *table, uint64_t cr3, uint64_t gva, char *ret,
			     size_t ret_bytes, uint64_t *into_ret);
#endif
