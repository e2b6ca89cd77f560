/* The real programs of `bench hybrid`: what a guest's shell is told, and the same on the host,
 * by the guest's own binaries over the same data. Thread: one. */
#ifndef BOX_BENCH_PROGRAMS_H
#define BOX_BENCH_PROGRAMS_H
#include <stdbool.h>
#include <stddef.h>
#include <jansson.h>
#include "base/own.h"
struct error;
struct guest_shell;
struct bench_programs;

struct bench_program {
	const char *name;
	const char *command; /* for either shell; $BIN, $DATA and $OPT are set */
	const char *needs; /* a file of the guest, or NULL */
	const char *hint; /* how to get it */
};

/* One after the other; NULL after the last. */
const struct bench_program *bench_program(size_t i);

/* Makes the data in the guest and here, from the same binaries; fails when it is not the same.
 * workload_fd: that program, borrowed. Caller owns *ret. */
struct error *bench_programs_open(struct guest_shell *shell, int workload_fd,
				  struct bench_programs **ret);
void bench_programs_close(struct bench_programs *programs);
OWN_DECLARE(own_bench_programs, struct bench_programs *, bench_programs_close)

/* A row without figures that says what is missing, and why. */
void bench_left_out(json_t *rows, const char *what);

/* False, with a row that says so, when the guest lacks what the program needs. */
struct error *bench_programs_can(struct bench_programs *programs,
				 const struct bench_program *program, json_t *rows, bool *ret);

/* Processor time of a command here, without that of an empty one; 0: it failed. */
double bench_programs_native_ms(struct bench_programs *programs, const char *command);
#endif
