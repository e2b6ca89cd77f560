/* `bench`: each value beside a named baseline measured in the same run. */
#include <string.h>

#include "base/error.h"
#include "box/bench.h"
#include "box/bench_executors.h"
#include "box/bench_hybrid.h"
#include "box/bench_kernel.h"
#include "box/bench_learn.h"
#include "box/bench_viz.h"
#include "box/calls.h"
#include "box/guest_call.h"

static struct error *run_viz(struct call_context *context, json_t *rows)
{
	return bench_viz(&(struct bench_viz_params){ .device = call_string(context, "device"),
						     .file = call_string(context, "dump"),
						     .fill = call_bool(context, "fill") },
			 rows);
}

static struct error *run_bridge(struct call_context *context, json_t *rows)
{
	return bench_bridge.run(context, rows);
}

static struct error *run_learn(struct call_context *context, json_t *rows)
{
	return bench_learn(rows);
}

static struct error *run_hybrid(struct call_context *context, json_t *rows)
{
	const char *gpu = call_string(context, "gpu");
	return gpu ? bench_hybrid_large(gpu, rows) : bench_hybrid(rows);
}

static struct error *run_executors(struct call_context *context, json_t *rows)
{
	return bench_executors(call_string(context, "device"), rows);
}

static struct error *run_guest(struct call_context *context, json_t *rows)
{
	/* Other tools take minutes: they run only when this benchmark is asked for by name. */
	return bench_kernel(call_string(context, "dump"), call_has(context, "name"), rows);
}

/* ORDER benches: the names are choices of the parameter below as well. */
static const struct {
	const char *name;
	struct error *(*run)(struct call_context *context, json_t *rows);
} benches[] = {
	{ "bridge", run_bridge }, { "executors", run_executors }, { "guest", run_guest },
	{ "hybrid", run_hybrid }, { "learn", run_learn },	  { "viz", run_viz },
};

static struct error *bench_run(struct call_context *context, json_t **ret)
{
	const char *wanted = call_string(context, "name");
	AUTO(own_json) json_t *rows = json_array();
	for (size_t i = 0; i < sizeof(benches) / sizeof(*benches); i++)
		if (!wanted || !strcmp(wanted, benches[i].name))
			TRY(benches[i].run(context, rows));
	*ret = TAKE(rows);
	return NULL;
}

static const struct call_param bench_params[] = {
	{ "name", CALL_STRING, .positional = true, .placeholder = "NAME",
	  .choices = "bridge,executors,guest,hybrid,learn,viz",
	  .help = "which one; all if not given" },
	{ "dump", CALL_PATH, .placeholder = "F",
	  .help = "guest, viz: read or draw this memory" },
	{ "fill", CALL_BOOL, .help = "viz: put copies of data where the dump has zeros" },
	{ "device", CALL_STRING, .placeholder = "NAME",
	  .help = "executors, viz: part of the GPU's name" },
	{ "gpu", CALL_STRING, .placeholder = "only|any|off", .choices = "only,any,off",
	  .help = "hybrid: only large arrays, on a GPU; any: a software device will do; off: "
		  "all "
		  "but these" },
	{ 0 },
};

static const struct call_column bench_columns[] = {
	{ "name", "NAME", COLUMN_LEFT },   { "value", "VALUE", COLUMN_RIGHT },
	{ "unit", "UNIT", COLUMN_LEFT },   { "ratio", "RATIO", COLUMN_RIGHT },
	{ "goal", "GOAL", COLUMN_RIGHT },  { "pass", "PASS", COLUMN_LEFT },
	{ "baseline", "", COLUMN_HIDDEN }, { 0 },
};

const struct call call_bench = {
	.name = "bench",
	.group = "programs",
	.summary = "measure, beside baselines of the same run",
	.details =
		"RATIO is how many times better than the baseline, which --json names.\n"
		"guest: beside Volatility 3 (vol), drgn (of python3), mquire and crash (with\n"
		"the kernel's debug package) where the PATH has them; that takes minutes.\n"
		"Times of drawing are GPU time where there is a GPU.",
	.examples = "  glassbox bench viz\n  glassbox bench viz --dump ram.raw --json",
	.flags = CALL_CLI_ONLY,
	.params = bench_params,
	.columns = bench_columns,
	.run = bench_run,
};
