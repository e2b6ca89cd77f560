/* Other tools that read the memory of Linux guests, run on the same dump for comparison where
 * they are installed: Volatility 3 (`vol`), drgn (a module of `python3`), mquire, and crash
 * where the kernel's debug package is installed as well. Thread: one. */
#ifndef BOX_BENCH_PEERS_H
#define BOX_BENCH_PEERS_H
#include "box/bench_run.h"

/* ORDER peers' plugins: a list of ours and the plugin of Volatility 3 that makes the same. */
#define BENCH_PLUGINS(X)        \
	X(ps, "linux.pslist")   \
	X(lsmod, "linux.lsmod") \
	X(files, "linux.lsof")  \
	X(sockets, "linux.sockstat")

enum bench_plugin {
#define BENCH_PLUGIN_ENUM(call, plugin) BENCH_PLUGIN_##call,
	BENCH_PLUGINS(BENCH_PLUGIN_ENUM)
#undef BENCH_PLUGIN_ENUM
		BENCH_N_PLUGINS
};

struct bench_peers {
	struct run_cost volatility[BENCH_N_PLUGINS]; /* with symbols that glassbox wrote and
						      * that an earlier run has prepared */
	struct run_cost drgn; /* opens the dump, indexes kallsyms, finds a symbol */
	struct run_cost mquire; /* lists the tasks */
	struct run_cost crash; /* lists the modules */
};
/* What is not installed, or fails, has ok false. */
void bench_peers_measure(const char *dump, struct bench_peers *ret);
#endif
