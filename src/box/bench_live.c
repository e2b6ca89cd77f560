#include "box/bench_live.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "box/bench_guest.h"
#include "box/bench_run.h"
#include "vm/vm.h"

enum { LOOKS_FEW = 100, LOOKS_MANY = 1100, LOOK_MS = 10, WATCH_PAIRS = 3 };
enum { FORK_TIMEOUT_MS = 300000 };
#define LISTS_GUEST_BYTES (UINT64_C(768) << 20)

static int compare_numbers(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;
	return a < b ? -1 : a > b;
}

/* Processor time of one look of a watch: that of many less that of few, the median of several
 * such pairs, since a look at a guest that just did something costs more. */
static struct error *add_watch(const char *vm, json_t *rows)
{
	char few[16], many[16], every[16];
	double look_ms[WATCH_PAIRS];
	snprintf(few, sizeof(few), "%d", LOOKS_FEW);
	snprintf(many, sizeof(many), "%d", LOOKS_MANY);
	snprintf(every, sizeof(every), "%d", LOOK_MS);
	const char *watch[] = { "/proc/self/exe", "watch", vm,	"--interval-ms", every,
				"--looks",	  few,	   NULL };
	/* The first watch of a boot writes down all symbols. */
	bench_run_program(watch);
	for (int i = 0; i < WATCH_PAIRS; i++) {
		watch[6] = few;
		struct run_cost short_run = bench_run_program(watch);
		watch[6] = many;
		struct run_cost long_run = bench_run_program(watch);
		if (!short_run.ok || !long_run.ok)
			return error_create(ERR_PEER,
					    "the guest of the benchmark cannot be watched");
		look_ms[i] = (long_run.cpu_ms - short_run.cpu_ms) / (LOOKS_MANY - LOOKS_FEW);
	}
	qsort(look_ms, WATCH_PAIRS, sizeof(*look_ms), compare_numbers);
	return bench_add_row(
		rows,
		&(struct bench_row){ .name = "guest.watch_100hz",
				     .measures = "processor time of the watching process, "
						 "median of three times 1000 looks",
				     .value = look_ms[WATCH_PAIRS / 2] / LOOK_MS * 100,
				     .unit = "% of a core",
				     .goal = 5 });
}

struct error *bench_live(struct bench_guest *quiet, json_t *rows)
{
	const char *vm = vm_name(bench_guest_vm(quiet));
	const char *ps[] = { "/proc/self/exe", "ps", vm, NULL };
	const char *nothing[] = { "true", NULL };
	/* The first one leaves the cache that later ones take. */
	bench_run_program(ps);
	struct run_cost later = bench_best_run(ps), none = bench_best_run(nothing);
	if (!later.ok)
		return error_create(ERR_PEER, "the guest of the benchmark cannot be read");
	TRY(bench_add_row(rows, &(struct bench_row){ .name = "guest.later_ps_cpu",
						     .value = later.cpu_ms,
						     .unit = "ms",
						     .goal = 10,
						     .baseline = "true, an empty program",
						     .baseline_value = none.cpu_ms }));
	return add_watch(vm, rows);
}

static struct error *add_list(const char *vm, const char *call, const char *name, json_t *rows)
{
	const char *list[] = { "/proc/self/exe", call, vm, NULL };
	bench_run_program(list);
	struct run_cost cost = bench_best_run(list);
	if (!cost.ok)
		return error_create(ERR_PEER, "%s of the benchmark's guest fails", call);
	return bench_add_row(
		rows, &(struct bench_row){
			      .name = name, .value = cost.cpu_ms, .unit = "ms", .goal = 50 });
}

/* A thousand processes that inherit ten descriptors each, three of them the console. */
struct error *bench_long_lists(json_t *rows)
{
	AUTO(own_bench_guest) struct bench_guest *guest = NULL;
	TRY(bench_guest_start(LISTS_GUEST_BYTES, &guest));
	const char *vm = vm_name(bench_guest_vm(guest));
	TRY(bench_guest_run(guest,
			    "exec 3</etc/passwd 4<&3 5</etc/group 6<&5 7</etc/profile 8<&7 "
			    "9</etc/hostname; i=0; while [ $i -lt 1000 ]; do sleep 100000 & "
			    "i=$((i+1)); done; echo lists $((6 * 7))",
			    "lists 42", FORK_TIMEOUT_MS));
	TRY(add_list(vm, "ps", "guest.list_1000_processes", rows));
	return add_list(vm, "files", "guest.list_10000_files", rows);
}
