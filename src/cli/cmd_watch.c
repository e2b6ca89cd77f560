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

static struct error *print_changes(const char *place, const char *vm, uint64_t since_ns,
				   bool as_json)
{
	AUTO(own_json) json_t *changes = NULL;
	size_t i;
	json_t *change;
	TRY(facts_diff(place, vm, since_ns, &changes));
	json_array_foreach(changes, i, change)
	{
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

struct error *cmd_watch(struct call_context *context, const struct cli_options *options)
{
	const char *vm = target_name(context->target), *where = call_string(context, "db");
	uint64_t interval_ms = call_integer(context, "interval_ms", 1000);
	uint64_t looks = call_integer(context, "looks", 0), since_ns = facts_now();
	AUTO(own_facts_watch) struct facts_watch *watch = NULL;
	AUTO(own_free) char *place = NULL;
	TRY(facts_watch_place(vm, where, &place));
	TRY(facts_watch_create(vm, where, &watch));
	catch_signals();
	if (!options->json)
		fprintf(stderr, "recording %s into %s; Ctrl-C ends it\n", vm, place);
	for (uint64_t look = 1; !told_to_end; look++) {
		struct facts_watch_result result = { 0 };
		if (!target_alive(context->target))
			return error_create(ERR_NOT_FOUND, "VM %s has ended", vm);
		TRY(facts_watch_look(watch, context->target, &result));
		if (look > 1 && result.began + result.ended)
			TRY(print_changes(place, vm, since_ns, options->json));
		since_ns = facts_now();
		if (look == looks)
			break;
		sleep_ms(interval_ms);
	}
	return NULL;
}
