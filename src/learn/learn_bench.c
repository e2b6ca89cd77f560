#include "learn/learn_bench.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/vec.h"
#include "learn/elf_loops.h"
#include "learn/learned.h"
#include "learn/learner.h"
#include "learn/library.h"

enum { CASES = 500, SIMPLE_INSNS = 5 };

/* Milliseconds of processor time. */
struct times {
	VEC(double) ms;
};

struct bench {
	struct times lift, translate, search, window_proof, proof, test;
	struct times learn_wall, hit_wall;
	unsigned kernels, before, after, cost_before, cost_after;
};

static void note(struct times *times, double ms)
{
	(void)VEC_PUSH(&times->ms, ms);
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

/* The value that `share` of all lie below. */
static double quantile(struct times *times, double share)
{
	size_t n = times->ms.count;
	if (!n)
		return 0;
	qsort(times->ms.items, n, sizeof(double), by_size);
	size_t at = (size_t)(share * (double)n);
	return times->ms.items[at < n ? at : n - 1];
}

static void note_learned(struct bench *b, const struct learned *learned)
{
	const struct synth_result *synth = &learned->synth;
	note(&b->lift, learned->analyse_ms);
	note(&b->translate, learned->translate_ms);
	note(&b->proof, learned->proof->ms);
	note(&b->test, learned->tests.ms * 10000 / CASES);
	b->kernels++;
	b->before += synth->before;
	b->after += synth->after;
	b->cost_before += synth->cost_before;
	b->cost_after += synth->cost_after;
	for (unsigned i = 0; i < synth->n_windows; i++) {
		const struct synth_window *window = &synth->windows[i];
		if (window->before > SIMPLE_INSNS)
			continue;
		note(&b->search, window->search_ms);
		if (window->proof_ms > 0)
			note(&b->window_proof, window->proof_ms);
	}
}

static double wall_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* Once through everything by hand for the parts, then as the learner does it, twice. */
static struct error *one_loop(struct bench *b, struct library *library,
			      const struct code_source *source, uint64_t head)
{
	AUTO(own_learned) struct learned *learned = NULL;
	AUTO(own_error)
	struct error *refused = learned_create(
		&(struct learned_params){ .source = source, .head = head, .cases = CASES },
		&learned);
	if (refused)
		return error_kind(refused) == ERR_BAD_DATA ? TAKE(refused) : NULL;
	note_learned(b, learned);
	for (unsigned again = 0; again < 2; again++) {
		json_t *row = NULL;
		double start = wall_ms();
		TRY(learner_learn(&(struct learner_params){ .library = library,
							    .source = source,
							    .head = head,
							    .cases = CASES },
				  &row));
		note(again ? &b->hit_wall : &b->learn_wall, wall_ms() - start);
		json_decref(row);
	}
	return NULL;
}

static struct error *add_row(json_t *rows, const char *name, double value, const char *unit,
			     const char *base_name, double base, double goal)
{
	double ratio = base > 0 ? value / base : 0;
	double compared = goal > 0 && !strcmp(unit, "ms") ? value : ratio;
	json_t *row =
		json_pack("{s:s,s:f,s:s,s:{s:s,s:f},s:f,s:f,s:b}", "name", name, "value", value,
			  "unit", unit, "baseline", "name", base_name, "value", base, "ratio",
			  ratio, "goal", goal, "pass", (int)(goal <= 0 || compared <= goal));
	if (!row || json_array_append_new(rows, row))
		return error_create(ERR_MEMORY, "out of memory");
	return NULL;
}

static struct error *add_times(json_t *rows, const char *what, struct times *times, double goal)
{
	char name[96];
	double median = quantile(times, 0.5);
	snprintf(name, sizeof(name), "%s, median of %zu", what, times->ms.count);
	TRY(add_row(rows, name, median, "ms", "the same", median, goal));
	snprintf(name, sizeof(name), "%s, p95", what);
	return add_row(rows, name, quantile(times, 0.95), "ms", "its median", median, 0);
}

static struct error *report(struct bench *b, json_t *rows)
{
	TRY(add_times(rows, "lift and analyse a loop", &b->lift, 0));
	TRY(add_times(rows, "translate a loop", &b->translate, 0));
	TRY(add_times(rows, "synthesise a block of at most 5 instructions", &b->search, 100));
	TRY(add_times(rows, "prove such a block", &b->window_proof, 50));
	TRY(add_times(rows, "prove a loop", &b->proof, 0));
	TRY(add_times(rows, "10 000 tests of a loop", &b->test, 0));
	TRY(add_row(rows, "body instructions after synthesis", b->after, "instructions",
		    "as translated", b->before, 1));
	TRY(add_row(rows, "body cost after synthesis", b->cost_after, "cost", "as translated",
		    b->cost_before, 1));
	return add_row(rows, "a library hit", quantile(&b->hit_wall, 0.5), "ms, wall",
		       "learning it with 500 tests", quantile(&b->learn_wall, 0.5), 0.1);
}

static void deinit(struct bench *b)
{
	struct times *all[] = { &b->lift,  &b->translate, &b->search,	  &b->window_proof,
				&b->proof, &b->test,	  &b->learn_wall, &b->hit_wall };
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		VEC_FREE(&all[i]->ms);
}

static struct error *run_in(const char *directory, const char *path, unsigned most,
			    struct bench *b)
{
	AUTO(own_elf_code) struct elf_code *code = NULL;
	AUTO(own_library) struct library *library = NULL;
	AUTO(own_free) uint64_t *heads = NULL;
	size_t count;
	TRY(library_open(directory, &library));
	TRY(elf_code_open(path, &code));
	TRY(elf_code_heads(code, &heads, &count));
	struct code_source source = elf_code_source(code);
	for (size_t i = 0; i < count && b->kernels < most; i++)
		TRY(one_loop(b, library, &source, heads[i]));
	if (b->kernels == 0)
		return error_create(ERR_NOT_FOUND, "no loop of %s can be learned", path);
	return NULL;
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

struct error *learn_bench(const char *path, unsigned most, json_t *rows)
{
	char directory[] = "/tmp/glassbox-bench-XXXXXX";
	struct bench b = { 0 };
	if (!path)
		path = access("/usr/bin/gzip", R_OK) ? "/proc/self/exe" : "/usr/bin/gzip";
	if (!mkdtemp(directory))
		return error_create(ERR_SYSTEM, "cannot make a folder for the bench's library");
	struct error *err = run_in(directory, path, most, &b);
	if (!err)
		err = report(&b, rows);
	deinit(&b);
	if (nftw(directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS) && !err)
		err = error_create(ERR_SYSTEM, "cannot remove %s", directory);
	return err;
}
