/* `bench viz`: how fast memory is drawn. Rows are as the bench call documents them. Thread:
 * one. */
#ifndef BOX_BENCH_VIZ_H
#define BOX_BENCH_VIZ_H
#include <jansson.h>
#include <stdbool.h>
struct error;
struct phys_mem;

struct bench_viz_params {
	const char *device; /* part of the GPU's name, or NULL */
	const char *file; /* a dump to draw; NULL: memory made up here */
	bool fill; /* put copies of the dump's pages where it has only zeros */
};

/* Appends rows to the array. */
struct error *bench_viz(const struct bench_viz_params *params, json_t *rows);
#endif
