/* `bench hybrid`: what executing loops elsewhere gains, inside one running guest. Thread: one.
 */
#ifndef BOX_BENCH_HYBRID_H
#define BOX_BENCH_HYBRID_H
#include <jansson.h>
struct error;

/* Appends rows. Native code only, by the vCPU thread's processor time; then, where there is a
 * GPU, large arrays by the guest's clock. */
struct error *bench_hybrid(json_t *rows);

/* The large arrays alone; gpu: "any": a software device will do; "off": all but the large
 * arrays. */
struct error *bench_hybrid_large(const char *gpu, json_t *rows);
#endif
