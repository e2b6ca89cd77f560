/* The row of `bench hybrid` about booting. Thread: one. */
#ifndef BOX_BENCH_HYBRID_BOOT_H
#define BOX_BENCH_HYBRID_BOOT_H
#include <jansson.h>
struct error;

/* With the kernels of the user's own library. */
struct error *bench_hybrid_boot(json_t *rows);
#endif
