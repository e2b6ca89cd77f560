/* `bench hybrid`: what executing loops elsewhere gains, inside one running guest. Thread: one.
 */
#ifndef BOX_BENCH_HYBRID_H
#define BOX_BENCH_HYBRID_H
#include <jansson.h>
struct error;

/* Appends rows. Native code only; times are the vCPU thread's processor time. */
struct error *bench_hybrid(json_t *rows);
#endif
