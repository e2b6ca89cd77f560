/* One guest, one boot. Its workload's loops and a few real programs are learned from what it
 * runs; then everything is timed with offload off and on in turns, five rounds, the best of
 * each. A loop's time is that of a run with REPS repetitions less that of one with none, so
 * that starting the program and filling its arrays do not count. The same programs are run
 * natively. Where a GPU is, rows of large arrays follow (bench_hybrid_gpu.c). */
#include "box/bench_hybrid.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/setup_path.h"
#include "box/bench.h"
#include "box/bench_guest.h"
#include "box/bench_hybrid_boot.h"
#include "box/bench_hybrid_gpu.h"
#include "box/bench_native.h"
#include "box/bench_programs.h"
#include "box/calls.h"
#include "box/guest_call.h"
#include "box/guest_shell.h"
#include "box/target.h"
#include "offload/slots.h"
#include "trace/source.h"
#include "vm/vm.h"

OWN_DECLARE(own_target, struct target *, target_destroy)

enum {
	ROUNDS = 5,
	WARMING = 2,
	SHELL_MS = 600000,
	LEARN_MS = 2500,
	LEARN_LOOP_MS = 400,
	LOOP_MS = 300, /* that a loop runs under TCG at least */
	FAST_LOOP_MS = 1200,
	MOST_CASES = 48
};

/* The loops of guest/workload.c. Real programs follow (bench_programs.c). */
static const char *const loops[] = {
	"xor",	  "sum",       "sumbytes", "saxpy",   "memset",	  "memcpy",	"bswap",
	"grey",	  "threshold", "max",	   "min",     "adler",	  "crc",	"mandelbrot",
	"chacha", "matmul",    "bits",	   "blocks",  "matrices", "chacharows", "fir",
	"dct",	  "hash",      "orbit",	   "siphash", "chaskey",  "mandelrows", NULL
};

/* Of these a kernel leaves less than a twentieth, which must be told from starting them. */
static const char *const fast_loops[] = { "bits", NULL };

/* The same again with arrays that collide in TCG's TLB. */
static const char *const colliding_loops[] = { "xor", "saxpy", "memcpy", NULL };

/* The least that a command took, and what of it is not to count: apart, since the least of
 * differences would be the one whose start was disturbed most. 0: not run. */
struct least {
	double all_ms, setup_ms;
};

struct timed_case {
	char label[80];
	char command[128], setup[128]; /* setup: the part that is not to count; or "" */
	struct least off, on, native;
	double goal;
	bool aside; /* not in the median of the loops */
};

struct hybrid {
	struct bench_guest *guest;
	struct guest_shell *shell;
	struct target *target;
	struct trace_source *source;
	int native_fd; /* the guest's workload program, or -1 */
	struct bench_programs *programs;
	struct timed_case cases[MOST_CASES];
	size_t n_cases;
};

static struct error *guest_does(struct hybrid *h, const char *command, char **output_ret)
{
	AUTO(own_free) char *output = NULL;
	TRY(guest_shell_run(h->shell, command, SHELL_MS, &output));
	if (output_ret)
		*output_ret = TAKE(output);
	return NULL;
}

static struct error *time_command(struct hybrid *h, const char *command, double *ms_ret)
{
	double before = bench_guest_vcpu_ms(h->guest);
	TRY(guest_does(h, command, NULL));
	*ms_ret = bench_guest_vcpu_ms(h->guest) - before;
	return NULL;
}

/* A guest made by older sources may lack a loop: its time would be that of a complaint. */
static struct error *must_work(struct hybrid *h, const char *command)
{
	AUTO(own_free) char *output = NULL, *line = NULL;
	if (asprintf(&line, "%s >/dev/null 2>&1 && echo works", command) < 0)
		return error_create(ERR_MEMORY, "no memory for a command");
	TRY(guest_does(h, line, &output));
	if (strstr(output, "works"))
		return NULL;
	return error_hint(error_create(ERR_UNSUPPORTED, "this guest cannot do `%s`", command),
			  "`%s guest` makes it again", setup_path());
}

static void keep_least(double *least, double ms)
{
	if (ms > 0 && (*least <= 0 || ms < *least))
		*least = ms;
}

/* 0: it cannot be told from what starting the program takes. */
static double net_ms(const struct least *least)
{
	return least->all_ms > least->setup_ms ? least->all_ms - least->setup_ms : 0;
}

static struct error *time_case(struct hybrid *h, const struct timed_case *c,
			       struct least *least)
{
	double ms;
	if (*c->setup) {
		TRY(time_command(h, c->setup, &ms));
		keep_least(&least->setup_ms, ms);
	}
	TRY(time_command(h, c->command, &ms));
	keep_least(&least->all_ms, ms);
	return NULL;
}

/* --- learning */

static struct error *call(struct hybrid *h, const struct call *what, json_t *args)
{
	AUTO(own_json) json_t *owned = args, *document = NULL;
	struct call_context context = { .target = h->target, .args = owned };
	return what->run(&context, &document);
}

/* Watches the guest while it runs a command again and again, and learns what is hot then. */
static struct error *learn_from(struct hybrid *h, const char *command, int ms)
{
	char line[300];
	snprintf(line, sizeof(line), "(while :; do %s; done) >/dev/null 2>&1 & echo started",
		 command);
	TRY(guest_does(h, line, NULL));
	struct error *err = call(h, &call_learn, json_pack("{s:i, s:i}", "ms", ms, "top", 40));
	struct error *end = guest_does(
		h, "kill $!; wait $! 2>/dev/null; killall workload 2>/dev/null", NULL);
	if (!err)
		return end;
	error_destroy(end);
	return err;
}

/* One by one, since beside the slow ones the quick ones would not be hot; and longer than we
 * watch: the code of a process that has ended cannot be read. */
static struct error *learn_loops(struct hybrid *h, const char *const *names)
{
	for (; *names; names++) {
		char command[96];
		snprintf(command, sizeof(command), "workload %s 262144 20000", *names);
		TRY(learn_from(h, command, LEARN_LOOP_MS));
	}
	return NULL;
}

static struct error *learn_programs(struct hybrid *h)
{
	TRY(learn_from(h, bench_program(0)->command, LEARN_MS));
	return learn_from(h, bench_program(1)->command, LEARN_MS);
}

/* --- the same program outside any emulator */

/* Processor time of one native run, or 0. */
static double run_native(struct hybrid *h, const struct timed_case *c, const char *command)
{
	if (!*c->setup)
		return bench_programs_native_ms(h->programs, command);
	struct bench_native_run run;
	return bench_native_run(h->native_fd, command, &run) ? run.cpu_ms : 0;
}

static void time_native(struct hybrid *h)
{
	for (size_t i = 0; i < h->n_cases; i++) {
		struct timed_case *c = &h->cases[i];
		for (int round = 0; round < ROUNDS; round++) {
			keep_least(&c->native.all_ms, run_native(h, c, c->command));
			if (*c->setup)
				keep_least(&c->native.setup_ms, run_native(h, c, c->setup));
		}
	}
}

/* --- cases */

static struct timed_case *add_case(struct hybrid *h, double goal)
{
	struct timed_case *c = &h->cases[h->n_cases++];
	CHECK(h->n_cases <= MOST_CASES);
	c->goal = goal;
	return c;
}

/* A run of a loop of the workload program. */
struct loop_run {
	const char *name, *place; /* of its arrays: "apart", "colliding" */
	uint64_t bytes;
};

static void loop_command(const struct loop_run *run, unsigned reps, char *to, size_t size)
{
	snprintf(to, size, "workload %s %" PRIu64 " %u %s", run->name, run->bytes, reps,
		 run->place);
}

/* As many repetitions as take TCG about wanted_ms; tried with ever more, until they can be told
 * from what starting the program takes. */
static struct error *choose_reps(struct hybrid *h, const struct loop_run *run, double wanted_ms,
				 unsigned *ret)
{
	enum { MOST_REPS = 4096 };
	struct timed_case trial = { .label = "" };
	double ms = 0;
	unsigned reps = 2;
	loop_command(run, 0, trial.setup, sizeof(trial.setup));
	TRY(must_work(h, trial.setup));
	while (ms < wanted_ms / 8 && reps < MOST_REPS) {
		reps *= 4;
		loop_command(run, reps, trial.command, sizeof(trial.command));
		struct least least = { 0 };
		TRY(time_case(h, &trial, &least));
		ms = net_ms(&least);
	}
	double wanted = ms > 0 ? wanted_ms / (ms / reps) : MOST_REPS;
	*ret = wanted < 2 ? 2 : wanted > MOST_REPS ? MOST_REPS : (unsigned)wanted;
	return NULL;
}

static bool is_among(const char *name, const char *const *names)
{
	while (*names && strcmp(*names, name) != 0)
		names++;
	return *names;
}

static struct error *add_loop(struct hybrid *h, const struct loop_run *run, double goal)
{
	unsigned reps;
	bool colliding = !strcmp(run->place, "colliding");
	bool fast = colliding || is_among(run->name, fast_loops);
	TRY(choose_reps(h, run, fast ? FAST_LOOP_MS : LOOP_MS, &reps));
	struct timed_case *c = add_case(h, goal);
	c->aside = colliding;
	snprintf(c->label, sizeof(c->label), "%s, %" PRIu64 " KiB arrays%s", run->name,
		 run->bytes >> 10, colliding ? " that collide in TCG's TLB" : "");
	loop_command(run, 0, c->setup, sizeof(c->setup));
	loop_command(run, reps, c->command, sizeof(c->command));
	return NULL;
}

static struct error *add_programs(struct hybrid *h, json_t *rows)
{
	const struct bench_program *program;
	for (size_t i = 0; (program = bench_program(i)); i++) {
		bool can;
		TRY(bench_programs_can(h->programs, program, rows, &can));
		if (!can)
			continue;
		struct timed_case *c = add_case(h, 0.97);
		snprintf(c->label, sizeof(c->label), "%s", program->name);
		snprintf(c->command, sizeof(c->command), "%s", program->command);
	}
	return NULL;
}

static struct error *add_cases(struct hybrid *h, json_t *rows)
{
	for (const char *const *name = loops; *name; name++)
		TRY(add_loop(h, &(struct loop_run){ *name, "apart", 256 << 10 }, 0.97));
	for (const char *const *name = colliding_loops; *name; name++)
		TRY(add_loop(h, &(struct loop_run){ *name, "colliding", 256 << 10 }, 0.97));
	return add_programs(h, rows);
}

static struct error *set_offload(struct hybrid *h, enum gb_offload offload)
{
	return offload_switch(h->source, &(struct offload_wish){ .offload = offload });
}

/* Every case is run untimed first: to be translated, which goes on into the second run (what
 * starts a program is translated there), and for offload to wake or to fall asleep. */
static struct error *run_round(struct hybrid *h, bool on)
{
	TRY(set_offload(h, on ? GB_OFFLOAD_AUTO : GB_OFFLOAD_OFF));
	for (size_t i = 0; i < h->n_cases; i++) {
		struct timed_case *c = &h->cases[i];
		for (int run = 0; run < WARMING; run++)
			TRY(guest_does(h, c->command, NULL));
		TRY(time_case(h, c, on ? &c->on : &c->off));
	}
	return NULL;
}

/* --- rows */

/* The rows of one case; its gain, or 0 when its times cannot be told. */
static double report_case(const struct timed_case *c, json_t *rows)
{
	char name[128];
	double on_ms = net_ms(&c->on), off_ms = net_ms(&c->off);
	double native_ms = net_ms(&c->native);
	if (on_ms <= 0 || off_ms <= 0) {
		snprintf(name, sizeof(name), "%s: left out, starting it took as long",
			 c->label);
		bench_left_out(rows, name);
		return 0;
	}
	snprintf(name, sizeof(name), "hybrid: %s", c->label);
	bench_add(rows, &(struct bench_row){ name, on_ms, "ms", "offload off", off_ms, true,
					     c->goal, false });
	snprintf(name, sizeof(name), "hybrid: %s, against native", c->label);
	if (native_ms > 0)
		bench_add(rows, &(struct bench_row){ name, on_ms, "ms",
						     "the same program without QEMU", native_ms,
						     true, 0, false });
	return off_ms / on_ms;
}

static void report(struct hybrid *h, json_t *rows)
{
	double gains[MOST_CASES];
	unsigned n_gains = 0;
	for (size_t i = 0; i < h->n_cases; i++) {
		double gain = report_case(&h->cases[i], rows);
		if (gain > 0 && *h->cases[i].setup && !h->cases[i].aside)
			gains[n_gains++] = gain;
	}
	if (n_gains)
		bench_add(rows, &(struct bench_row){ "hybrid: median of the loops",
						     bench_percentile(gains, n_gains, 50),
						     "times TCG", NULL, 0, false, 10, false });
}

static struct error *report_shares(struct hybrid *h, json_t *rows)
{
	AUTO(own_json) json_t *args = json_object(), *document = NULL;
	struct call_context context = { .target = h->target, .args = args };
	TRY(call_hybrid.run(&context, &document));
	const json_t *share = json_object_get(document, "share");
	static const char *const parts[][2] = {
		{ "native", "hybrid: guest's work done natively" },
		{ "gpu", "hybrid: guest's work done by the GPU" }
	};
	for (size_t i = 0; i < 2; i++)
		if (json_is_number(json_object_get(share, parts[i][0])))
			bench_add(rows, &(struct bench_row){ parts[i][1],
							     json_number_value(json_object_get(
								     share, parts[i][0])),
							     "%", NULL, 0, false, 0, false });
	return NULL;
}

/* --- the whole */

static struct error *switch_on(struct hybrid *h)
{
	return call(h, &call_offload, json_pack("{s:s, s:s}", "state", "on", "gpu", "off"));
}

static struct error *open_guest(struct hybrid *h)
{
	char path[256];
	const char *name;
	TRY(bench_guest_start_equipped(1ull << 30, &h->guest));
	name = vm_name(bench_guest_vm(h->guest));
	TRY(guest_shell_open(name, &h->shell));
	TRY(target_open(&(struct target_params){ .vm = name }, &h->target));
	trace_source_path(name, path, sizeof(path));
	TRY(trace_source_open(path, &h->source));
	TRY(guest_does(h, "stty -echo", NULL));
	TRY(bench_native_fetch(h->shell, "/bin/workload", &h->native_fd));
	return bench_programs_open(h->shell, h->native_fd, &h->programs);
}

static struct error *run_large(struct hybrid *h, const char *gpu, json_t *rows)
{
	return bench_hybrid_gpu(&(struct bench_hybrid_gpu){ .shell = h->shell,
							    .target = h->target,
							    .native_fd = h->native_fd,
							    .gpu = gpu },
				rows);
}

static struct error *run_all(struct hybrid *h, json_t *rows)
{
	TRY(switch_on(h));
	TRY(set_offload(h, GB_OFFLOAD_OFF));
	TRY(add_cases(h, rows));
	for (int round = 0; round < ROUNDS; round++)
		for (int on = 0; on < 2; on++)
			TRY(run_round(h, round & 1 ? !on : on));
	time_native(h);
	report(h, rows);
	TRY(report_shares(h, rows));
	return bench_hybrid_boot(rows);
}

/* gpu: NULL: everything; "off": without the large arrays; else these alone. */
static struct error *run(struct hybrid *h, const char *gpu, json_t *rows)
{
	bool small = !gpu || !strcmp(gpu, "off"), large = !gpu || strcmp(gpu, "off") != 0;
	TRY(open_guest(h));
	if (small) {
		TRY(learn_loops(h, loops));
		TRY(learn_programs(h));
		TRY(run_all(h, rows));
	} else {
		TRY(learn_loops(h, bench_hybrid_gpu_loops));
	}
	return large ? run_large(h, gpu && !strcmp(gpu, "any") ? gpu : "auto", rows) : NULL;
}

static struct error *bench(const char *gpu, json_t *rows)
{
	struct hybrid *h;
	TRY(error_alloc(1, sizeof(*h), &h));
	h->native_fd = -1;
	struct error *err = run(h, gpu, rows);
	bench_programs_close(h->programs);
	own_fd(&h->native_fd);
	trace_source_close(h->source);
	target_destroy(h->target);
	guest_shell_close(h->shell);
	bench_guest_stop(h->guest);
	free(h);
	return err;
}

struct error *bench_hybrid(json_t *rows)
{
	return bench(NULL, rows);
}

struct error *bench_hybrid_large(const char *gpu, json_t *rows)
{
	return bench(gpu, rows);
}
