#include "box/bench_learn.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "base/error.h"
#include "box/guest_call.h"
#include "box/learner_run.h"
#include "plugin/record.h"
#include "trace/capture.h"
#include "trace/source.h"
#include "vm/demo_guest.h"
#include "vm/start.h"
#include "vm/state.h"

enum { ROUNDS = 5, N_MODES = 4, READY_MS = 60000, WORK_MS = 120000, REQUEST_MS = 5000 };
enum { DRAIN_WORDS = 128 << 10, COUNT_READS = 101 };

/* Loops: short blocks, long blocks, arithmetic and memory. Programs: few blocks that repeat
 * themselves, many calls into the kernel. */
enum work { LOOPS, PROGRAMS, N_WORKS };
static const char *const works[N_WORKS] = {
	"for w in crc matmul mandelbrot adler chacha xor sum; "
	"do workload $w 524288 2; done >/dev/null",
	"seq 20000 | sort -r | md5sum >/dev/null; gzip -c /bin/workload >/dev/null",
};
static const char *const work_names[N_WORKS] = { "loops", "programs" };

static const char *const mode_names[N_MODES] = { "plain TCG", "counting", "block trace",
						 "full trace" };

struct sample {
	double cpu_ms;
	double words;
	double executions; /* of blocks, repeats included */
	double dropped;
};

struct bench {
	struct vm_start *start;
	struct trace_source *source;
	int console;
	char text[8192]; /* tail of the console's output */
	size_t n_text;
	uint64_t mark;
	char schedstat[64];
	struct sample samples[N_WORKS][N_MODES][ROUNDS];
	double lag_ms; /* the longest while blocks were traced */
	atomic_bool stop;
	atomic_ullong words, executions; /* drained so far */
	atomic_ullong max_lag_words;
	unsigned skip; /* words of a record that the last batch cut */
	struct error *drain_error;
	double count_age_ms;
};

static struct error *connect_console(struct bench *b)
{
	AUTO(own_free) char *path = NULL;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	TRY(state_path(vm_start_name(b->start), "console.sock", &path));
	if (strlen(path) >= sizeof(address.sun_path))
		return error_create(ERR_LIMIT, "path of the console is too long: %s", path);
	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	b->console = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (b->console < 0 || connect(b->console, (struct sockaddr *)&address, sizeof(address)))
		return error_system(errno, "cannot reach the guest's console");
	return NULL;
}

/* Keeps the tail of what the guest prints; false at the timeout or end. */
static bool read_console(struct bench *b, int timeout_ms)
{
	struct pollfd wait = { .fd = b->console, .events = POLLIN };
	if (poll(&wait, 1, timeout_ms) <= 0)
		return false;
	if (b->n_text > sizeof(b->text) - 512) { /* keep what may be half a mark */
		memmove(b->text, b->text + b->n_text - 64, 64);
		b->n_text = 64;
	}
	ssize_t n = recv(b->console, b->text + b->n_text, sizeof(b->text) - b->n_text, 0);
	if (n <= 0)
		return false;
	b->n_text += (size_t)n;
	return true;
}

/* Runs a shell command in the guest and waits for its end. */
static struct error *run_in_guest(struct bench *b, const char *command)
{
	char line[512], mark[32];
	snprintf(mark, sizeof(mark), "done%" PRIu64 "\r\n", ++b->mark);
	int n = snprintf(line, sizeof(line), "%s; echo do\"\"ne%" PRIu64 "\n", command,
			 b->mark);
	b->n_text = 0;
	if (send(b->console, line, (size_t)n, MSG_NOSIGNAL) != n)
		return error_system(errno, "cannot type into the guest");
	while (!memmem(b->text, b->n_text, mark, strlen(mark)))
		if (!read_console(b, WORK_MS))
			return error_create(ERR_PEER, "the guest did not finish: %s", command);
	return NULL;
}

static uint64_t read_cpu_ns(const char *path)
{
	AUTO(own_file) FILE *file = fopen(path, "re");
	uint64_t ns = 0;
	return file && fscanf(file, "%" SCNu64, &ns) == 1 ? ns : 0;
}

/* The vCPU's thread is the busiest one after the boot. */
static void find_vcpu_thread(struct bench *b)
{
	char folder[64], path[400];
	uint64_t most = 0;
	snprintf(folder, sizeof(folder), "/proc/%d/task", (int)vm_start_pid(b->start));
	DIR *tasks = opendir(folder);
	for (struct dirent *entry; tasks && (entry = readdir(tasks));) {
		snprintf(path, sizeof(path), "%s/%s/schedstat", folder, entry->d_name);
		uint64_t ns = read_cpu_ns(path);
		if (entry->d_name[0] == '.' || ns <= most ||
		    strlen(path) >= sizeof(b->schedstat))
			continue;
		most = ns;
		snprintf(b->schedstat, sizeof(b->schedstat), "%.*s",
			 (int)sizeof(b->schedstat) - 1, path);
	}
	if (tasks)
		closedir(tasks);
}

/* How many executions of blocks these words tell of. */
static uint64_t count_executions(struct bench *b, const uint64_t *words, size_t n)
{
	uint64_t sum = 0;
	size_t at = b->skip;
	while (at < n) {
		unsigned kind = gb_record_kind(words[at]), length = gb_record_words(words[at]);
		if (kind == GB_REC_BLOCK)
			sum++;
		else if (kind == GB_REC_REPEAT)
			sum += gb_record_payload(words[at]);
		at += length ? length : 1;
	}
	b->skip = (unsigned)(at - n);
	return sum;
}

static void *drain(void *user)
{
	struct bench *b = user;
	static uint64_t words[DRAIN_WORDS];
	trace_go_first();
	while (!atomic_load(&b->stop) && !b->drain_error) {
		size_t n = 0;
		b->drain_error = trace_source_drain(b->source, 0, words, DRAIN_WORDS, &n);
		atomic_fetch_add(&b->executions, count_executions(b, words, n));
		atomic_fetch_add(&b->words, n);
		if (n > atomic_load(&b->max_lag_words))
			atomic_store(&b->max_lag_words, n);
		if (n < DRAIN_WORDS)
			nanosleep(&(struct timespec){ 0, 200 * 1000 }, NULL);
	}
	return NULL;
}

static struct error *look(struct bench *b, struct sample *ret)
{
	uint64_t dropped;
	ret->cpu_ms = (double)read_cpu_ns(b->schedstat) / 1e6;
	ret->words = (double)atomic_load(&b->words);
	ret->executions = (double)atomic_load(&b->executions);
	TRY(trace_source_dropped(b->source, &dropped));
	ret->dropped = (double)dropped;
	return NULL;
}

static struct error *measure_mode(struct bench *b, enum work work, unsigned mode,
				  unsigned round)
{
	struct gb_request request = { .mode = mode };
	struct sample before, after;
	TRY(trace_source_request(b->source, &request, REQUEST_MS));
	TRY(run_in_guest(b, works[work])); /* translated now */
	atomic_store(&b->max_lag_words, 0);
	TRY(look(b, &before));
	TRY(run_in_guest(b, works[work]));
	TRY(look(b, &after));
	struct sample *sample = &b->samples[work][mode][round];
	sample->cpu_ms = after.cpu_ms - before.cpu_ms;
	sample->words = after.words - before.words;
	sample->executions = after.executions - before.executions;
	sample->dropped = after.dropped - before.dropped;
	double lag_ms =
		(double)atomic_load(&b->max_lag_words) / (sample->words / sample->cpu_ms + 1);
	if (mode == GB_MODE_BLOCK && lag_ms > b->lag_ms)
		b->lag_ms = lag_ms;
	return NULL;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

/* From asking for the counts to having them: none of them can be older. */
static struct error *measure_count_age(struct bench *b)
{
	struct gb_request request = { .mode = GB_MODE_COUNT };
	double ages[COUNT_READS];
	TRY(trace_source_request(b->source, &request, REQUEST_MS));
	for (unsigned i = 0; i < COUNT_READS; i++) {
		AUTO(own_free) uint64_t *counts = NULL;
		struct timespec start, end;
		uint32_t n;
		clock_gettime(CLOCK_MONOTONIC, &start);
		TRY(trace_counts_now(b->source, &n, &counts));
		clock_gettime(CLOCK_MONOTONIC, &end);
		ages[i] = (double)(end.tv_sec - start.tv_sec) * 1e3 +
			  (double)(end.tv_nsec - start.tv_nsec) / 1e6;
	}
	qsort(ages, COUNT_READS, sizeof(*ages), compare_doubles);
	b->count_age_ms = ages[COUNT_READS / 2];
	return NULL;
}

static struct error *measure_all(struct bench *b)
{
	for (unsigned round = 0; round < ROUNDS; round++)
		for (unsigned mode = 0; mode < N_MODES; mode++)
			for (unsigned work = 0; work < N_WORKS; work++)
				TRY(measure_mode(b, work, mode, round));
	return measure_count_age(b);
}

static int compare_samples(const void *a, const void *b)
{
	double x = ((const struct sample *)a)->cpu_ms, y = ((const struct sample *)b)->cpu_ms;
	return x < y ? -1 : x > y;
}

static struct error *add_row(json_t *rows, const char *name, double value, const char *unit,
			     double baseline, double ratio, double goal, bool pass)
{
	return json_list_add(rows,
			     json_pack("{s:s, s:f, s:s, s:{s:s, s:f}, s:f, s:f, s:b}", "name",
				       name, "value", value, "unit", unit, "baseline", "name",
				       "plain TCG, CPU ms", "value", baseline, "ratio", ratio,
				       "goal", goal, "pass", (int)pass));
}

static struct error *report_work(struct bench *b, enum work work, json_t *rows)
{
	static const double goals[N_MODES] = { 1, 1.12, 1.5, 3.5 };
	struct sample median[N_MODES];
	double dropped[N_MODES] = { 0 };
	char name[96];
	for (unsigned mode = 0; mode < N_MODES; mode++) {
		for (unsigned round = 0; round < ROUNDS; round++)
			dropped[mode] += b->samples[work][mode][round].dropped;
		qsort(b->samples[work][mode], ROUNDS, sizeof(struct sample), compare_samples);
		median[mode] = b->samples[work][mode][ROUNDS / 2];
	}
	double base = median[0].cpu_ms;
	for (unsigned mode = 1; mode < N_MODES; mode++) {
		double cost = median[mode].cpu_ms / base;
		snprintf(name, sizeof(name), "cost of %s, %s", mode_names[mode],
			 work_names[work]);
		TRY(add_row(rows, name, median[mode].cpu_ms, "CPU ms", base, cost, goals[mode],
			    cost <= goals[mode]));
	}
	const struct sample *block = &median[GB_MODE_BLOCK];
	double rate = block->executions / block->cpu_ms / 1000;
	snprintf(name, sizeof(name), "block executions recorded, %s", work_names[work]);
	TRY(add_row(rows, name, rate, "M/s", base, rate / 50, 50, rate >= 50));
	double words = block->words / block->cpu_ms / 1000;
	snprintf(name, sizeof(name), "in so many records, %s", work_names[work]);
	TRY(add_row(rows, name, words, "M/s", base, words / rate, 0, true));
	for (unsigned mode = GB_MODE_BLOCK; mode <= GB_MODE_FULL; mode++) {
		snprintf(name, sizeof(name), "records dropped in %s, %s", mode_names[mode],
			 work_names[work]);
		TRY(add_row(rows, name, dropped[mode], "records", base, 0, 0,
			    dropped[mode] <= 0));
	}
	return NULL;
}

static struct error *report(struct bench *b, json_t *rows)
{
	for (unsigned work = 0; work < N_WORKS; work++)
		TRY(report_work(b, work, rows));
	double base = b->samples[LOOPS][0][ROUNDS / 2].cpu_ms;
	TRY(add_row(rows, "longest consumer lag in block traces", b->lag_ms, "ms", base,
		    b->lag_ms, 1, b->lag_ms <= 1));
	return add_row(rows, "age of the counts when read, median", b->count_age_ms, "ms", base,
		       b->count_age_ms, 1, b->count_age_ms <= 1);
}

static struct error *run_bench(struct bench *b, json_t *rows)
{
	char path[256];
	pthread_t thread;
	for (enum vm_news news = VM_NEWS_NONE; news != VM_NEWS_READY;) {
		news = vm_start_poll(b->start, READY_MS);
		if (news == VM_NEWS_NONE || news == VM_NEWS_ENDED || news == VM_NEWS_PANICKED)
			return error_create(ERR_PEER,
					    "the guest for the benchmark did not start");
	}
	trace_source_path(vm_start_name(b->start), path, sizeof(path));
	TRY(trace_source_open(path, &b->source));
	TRY(connect_console(b));
	TRY(run_in_guest(b, "stty -echo"));
	find_vcpu_thread(b);
	if (pthread_create(&thread, NULL, drain, b))
		return error_create(ERR_SYSTEM, "cannot start a thread");
	struct error *err = measure_all(b);
	atomic_store(&b->stop, true);
	pthread_join(thread, NULL);
	if (!err)
		err = TAKE(b->drain_error);
	error_destroy(b->drain_error);
	return err ? err : report(b, rows);
}

static struct error *bench_watching(json_t *rows)
{
	struct bench b = { .console = -1 };
	struct vm_spec spec = { .mem_bytes = 256 << 20, .cpus = 1, .learn = true };
	struct demo_guest guest = { 0 };
	TRY(demo_guest_fill(NULL, false, &spec, &guest));
	struct error *err = vm_start(&spec, &b.start);
	if (!err)
		err = run_bench(&b, rows);
	own_fd(&b.console);
	trace_source_close(b.source);
	vm_start_destroy(b.start);
	demo_guest_deinit(&guest);
	return err;
}

/* The learner's own figures, from the process that has the solver. */
static struct error *bench_learner(json_t *rows)
{
	AUTO(own_json) json_t *learned = NULL;
	AUTO(own_file) FILE *nothing = tmpfile(), *results = tmpfile();
	size_t i;
	json_t *row;
	if (!nothing || !results)
		return error_system(errno, "cannot make a temporary file");
	TRY(learner_run(nothing, results, "--bench", "40"));
	TRY(learner_rows(results, &learned));
	json_array_foreach(learned, i, row) TRY(json_list_add(rows, json_incref(row)));
	return NULL;
}

struct error *bench_learn(json_t *rows)
{
	TRY(bench_learner(rows));
	return bench_watching(rows);
}
