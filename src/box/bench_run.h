/* Runs programs for benchmarks and says what they took. Thread: one. */
#ifndef BOX_BENCH_RUN_H
#define BOX_BENCH_RUN_H
#include <jansson.h>
#include <stdbool.h>
struct error;

struct run_cost {
	double wall_ms, cpu_ms, peak_mb;
	bool ok; /* it ended with status 0 */
};

/* One run; what it writes is thrown away. */
struct run_cost bench_run_program(const char *const *argv);
/* The run with the least processor time of several; stops at one that fails. */
struct run_cost bench_best_run(const char *const *argv);

double bench_now_ms(void);

/* A row as the bench call documents them: a smaller value is better. baseline may be NULL. What
 * was measured under conditions that say nothing about the goal is not judged: pass is null. */
struct bench_row {
	const char *name, *unit, *baseline;
	const char *measures; /* in words, what the value is */
	double value, goal, baseline_value;
	bool unjudged;
};
struct error *bench_add_row(json_t *rows, const struct bench_row *row);
#endif
