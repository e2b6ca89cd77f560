/* What learning costs: lifting, translation, synthesis, proof, tests and a library's answer, on
 * the loops of a program file. Thread: the learner's. */
#ifndef LEARN_LEARN_BENCH_H
#define LEARN_LEARN_BENCH_H
#include <jansson.h>
struct error;

/* Appends rows as DESIGN 3.2 has them for `bench --json`. path NULL: a program of this system.
 */
struct error *learn_bench(const char *path, unsigned most, json_t *rows);
#endif
