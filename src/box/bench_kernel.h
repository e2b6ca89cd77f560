/* `bench guest`: how fast a dump's kernel is found and read, beside Volatility 3 on the same
 * dump where it is installed. Rows are as the bench call documents them. Thread: one. */
#ifndef BOX_BENCH_KERNEL_H
#define BOX_BENCH_KERNEL_H
#include <jansson.h>
struct error;

/* Appends rows to the array. ERR_USAGE without a dump. */
struct error *bench_kernel(const char *dump, json_t *rows);
#endif
