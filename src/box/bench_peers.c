#include "box/bench_peers.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

static void measure_drgn(const char *dump, const char *folder, struct bench_peers *peers)
{
	char elf[PATH_MAX];
	snprintf(elf, sizeof(elf), "%s/dump.elf", folder);
	const char *convert[] = { "/proc/self/exe", "dump", "--file", dump, "-o", elf,
				  "--format",	    "elf",  NULL };
	const char *drgn[] = { "python3", "-c", drgn_script, elf, NULL };
	if (bench_run_program(convert).ok)
		peers->drgn = bench_best_run(drgn);
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
	measure_drgn(dump, folder, ret);
	measure_mquire(dump, ret);
	const char *clean[] = { "rm", "-rf", folder, NULL };
	bench_run_program(clean);
}
