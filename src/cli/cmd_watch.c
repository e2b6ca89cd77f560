#include "cli/cmd_watch.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "box/facts_watch.h"
#include "box/guest_call.h"
#include "cli/print.h"
#include "facts/facts.h"

static volatile sig_atomic_t told_to_end;

static void end_soon(int signal_number)
{
	told_to_end = 1;
}

static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = end_soon };
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

/* "12:00:01 + processes  cat (pid 99)": one line for one change. */
static void print_change(const json_t *change)
{
	static const char *const names[] = { "comm",	   "name",  "path",
					     "mountpoint", "local", "kind" };
	const json_t *row = json_object_get(change, "row"), *pid = json_object_get(row, "pid");
	time_t seconds =
		(time_t)(json_integer_value(json_object_get(change, "time_ns")) / 1000000000);
	char clock_text[16] = "";
	struct tm moment;
	if (localtime_r(&seconds, &moment))
		strftime(clock_text, sizeof(clock_text), "%H:%M:%S", &moment);
	bool began = !strcmp(json_string_value(json_object_get(change, "change")), "began");
	printf("%s %c %-10s", clock_text, began ? '+' : '-',
	       json_string_value(json_object_get(change, "table")));
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		AUTO(own_free)
		char *text = cli_text(json_object_get(row, names[i]), COLUMN_LEFT);
		if (text && json_is_string(json_object_get(row, names[i])))
			printf(" %s", text);
	}
	if (pid)
		printf(" pid %lld", (long long)json_integer_value(pid));
	putchar('\n');
}

/* Prints what looks after the one at *seen_ns found, and moves it on. A row that ended was last
 * seen at the look before, so rows that began at *seen_ns were printed already and rows that
 * ended then were not. */
static struct error *print_changes(const struct facts_source *source, uint64_t *seen_ns,
				   bool as_json)
{
	AUTO(own_json) json_t *changes = NULL;
	uint64_t first_ns = 0, last_ns = 0, before_ns = *seen_ns;
	size_t i;
	json_t *change;
	TRY(facts_recorded(source, &first_ns, &last_ns));
	if (last_ns == before_ns)
		return NULL;
	*seen_ns = last_ns;
	if (!before_ns)
		return NULL;
	TRY(facts_diff(source, before_ns - 1, &changes));
	json_array_foreach(changes, i, change)
	{
		bool began =
			!strcmp(json_string_value(json_object_get(change, "change")), "began");
		if (began && (uint64_t)json_integer_value(json_object_get(change, "time_ns")) <=
				     before_ns)
			continue;
		if (as_json)
			json_dumpf(change, stdout, JSON_COMPACT), putchar('\n');
		else
			print_change(change);
	}
	fflush(stdout);
	return NULL;
}

static void sleep_ms(uint64_t ms)
{
	struct timespec time = { .tv_sec = (time_t)(ms / 1000),
				 .tv_nsec = (long)(ms % 1000) * 1000000 };
	nanosleep(&time, NULL);
}

/* Opens for recording; *ret stays NULL when somebody records already, whose changes are then
 * printed. */
static struct error *open_watch(const struct facts_watch_params *params,
				struct facts_watch **ret)
{
	struct error *err = facts_watch_create(params, ret);
	if (error_catch(&err, ERR_LIMIT))
		fprintf(stderr, "glassbox: %s is recorded by another process: printing only\n",
			params->vm);
	return err;
}

/* *changed_ret: something may have to be printed. */
static struct error *look_once(struct facts_watch *watch, struct target *target,
			       bool *changed_ret)
{
	struct facts_watch_result result = { .began = 1 };
	if (watch) {
		facts_watch_gather(watch, target);
		TRY(facts_watch_record(watch, &result));
	}
	*changed_ret = result.began + result.ended;
	return NULL;
}

struct error *cmd_watch(struct call_context *context, const struct cli_options *options)
{
	const char *vm = target_name(context->target), *where = call_string(context, "db");
	uint64_t interval_ms = call_integer(context, "interval_ms", 1000);
	uint64_t looks = call_integer(context, "looks", 0), seen_ns = 0;
	AUTO(own_facts_watch) struct facts_watch *watch = NULL;
	AUTO(own_free) char *place = NULL;
	TRY(facts_watch_place(vm, where, &place));
	struct facts_source source = { .where = place, .vm = vm };
	TRY(open_watch(&(struct facts_watch_params){ .vm = vm, .where = where }, &watch));
	catch_signals();
	if (!options->json && watch)
		fprintf(stderr, "recording %s into %s; Ctrl-C ends it\n", vm, place);
	for (uint64_t look = 1; !told_to_end; look++) {
		bool changed = false;
		if (!target_alive(context->target))
			return error_create(ERR_NOT_FOUND, "VM %s has ended", vm);
		TRY(look_once(watch, context->target, &changed));
		if (changed || look == 1)
			TRY(print_changes(&source, &seen_ns, options->json));
		if (look == looks)
			break;
		sleep_ms(interval_ms);
	}
	return NULL;
}
