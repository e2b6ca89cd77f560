#include "box/bench_run.h"

#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"

extern char **environ;

enum { REPEATS = 5 };

double bench_now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static double milliseconds(struct timeval time)
{
	return (double)time.tv_sec * 1e3 + (double)time.tv_usec / 1e3;
}

struct run_cost bench_run_program(const char *const *argv)
{
	struct run_cost cost = { 0 };
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	pid_t pid;
	double start = bench_now_ms();
	int failed = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	struct rusage usage;
	int status = 0;
	if (failed || wait4(pid, &status, 0, &usage) != pid)
		return cost;
	cost.wall_ms = bench_now_ms() - start;
	cost.cpu_ms = milliseconds(usage.ru_utime) + milliseconds(usage.ru_stime);
	cost.peak_mb = (double)usage.ru_maxrss / 1024;
	cost.ok = WIFEXITED(status) && !WEXITSTATUS(status);
	return cost;
}

/* The run with the least CPU time of several. */
struct run_cost bench_best_run(const char *const *argv)
{
	struct run_cost best = bench_run_program(argv);
	for (int i = 1; i < REPEATS && best.ok; i++) {
		struct run_cost next = bench_run_program(argv);
		if (next.ok && next.cpu_ms < best.cpu_ms)
			best = next;
	}
	return best;
}

struct error *bench_add_row(json_t *rows, const struct bench_row *row)
{
	json_t *base = row->baseline ? json_pack("{s:s,s:f}", "name", row->baseline, "value",
						 row->baseline_value)
				     : json_null();
	json_t *ratio = row->baseline && row->value > 0
				? json_real(row->baseline_value / row->value)
				: json_null();
	json_t *pass = row->unjudged ? json_null() : json_boolean(row->value <= row->goal);
	json_t *made =
		json_pack("{s:s,s:s?,s:f,s:s,s:o,s:o,s:f,s:o}", "name", row->name, "measures",
			  row->measures, "value", row->value, "unit", row->unit, "baseline",
			  base, "ratio", ratio, "goal", row->goal, "pass", pass);
	if (!made || json_array_append_new(rows, made))
		return error_create(ERR_MEMORY, "no memory for an answer");
	return NULL;
}
