/* `bench guest`: how fast kernels are found and read: in a dump, beside other tools where they
 * are installed, and in guests of its own. Rows are as the bench call documents them. Thread:
 * one. */
#ifndef BOX_BENCH_KERNEL_H
#define BOX_BENCH_KERNEL_H
#include <jansson.h>
#include <stdbool.h>
struct error;

/* Appends rows to the array. Without a dump, one is made of a demo guest. */
struct error *bench_kernel(const char *dump, bool with_peers, json_t *rows);
#endif
