#include "box/bench_executors.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "offload/bench_executors.h"

/* Native code is to be as fast as C; the noise of a shared machine is a tenth. */
#define NATIVE_GOAL 0.9

struct visit {
	json_t *rows;
	bool failed;
};

static void add_row(void *user, const struct offload_bench_result *result)
{
	struct visit *visit = user;
	char name[96];
	double ratio = result->ns > 0 ? result->c_ns / result->ns : 0;
	bool has_goal = !strcmp(result->executor, "native");
	snprintf(name, sizeof(name), "%s: %s", result->sample, result->executor);
	json_t *row = json_pack("{s:s, s:f, s:s, s:{s:s, s:f}, s:f, s:o, s:o}", "name", name,
				"value", result->ns, "unit", "ns/iteration", "baseline", "name",
				"gcc -O3, one core", "value", result->c_ns, "ratio", ratio,
				"goal", has_goal ? json_real(NATIVE_GOAL) : json_null(), "pass",
				has_goal ? json_boolean(ratio >= NATIVE_GOAL) : json_null());
	if (!row || json_array_append_new(visit->rows, row))
		visit->failed = true;
}

struct error *bench_executors(const char *device, json_t *rows)
{
	struct visit visit = { .rows = rows };
	struct offload_bench_params params = {
		.n = 512u << 10,
		.device = device,
		.result = add_row,
		.user = &visit,
	};
	TRY(offload_bench_executors(&params));
	return visit.failed ? error_create(ERR_MEMORY, "no memory for rows") : NULL;
}
