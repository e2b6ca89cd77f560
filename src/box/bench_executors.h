/* `bench executors`: the Pixel CPU's executors on small loops, beside the same loops in C. Rows
 * are as the bench call documents them. Thread: one. */
#ifndef BOX_BENCH_EXECUTORS_H
#define BOX_BENCH_EXECUTORS_H
#include <jansson.h>
struct error;

/* Appends rows to the array. device: part of a GPU's name, or NULL. */
struct error *bench_executors(const char *device, json_t *rows);
#endif
