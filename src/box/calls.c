#include "box/calls.h"

#include <string.h>

/* ORDER calls: grouped as the help shows them. */
const struct call *const call_table[] = {
	/* lifecycle */
	&call_run,
	&call_ls,
	&call_status,
	&call_attach,
	&call_pause,
	&call_resume,
	&call_reset,
	&call_stop,
	&call_snapshot,
	&call_restore,
	&call_snapshots,
	&call_forget,
	&call_audit_log,
	/* introspection */
	&call_ps,
	&call_threads,
	&call_tree,
	&call_maps,
	&call_env,
	&call_files,
	&call_sockets,
	&call_lsmod,
	&call_mounts,
	&call_dmesg,
	&call_stack,
	&call_irqs,
	&call_cgroups,
	&call_credentials,
	&call_kernel,
	&call_namespaces,
	&call_cpus,
	&call_slabs,
	&call_timers,
	&call_cached,
	/* addresses and bytes */
	&call_symbols,
	&call_type,
	&call_vtop,
	&call_read,
	&call_disasm,
	&call_page,
	&call_regions,
	&call_search,
	&call_delta,
	/* exchange */
	&call_dump,
	&call_compare,
	&call_isf,
	&call_btf,
	/* memory of the past */
	&call_ask,
	&call_watch,
	&call_diff,
	&call_history,
	&call_timeline,
	&call_query,
	/* learning */
	&call_hot,
	&call_offload,
	&call_hybrid,
	&call_trace,
	&call_profile,
	&call_learn,
	&call_kernels,
	&call_mcode,
	/* pictures */
	&call_render,
	/* programs */
	&call_demo,
	&call_serve,
	&call_mcp,
	&call_pixel_cpu,
	&call_bench,
	NULL,
};

const struct call *call_find(const char *name)
{
	for (const struct call *const *call = call_table; *call; call++)
		if (!strcmp((*call)->name, name))
			return *call;
	return NULL;
}
