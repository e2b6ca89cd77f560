#include "box/bench_peers.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "guest/guest.h"
#include "vm/dump.h"

/* drgn needs an ELF dump, and debugging information for anything but symbols. */
static const char drgn_script[] =
	"import sys, drgn\n"
	"from drgn.helpers.linux.kallsyms import load_vmlinux_kallsyms\n"
	"p = drgn.Program()\n"
	"p.set_core_dump(sys.argv[1])\n"
	"p.register_symbol_finder('k', load_vmlinux_kallsyms(p), enable_index=0)\n"
	"p.read(p.symbol('linux_banner').address, 16)\n";

static void measure_volatility(const char *dump, const char *folder, struct bench_peers *peers)
{
	static const char *const plugins[] = {
#define BENCH_PLUGIN_NAME(call, plugin) plugin,
		BENCH_PLUGINS(BENCH_PLUGIN_NAME)
#undef BENCH_PLUGIN_NAME
	};
	char symbols[PATH_MAX];
	snprintf(symbols, sizeof(symbols), "%s/kernel.json", folder);
	const char *isf[] = { "/proc/self/exe", "isf", "--file", dump, "-o", symbols, NULL };
	const char *vol[] = { "vol",  "-q", "--offline", "--cache-path", folder, "-s",
			      folder, "-f", dump,	 plugins[0],	 NULL };
	if (!bench_run_program(isf).ok || !bench_run_program(vol).ok)
		return;
	for (int i = 0; i < BENCH_N_PLUGINS; i++) {
		vol[9] = plugins[i];
		peers->volatility[i] = bench_run_program(vol);
	}
}

static void measure_drgn(const char *elf, struct bench_peers *peers)
{
	const char *drgn[] = { "python3", "-c", drgn_script, elf, NULL };
	peers->drgn = bench_best_run(drgn);
}

/* Debian's debug packages put a kernel's own file, with debugging information, there. */
static bool debug_file(const char *dump, char *path, size_t size)
{
	struct phys_mem *mem = NULL;
	struct guest *guest = NULL;
	struct guest_summary summary = { 0 };
	struct guest_params params = { 0 };
	struct error *err = dump_open(dump, &mem);
	if (!err)
		err = guest_open(mem, &params, &guest);
	if (!err)
		guest_summary(guest, &summary);
	snprintf(path, size, "/usr/lib/debug/boot/vmlinux-%s",
		 summary.release ? summary.release : "");
	guest_destroy(guest);
	phys_mem_destroy(mem);
	error_destroy(err);
	return !access(path, R_OK);
}

/* It takes ELF, and wants its commands in a file. */
static void measure_crash(const char *dump, const char *elf, const char *folder,
			  struct bench_peers *peers)
{
	char vmlinux[PATH_MAX], commands[PATH_MAX];
	if (!debug_file(dump, vmlinux, sizeof(vmlinux)))
		return;
	snprintf(commands, sizeof(commands), "%s/crash", folder);
	FILE *file = fopen(commands, "we");
	if (!file)
		return;
	fputs("mod\nquit\n", file);
	fclose(file);
	const char *crash[] = { "crash",  "-s",	   "--no_scroll", "--no_panic", "-i",
				commands, vmlinux, elf,		  NULL };
	peers->crash = bench_run_program(crash);
}

static void measure_mquire(const char *dump, struct bench_peers *peers)
{
	const char *mquire[] = { "mquire", "query", dump, "SELECT pid, comm FROM tasks", NULL };
	peers->mquire = bench_run_program(mquire);
}

void bench_peers_measure(const char *dump, struct bench_peers *ret)
{
	char folder[] = "/tmp/glassbox-bench-XXXXXX";
	memset(ret, 0, sizeof(*ret));
	if (!mkdtemp(folder))
		return;
	measure_volatility(dump, folder, ret);
	measure_mquire(dump, ret);
	char elf[PATH_MAX];
	snprintf(elf, sizeof(elf), "%s/dump.elf", folder);
	const char *convert[] = { "/proc/self/exe", "dump", "--file", dump, "-o", elf,
				  "--format",	    "elf",  NULL };
	if (bench_run_program(convert).ok) {
		measure_drgn(elf, ret);
		measure_crash(dump, elf, folder, ret);
	}
	const char *clean[] = { "rm", "-rf", folder, NULL };
	bench_run_program(clean);
}
