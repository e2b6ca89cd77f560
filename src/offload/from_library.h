/* From the library of learned kernels to a VM's slots: checks each document, compiles its
 * microcode for this machine, puts it in. Thread: one; compiling runs gcc as a child. */
#ifndef OFFLOAD_FROM_LIBRARY_H
#define OFFLOAD_FROM_LIBRARY_H
#include <jansson.h>
#include <stddef.h>
struct error;
struct library;
struct trace_source;

/* Kernels that cannot be compiled or placed are left out and named in *left_out_ret, an array
 * of { id, reason } (new reference). *n_ret: kernels in slots afterwards. Fails when the
 * library or the shared file cannot be used at all. */
struct error *offload_put_library(struct trace_source *source, struct library *library,
				  size_t *n_ret, json_t **left_out_ret);
#endif
