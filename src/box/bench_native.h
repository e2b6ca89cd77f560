/* The guest's `workload` program run on the host itself, so that the very same machine code is
 * compared. Thread: one. */
#ifndef BOX_BENCH_NATIVE_H
#define BOX_BENCH_NATIVE_H
#include <stdbool.h>
struct error;
struct guest_shell;

/* Fetches it out of a guest; *fd_ret is the caller's. */
struct error *bench_native_fetch(struct guest_shell *shell, int *fd_ret);

struct bench_native_run {
	double cpu_ms; /* processor time of the process */
	char output[256];
};
/* Runs `workload ...`. False: it failed. */
bool bench_native_run(int fd, const char *command, struct bench_native_run *ret);
#endif
