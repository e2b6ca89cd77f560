/* A boot of the demo guest under the plugin, with offload on from its first moments and
 * without: next to nothing in it is served, so this is what offload costs. Processor time of
 * the vCPU until the shell answers. */
#include "box/bench_hybrid_boot.h"

#include <time.h>

#include "base/error.h"
#include "box/bench.h"
#include "box/bench_guest.h"
#include "learn/library.h"
#include "offload/from_library.h"
#include "offload/slots.h"
#include "trace/source.h"

OWN_DECLARE(own_json, json_t *, json_decref)

enum { BOOTS = 3, PATIENCE_MS = 5000 };

/* The plugin makes its file when QEMU loads it. */
static struct error *await_source(const char *vm, struct trace_source **ret)
{
	char path[256];
	struct error *err = NULL;
	trace_source_path(vm, path, sizeof(path));
	for (int waited = 0; waited < PATIENCE_MS; waited++) {
		error_destroy(err);
		err = trace_source_open(path, ret);
		if (!err)
			return NULL;
		nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
	}
	return err;
}

static struct error *switch_on(void *user, const char *vm)
{
	AUTO(own_trace_source) struct trace_source *source = NULL;
	AUTO(own_json) json_t *left_out = NULL;
	size_t n;
	TRY(await_source(vm, &source));
	TRY(offload_put_library(source, user, &n, &left_out));
	return offload_switch(source, &(struct offload_wish){ .offload = GB_OFFLOAD_AUTO });
}

static struct error *boot_once(struct library *library, double *best_ms)
{
	AUTO(own_bench_guest) struct bench_guest *guest = NULL;
	if (library)
		TRY(bench_guest_start_early(256 << 20, switch_on, library, &guest));
	else
		TRY(bench_guest_start_learning(256 << 20, &guest));
	double ms = bench_guest_vcpu_ms(guest);
	if (*best_ms <= 0 || ms < *best_ms)
		*best_ms = ms;
	return NULL;
}

struct error *bench_hybrid_boot(json_t *rows)
{
	AUTO(own_library) struct library *library = NULL;
	double off_ms = 0, on_ms = 0;
	TRY(library_open(NULL, &library));
	for (int i = 0; i < BOOTS; i++) {
		TRY(boot_once(NULL, &off_ms));
		TRY(boot_once(library, &on_ms));
	}
	bench_add(rows, &(struct bench_row){ "hybrid: boot of the demo guest", on_ms, "ms",
					     "offload off", off_ms, true, 0.97, false });
	return NULL;
}
