/* A loop's time is what the workload program itself measures by the guest's clock, around its
 * repetitions alone. The checksum it prints must be the same on every substrate. */
#include "box/bench_hybrid_gpu.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "box/bench.h"
#include "box/bench_native.h"
#include "box/calls.h"
#include "box/guest_shell.h"
#include "box/target.h"
#include "offload/pixel_file.h"

OWN_DECLARE(own_json, json_t *, json_decref)

enum { RUNS = 2, RUN_MS = 120000, SMALL_KIB = 128, SMALL_REPS = 200, SMALL_GOAL_US = 60 };

enum substrate { TCG, NATIVE, GPU, HOST, SUBSTRATES };

/* ORDER gpu loops: those that move memory, then those that compute. */
const char *const bench_hybrid_gpu_loops[] = { "xor", "sum", "sumbytes", "saxpy", "grey",
					       "threshold", "min",
					       /* and */
					       "hash", "orbit", "siphash", "chaskey", "bits",
					       "blocks", "mandelbrot", "mandelrows",
					       "chacharows", "chacha", NULL };

/* Rows: how often a repetition is measured at once, and what is wanted. */
struct row {
	const char *loop;
	unsigned mib, reps;
	bool colliding;
	double goal_native; /* times one core running the program */
};

enum { MOST_ROWS = 64, N_MOVING = 7 };

struct measured {
	double us[SUBSTRATES]; /* of one repetition, best of RUNS */
	char checksum[SUBSTRATES][9];
	uint64_t requests; /* that the service answered meanwhile */
};

static struct error *call(const struct bench_hybrid_gpu *bench, const struct call *what,
			  json_t *args, json_t **ret)
{
	AUTO(own_json) json_t *owned = args;
	struct call_context context = { .target = bench->target, .args = owned };
	return what->run(&context, ret);
}

/* Offload ends the service when it is switched off, and starts it again. It listens always:
 * what the tiers can do is measured, not when it is worth while to wake. */
static struct error *switch_to(const struct bench_hybrid_gpu *bench, const char *tier,
			       bool *gpu_ret)
{
	AUTO(own_json) json_t *document = NULL;
	TRY(call(bench, &call_offload,
		 json_pack("{s:s, s:s, s:s, s:s}", "state", tier ? "on" : "off", "gpu",
			   bench->gpu, "tier", tier ? tier : "auto", "listen", "always"),
		 &document));
	const char *state = json_string_value(
		json_object_get(json_object_get(document, "pixel_cpu"), "state"));
	*gpu_ret = state && !strcmp(state, "ready");
	return NULL;
}

static struct error *count_answers(const struct bench_hybrid_gpu *bench, uint64_t *ret)
{
	AUTO(own_json) json_t *service = NULL;
	TRY(pixel_file_report(target_name(bench->target), &service));
	*ret = (uint64_t)json_integer_value(json_object_get(service, "done"));
	return NULL;
}

static struct error *run_once(const struct bench_hybrid_gpu *bench, enum substrate on,
			      const char *command, struct measured *m)
{
	AUTO(own_free) char *output = NULL;
	struct bench_native_run native;
	uint64_t ns, reps;
	char checksum[9];
	if (on == HOST)
		bench_native_run(bench->native_fd, command, &native);
	else
		TRY(guest_shell_run(bench->shell, command, RUN_MS, &output));
	const char *line = strstr(on == HOST ? native.output : output, " reps=");
	if (!line ||
	    sscanf(line, " reps=%" SCNu64 " checksum=%8s ns=%" SCNu64, &reps, checksum, &ns) !=
		    3 ||
	    !reps)
		return error_create(ERR_PEER, "`%s` did not say how long it took", command);
	double us = (double)ns / 1e3 / (double)reps;
	if (m->us[on] <= 0 || us < m->us[on])
		m->us[on] = us;
	snprintf(m->checksum[on], sizeof(m->checksum[on]), "%s", checksum);
	return NULL;
}

/* The first run on the Pixel CPU finds prices and is not counted. */
static struct error *measure_on(const struct bench_hybrid_gpu *bench, enum substrate on,
				const char *command, struct measured *m)
{
	static const char *const tiers[] = { [NATIVE] = "native", [GPU] = "gpu" };
	uint64_t before, after;
	bool gpu;
	if (on != HOST)
		TRY(switch_to(bench, on == TCG ? NULL : tiers[on], &gpu));
	if (on == NATIVE || on == GPU)
		TRY(run_once(bench, on, command, &(struct measured){ .requests = 0 }));
	TRY(count_answers(bench, &before));
	for (int i = 0; i < RUNS; i++)
		TRY(run_once(bench, on, command, m));
	TRY(count_answers(bench, &after));
	if (on == GPU)
		m->requests = after - before;
	if (strcmp(m->checksum[on], m->checksum[TCG]) != 0)
		return error_create(ERR_BAD_DATA, "`%s` has another result", command);
	return NULL;
}

static void add_row(json_t *rows, const char *loop, const char *what, double us,
		    const char *baseline, double baseline_us, double goal)
{
	char name[128];
	snprintf(name, sizeof(name), "hybrid: %s, %s", loop, what);
	bench_add(rows, &(struct bench_row){ name, us, "us", baseline, baseline_us, true, goal,
					     false });
}

static void report(json_t *rows, const char *label, const struct row *row,
		   const struct measured *m)
{
	add_row(rows, label, "native code", m->us[NATIVE], "TCG", m->us[TCG], 0);
	if (!m->requests) {
		fprintf(stderr, "bench: %s: not on the GPU\n", label);
		return;
	}
	add_row(rows, label, "GPU", m->us[GPU], "TCG", m->us[TCG], 100);
	add_row(rows, label, "GPU", m->us[GPU], "native code", m->us[NATIVE], 0);
	add_row(rows, label, "GPU", m->us[GPU], "the same program without QEMU", m->us[HOST],
		row->goal_native);
}

static struct error *measure(const struct bench_hybrid_gpu *bench, const struct row *row,
			     json_t *rows)
{
	struct measured m = { .requests = 0 };
	char command[96], label[80];
	snprintf(command, sizeof(command), "workload %s %" PRIu64 " %u %s", row->loop,
		 (uint64_t)row->mib << 20, row->reps, row->colliding ? "colliding" : "apart");
	snprintf(label, sizeof(label), "%s, %u MiB arrays%s", row->loop, row->mib,
		 row->colliding ? " that collide in TCG's TLB" : "");
	for (int on = 0; on < SUBSTRATES; on++)
		TRY(measure_on(bench, (enum substrate)on, command, &m));
	report(rows, label, row, &m);
	return NULL;
}

/* Loops that move memory at three sizes and, where two arrays are walked, badly placed; those
 * that compute take TCG seconds. */
static unsigned list_rows(struct row *ret)
{
	static const unsigned mebibytes[] = { 4, 16, 64 };
	static const char *const walk_two[] = { "xor", "saxpy" };
	unsigned n = 0;
	for (size_t i = 0; i < N_MOVING; i++)
		for (size_t k = 0; k < 3; k++)
			ret[n++] = (struct row){ bench_hybrid_gpu_loops[i], mebibytes[k],
						 mebibytes[k] == 4 ? 16 : 4, false, 1 };
	for (size_t i = 0; i < 2; i++)
		for (size_t k = 1; k < 3; k++)
			ret[n++] = (struct row){ walk_two[i], mebibytes[k], 64 / mebibytes[k],
						 true, 1 };
	for (size_t i = N_MOVING; bench_hybrid_gpu_loops[i]; i++) {
		const char *loop = bench_hybrid_gpu_loops[i];
		unsigned large = strncmp(loop, "mandel", 6) != 0 ? 64 : 16;
		ret[n++] = (struct row){ loop, 4, 4, false, 20 };
		ret[n++] = (struct row){ loop, large, 1, false, 20 };
	}
	CHECK(n <= MOST_ROWS);
	return n;
}

/* What a request costs beside its bytes: so few that one request does a repetition. */
static struct error *measure_small(const struct bench_hybrid_gpu *bench, json_t *rows)
{
	struct measured m = { .requests = 0 };
	char command[96];
	snprintf(command, sizeof(command), "workload sumbytes %u %u", SMALL_KIB << 10,
		 SMALL_REPS);
	TRY(measure_on(bench, TCG, command, &m));
	TRY(measure_on(bench, GPU, command, &m));
	if (m.requests)
		bench_add(rows, &(struct bench_row){ "hybrid: one request, sum of 131072 bytes",
						     m.us[GPU], "us", "TCG", m.us[TCG], true,
						     SMALL_GOAL_US, true, true });
	return NULL;
}

struct error *bench_hybrid_gpu(const struct bench_hybrid_gpu *bench, json_t *rows)
{
	bool there;
	TRY(switch_to(bench, "auto", &there));
	if (!there)
		return NULL;
	TRY(measure_small(bench, rows));
	struct row list[MOST_ROWS];
	unsigned n = list_rows(list);
	for (unsigned i = 0; i < n; i++)
		TRY(measure(bench, &list[i], rows));
	return NULL;
}
