#include "box/bench_kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "box/bench_guest.h"
#include "box/bench_live.h"
#include "box/bench_peers.h"
#include "box/bench_run.h"
#include "guest/file.h"
#include "guest/guest.h"
#include "guest/module.h"
#include "guest/mount.h"
#include "guest/task.h"
#include "guest/vma.h"
#include "vm/dump.h"
#include "vm/vm.h"

enum { REPEATS = 5 };
#define GUEST_BYTES (UINT64_C(256) << 20)

/* --- everything at once, in this process
 * ------------------------------------------------------ */

static bool ignore_file(void *user, const struct guest_file *file)
{
	char path[GUEST_PATH_BYTES];
	guest_file_path(user, file->gva, path, sizeof(path));
	return true;
}

static bool ignore_vma(void *user, const struct guest_vma *vma)
{
	return true;
}

static bool ignore_module(void *user, const struct guest_module *module)
{
	return true;
}

static bool ignore_mount(void *user, const struct guest_mount *mount)
{
	return true;
}

/* Tasks, modules, areas, files and mounts. */
static struct error *read_everything(struct guest *guest)
{
	guest_begin(guest);
	AUTO(guest_tasks_deinit) struct guest_tasks tasks = { 0 };
	TRY(guest_tasks_read(guest, false, &tasks));
	for (size_t i = 0; i < tasks.count; i++) {
		guest_files_each(guest, &tasks.items[i], ignore_file, guest);
		guest_vmas_each(guest, &tasks.items[i], ignore_vma, NULL);
	}
	guest_modules_each(guest, ignore_module, NULL);
	return guest_mounts_each(guest, ignore_mount, NULL);
}

OWN_DECLARE(own_guest, struct guest *, guest_destroy)
OWN_DECLARE(own_memory, struct phys_mem *, phys_mem_destroy)

static struct error *measure_everything(const char *dump, double *ms_ret, uint64_t *bytes_ret)
{
	AUTO(own_memory) struct phys_mem *mem = NULL;
	AUTO(own_guest) struct guest *guest = NULL;
	struct guest_params params = { 0 };
	TRY(dump_open(dump, &mem));
	TRY(guest_open(mem, &params, &guest));
	*bytes_ret = phys_mem_size(mem);
	*ms_ret = 0;
	for (int i = 0; i <= REPEATS; i++) {
		double start = bench_now_ms();
		TRY(read_everything(guest));
		double took = bench_now_ms() - start;
		/* The first time looks names up. */
		if (i == 1 || (i && took < *ms_ret))
			*ms_ret = took;
	}
	return NULL;
}

/* --- the rows ------------------------------------------------------------------------------
 */

static struct run_cost run_on(const char *dump, const char *call, const char *argument)
{
	const char *argv[] = { "/proc/self/exe", call, "--file", dump, argument, NULL };
	return bench_best_run(argv);
}

static struct bench_row beside(struct bench_row row, const char *peer, bool has_peer,
			       double value)
{
	row.baseline = has_peer ? peer : NULL;
	row.baseline_value = value;
	return row;
}

static struct error *add_first_answer(const char *dump, uint64_t bytes,
				      const struct bench_peers *peers, json_t *rows)
{
	static const char peer[] = "Volatility 3 linux.pslist, symbols prepared";
	struct run_cost vol = peers->volatility[BENCH_PLUGIN_ps],
			cold = run_on(dump, "ps", NULL);
	if (!cold.ok)
		return error_create(ERR_BAD_DATA, "no processes can be listed in %s", dump);
	struct bench_row cpu = { .name = "guest.first_ps_cpu", .unit = "ms" },
			 wall = { .name = "guest.first_ps_wall", .unit = "ms" },
			 peak = { .name = "guest.peak_memory", .unit = "MB" },
			 other = { .name = "guest.first_ps_cpu_mquire", .unit = "ms" };
	double goal = bytes <= GUEST_BYTES ? 100 : 300;
	cpu.measures = other.measures = "processor time, user and system, of a new process";
	wall.measures = "from start to end of that process; judged if it had the processor for "
			"half of it";
	cpu.value = other.value = cold.cpu_ms;
	wall.value = cold.wall_ms;
	peak.value = cold.peak_mb;
	cpu.goal = other.goal = wall.goal = goal;
	wall.unjudged = cold.cpu_ms < cold.wall_ms / 2;
	peak.goal = 50;
	cpu = beside(cpu, peer, vol.ok, vol.cpu_ms);
	wall = beside(wall, peer, vol.ok, vol.wall_ms);
	peak = beside(peak, peer, vol.ok, vol.peak_mb);
	TRY(bench_add_row(rows, &cpu));
	TRY(bench_add_row(rows, &wall));
	TRY(bench_add_row(rows, &peak));
	if (!peers->mquire.ok)
		return NULL;
	other = beside(other, "mquire, tasks", true, peers->mquire.cpu_ms);
	return bench_add_row(rows, &other);
}

static struct error *add_crash(const char *dump, const struct bench_peers *peers, json_t *rows)
{
	if (!peers->crash.ok)
		return NULL;
	struct bench_row row = { .name = "guest.first_lsmod_cpu_crash",
				 .unit = "ms",
				 .value = run_on(dump, "lsmod", NULL).cpu_ms,
				 .goal = 100 };
	row = beside(row, "crash mod, with the kernel's debug package", true,
		     peers->crash.cpu_ms);
	return bench_add_row(rows, &row);
}

static struct error *add_lists(const char *dump, const struct bench_peers *peers, json_t *rows)
{
	static const struct {
		const char *name, *call, *peer;
	} lists[] = {
#define BENCH_PLUGIN_ROW(call, plugin) \
	{ "guest.first_" #call "_cpu", #call, "Volatility 3 " plugin },
		BENCH_PLUGINS(BENCH_PLUGIN_ROW)
#undef BENCH_PLUGIN_ROW
	};
	/* ORDER peers' plugins; the first has its row already. */
	for (int i = 1; i < BENCH_N_PLUGINS; i++) {
		struct run_cost ours = run_on(dump, lists[i].call, NULL);
		struct run_cost vol = peers->volatility[i];
		struct bench_row row = {
			.name = lists[i].name, .value = ours.cpu_ms, .unit = "ms", .goal = 100
		};
		row = beside(row, lists[i].peer, vol.ok, vol.cpu_ms);
		TRY(bench_add_row(rows, &row));
	}
	struct run_cost symbol = run_on(dump, "symbols", "linux_banner");
	struct bench_row row = { .name = "guest.first_symbol_cpu",
				 .value = symbol.cpu_ms,
				 .unit = "ms",
				 .goal = 300 };
	row = beside(row, "drgn: open the dump, index kallsyms, find one", peers->drgn.ok,
		     peers->drgn.cpu_ms);
	return bench_add_row(rows, &row);
}

static struct error *bench_dump(const char *dump, bool with_peers, json_t *rows)
{
	struct bench_peers peers = { 0 };
	double everything = 0;
	uint64_t bytes = 0;
	TRY(measure_everything(dump, &everything, &bytes));
	if (with_peers)
		bench_peers_measure(dump, &peers);
	struct run_cost vol = peers.volatility[BENCH_PLUGIN_ps];
	TRY(add_first_answer(dump, bytes, &peers, rows));
	TRY(add_lists(dump, &peers, rows));
	TRY(add_crash(dump, &peers, rows));
	struct bench_row row = {
		.name = "guest.everything_warm", .value = everything, .unit = "ms", .goal = 20
	};
	row = beside(row, "Volatility 3 linux.pslist alone", vol.ok, vol.wall_ms);
	return bench_add_row(rows, &row);
}

/* The guest's memory as a file, which the caller removes. mquire goes by the name's end. */
static struct error *dump_of(struct bench_guest *guest, char *path)
{
	int fd = mkstemps(path, 4);
	if (fd < 0)
		return error_create(ERR_SYSTEM, "no room for a dump in /tmp");
	close(fd);
	unlink(path);
	const char *dump[] = {
		"/proc/self/exe", "dump", vm_name(bench_guest_vm(guest)), "-o", path, NULL
	};
	if (!bench_run_program(dump).ok)
		return error_create(ERR_SYSTEM, "the benchmark's guest cannot be dumped to %s",
				    path);
	return NULL;
}

struct error *bench_kernel(const char *dump, bool with_peers, json_t *rows)
{
	AUTO(own_bench_guest) struct bench_guest *guest = NULL;
	char path[] = "/tmp/glassbox-bench-XXXXXX.raw";
	TRY(bench_guest_start(GUEST_BYTES, &guest));
	if (dump) {
		TRY(bench_dump(dump, with_peers, rows));
	} else {
		TRY(dump_of(guest, path));
		struct error *err = bench_dump(path, with_peers, rows);
		unlink(path);
		TRY(err);
	}
	TRY(bench_live(guest, rows));
	return bench_long_lists(rows);
}
