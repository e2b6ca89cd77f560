#include "server/recorder.h"

#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "box/box.h"
#include "box/call.h"
#include "box/facts_watch.h"
#include "box/target.h"

enum { DEFAULT_INTERVAL_MS = 1000, MAX_VMS = 256, RETRY_LOOKS = 30 };

OWN_DECLARE(own_json, json_t *, json_decref)

/* One VM as long as its QEMU runs. */
struct recorded {
	struct recorded *next;
	char *name, *state;
	json_int_t pid; /* a VM of the same name with another PID is another VM */
	struct facts_watch
		*watch; /* NULL: another process records it, or it cannot be written */
	unsigned rest; /* looks to leave out after a failure */
	bool seen; /* in the list of VMs of this round */
};

struct recorder {
	struct recorder_params params;
	char *where;
	pthread_t thread;
	bool has_thread;
	pthread_mutex_t lock;
	pthread_cond_t wakes; /* ends changed */
	bool ends; /* under lock */
	struct recorder_counts counts; /* under lock */
	struct recorded *vms; /* the thread's */
	size_t n_vms;
};

static void recorded_destroy(struct recorded *vm)
{
	facts_watch_destroy(vm->watch);
	free(vm->name);
	free(vm->state);
	free(vm);
}

/* What happens to be wrong with one VM's database is said once and tried again later. */
static void rest(struct recorder *recorder, struct recorded *vm, struct error *err)
{
	bool is_busy = error_catch(&err, ERR_LIMIT);
	if (err)
		fprintf(stderr, "glassbox: the past of %s is not recorded for now: %s\n",
			vm->name, error_message(err));
	error_destroy(err);
	facts_watch_destroy(vm->watch);
	vm->watch = NULL;
	vm->rest = RETRY_LOOKS;
	if (is_busy)
		return;
	pthread_mutex_lock(&recorder->lock);
	recorder->counts.failures++;
	pthread_mutex_unlock(&recorder->lock);
}

static struct error *gather(void *user, struct target *target)
{
	facts_watch_gather(user, target);
	return NULL;
}

static struct error *start_watch(struct recorder *recorder, struct recorded *vm)
{
	struct facts_watch_params params = { .vm = vm->name,
					     .where = recorder->where,
					     .keep_ns = recorder->params.keep_ns,
					     .max_bytes = recorder->params.max_bytes };
	TRY(facts_watch_create(&params, &vm->watch));
	return facts_watch_event(vm->watch, "recording", NULL);
}

static struct error *look(struct recorder *recorder, struct recorded *vm, const char *state,
			  struct facts_watch_result *result)
{
	if (!vm->watch)
		TRY(start_watch(recorder, vm));
	if (!vm->state || strcmp(vm->state, state)) {
		free(vm->state);
		vm->state = strdup(state);
		TRY(facts_watch_event(vm->watch, state, NULL));
	}
	/* A VM that is just ending is no failure: the next round sees it gone. */
	error_destroy(box_with_target(recorder->params.box, vm->name, gather, vm->watch));
	return facts_watch_record(vm->watch, result);
}

static void look_at(struct recorder *recorder, struct recorded *vm, const char *state)
{
	struct facts_watch_result result = { 0 };
	if (vm->rest) {
		vm->rest--;
		return;
	}
	struct error *err = look(recorder, vm, state, &result);
	if (err) {
		rest(recorder, vm, err);
		return;
	}
	pthread_mutex_lock(&recorder->lock);
	recorder->counts.looks++;
	recorder->counts.changes += result.began + result.ended;
	pthread_mutex_unlock(&recorder->lock);
}

static struct recorded *find_or_add(struct recorder *recorder, const char *name, json_int_t pid)
{
	for (struct recorded *vm = recorder->vms; vm; vm = vm->next)
		if (vm->pid == pid && !strcmp(vm->name, name))
			return vm;
	struct recorded *vm = recorder->n_vms < MAX_VMS ? calloc(1, sizeof(*vm)) : NULL;
	if (!vm)
		return NULL;
	vm->name = strdup(name);
	vm->pid = pid;
	if (!vm->name) {
		free(vm);
		return NULL;
	}
	vm->next = recorder->vms;
	recorder->vms = vm;
	recorder->n_vms++;
	return vm;
}

/* The intervals of a VM that is gone end; its own database went with it. */
static void drop_gone(struct recorder *recorder)
{
	for (struct recorded **link = &recorder->vms; *link;) {
		struct recorded *vm = *link;
		if (vm->seen) {
			link = &vm->next;
			continue;
		}
		if (vm->watch && recorder->where) {
			error_destroy(facts_watch_event(vm->watch, "gone", NULL));
			error_destroy(facts_watch_end(vm->watch));
		}
		*link = vm->next;
		recorder->n_vms--;
		recorded_destroy(vm);
	}
}

static bool should_end(struct recorder *recorder)
{
	pthread_mutex_lock(&recorder->lock);
	bool ends = recorder->ends;
	pthread_mutex_unlock(&recorder->lock);
	return ends;
}

static void look_at_all(struct recorder *recorder)
{
	AUTO(own_json) json_t *args = json_object();
	AUTO(own_json) json_t *rows = NULL;
	struct box_request request = { .call = call_find("ls"), .args = args };
	struct error *err = box_call(recorder->params.box, &request, &rows);
	bool is_unknown = err;
	size_t i;
	json_t *row;
	error_destroy(err);
	for (struct recorded *vm = recorder->vms; vm; vm = vm->next)
		vm->seen = is_unknown;
	json_array_foreach(rows, i, row)
	{
		const char *name = json_string_value(json_object_get(row, "name"));
		const char *state = json_string_value(json_object_get(row, "state"));
		bool is_ours = json_is_true(json_object_get(row, "ours"));
		if (!name || !state || (!is_ours && !recorder->where) || should_end(recorder))
			continue;
		struct recorded *vm = find_or_add(
			recorder, name, json_integer_value(json_object_get(row, "pid")));
		if (!vm)
			continue;
		vm->seen = true;
		look_at(recorder, vm, state);
	}
	drop_gone(recorder);
}

static void count_time(struct recorder *recorder)
{
	struct timespec used;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	pthread_mutex_lock(&recorder->lock);
	recorder->counts.cpu_ns = (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
	recorder->counts.vms = recorder->n_vms;
	pthread_mutex_unlock(&recorder->lock);
}

/* Waits for the next look; true: the recorder ends. */
static bool pause_or_end(struct recorder *recorder)
{
	uint64_t ms = recorder->params.interval_ms;
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	until.tv_sec += (time_t)(ms / 1000) + until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&recorder->lock);
	while (!recorder->ends &&
	       !pthread_cond_timedwait(&recorder->wakes, &recorder->lock, &until))
		;
	bool ends = recorder->ends;
	pthread_mutex_unlock(&recorder->lock);
	return ends;
}

static void *record(void *argument)
{
	struct recorder *recorder = argument;
	do {
		look_at_all(recorder);
		count_time(recorder);
	} while (!pause_or_end(recorder));
	return NULL;
}

static struct error *start_thread(struct recorder *recorder)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int failed = pthread_create(&recorder->thread, NULL, record, recorder);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	recorder->has_thread = !failed;
	return failed ? error_system(failed, "cannot start the recorder") : NULL;
}

struct error *recorder_create(const struct recorder_params *params, struct recorder **ret)
{
	struct recorder *recorder = NULL;
	pthread_condattr_t attributes;
	TRY(error_alloc(1, sizeof(*recorder), &recorder));
	recorder->params = *params;
	if (!params->interval_ms)
		recorder->params.interval_ms = DEFAULT_INTERVAL_MS;
	pthread_mutex_init(&recorder->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&recorder->wakes, &attributes);
	pthread_condattr_destroy(&attributes);
	recorder->where = params->where ? strdup(params->where) : NULL;
	struct error *err = params->where && !recorder->where
				    ? error_create(ERR_MEMORY, "no memory for the recorder")
				    : start_thread(recorder);
	if (err) {
		recorder_destroy(recorder);
		return err;
	}
	*ret = recorder;
	return NULL;
}

void recorder_destroy(struct recorder *recorder)
{
	if (!recorder)
		return;
	pthread_mutex_lock(&recorder->lock);
	recorder->ends = true;
	pthread_cond_signal(&recorder->wakes);
	pthread_mutex_unlock(&recorder->lock);
	if (recorder->has_thread)
		pthread_join(recorder->thread, NULL);
	while (recorder->vms) {
		struct recorded *vm = recorder->vms;
		recorder->vms = vm->next;
		recorded_destroy(vm);
	}
	pthread_cond_destroy(&recorder->wakes);
	pthread_mutex_destroy(&recorder->lock);
	free(recorder->where);
	free(recorder);
}

struct recorder_counts recorder_counts(struct recorder *recorder)
{
	struct recorder_counts counts = { 0 };
	if (!recorder)
		return counts;
	pthread_mutex_lock(&recorder->lock);
	counts = recorder->counts;
	pthread_mutex_unlock(&recorder->lock);
	return counts;
}
