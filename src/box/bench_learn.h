/* `bench learn`: what learning a loop costs (by the learner), and what watching costs. Starts a
 * demo guest, lets it do a fixed piece of work without and with the plugin's modes,
 * interleaved, and compares the vCPU thread's CPU time. Thread: one. */
#ifndef BOX_BENCH_LEARN_H
#define BOX_BENCH_LEARN_H
#include <jansson.h>
struct error;

/* Appends rows to the array. */
struct error *bench_learn(json_t *rows);
#endif
