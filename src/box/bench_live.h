/* `bench guest`, the part with guests of its own: later answers, long lists, a watch. Thread:
 * one. */
#ifndef BOX_BENCH_LIVE_H
#define BOX_BENCH_LIVE_H
#include <jansson.h>
struct bench_guest;
struct error;

/* Appends rows to the array. */
struct error *bench_live(struct bench_guest *quiet, json_t *rows);
struct error *bench_long_lists(json_t *rows);
#endif
