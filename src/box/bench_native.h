/* A guest's own programs run on the host itself, so that the very same machine code is
 * compared. Thread: one. */
#ifndef BOX_BENCH_NATIVE_H
#define BOX_BENCH_NATIVE_H
#include <stdbool.h>
struct error;
struct guest_shell;

/* Fetches a file, of at most 16 MiB, out of a guest; *fd_ret is the caller's. */
struct error *bench_native_fetch(struct guest_shell *shell, const char *path, int *fd_ret);

struct bench_native_run {
	double cpu_ms; /* processor time of the process and its children */
	char output[256];
};
/* Runs `workload ...`. False: it failed, or printed nothing. */
bool bench_native_run(int fd, const char *command, struct bench_native_run *ret);

/* The same for any program, as execve takes it. */
bool bench_native_exec(const char *path, char *const *words, char *const *environment,
		       struct bench_native_run *ret);
#endif
