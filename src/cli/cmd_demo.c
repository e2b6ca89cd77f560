/* The tour is a list of steps, each one call on the demo guest with a sentence before it. The
 * guest is stopped at the end whatever happened, Ctrl-C included; --once or no terminal: no web
 * page at the end. */
#include "cli/cmd_demo.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "box/box.h"
#include "box/guest_call.h"
#include "cli/cmd_serve.h"
#include "box/guest_shell.h"
#include "cli/print.h"
#include "vm/state.h"

OWN_DECLARE(own_box, struct box *, box_destroy)

enum { ROWS_SHOWN = 8 };

struct demo {
	struct box *box;
	char vm[64];
	bool as_json; /* only the summary is printed then */
	bool use_colour;
	unsigned step;
	json_t *summary; /* owned by cmd_demo */
};

static volatile sig_atomic_t interrupted;

static void note_interrupt(int signal_number)
{
	interrupted = 1;
}

static double now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void headline(struct demo *demo, const char *command, const char *why)
{
	if (demo->as_json)
		return;
	printf("\n%s%u. %s%s\n", demo->use_colour ? "\033[1;36m" : "", demo->step + 1, why,
	       demo->use_colour ? "\033[0m" : "");
	printf("%s   $ glassbox %s%s\n", demo->use_colour ? "\033[2m" : "", command,
	       demo->use_colour ? "\033[0m" : "");
	fflush(stdout);
}

/* Of a status the fields that a newcomer wants; of anything else all. New reference. */
static json_t *what_matters(json_t *document)
{
	static const char *const fields[] = { "state",	       "accel",		"mem_bytes",
					      "kernel_banner", "symbol_source", "type_source",
					      "kaslr_source",  "paging_levels", "dirty_source",
					      "doubts" };
	if (!json_object_get(document, "symbol_source"))
		return json_incref(document);
	json_t *shown = json_object();
	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++)
		if (json_object_get(document, fields[i]))
			json_object_set(shown, fields[i], json_object_get(document, fields[i]));
	return shown;
}

/* The first rows of a list; an object. */
static void show(struct demo *demo, const struct call *call, json_t *document)
{
	size_t count = json_array_size(document);
	if (demo->as_json)
		return;
	AUTO(own_json)
	json_t *shown = json_is_array(document) ? json_array() : what_matters(document);
	for (size_t i = 0; json_is_array(document) && i < count && i < ROWS_SHOWN; i++)
		json_array_append(shown, json_array_get(document, i));
	error_destroy(cli_print(call, shown, false, stdout));
	if (count > ROWS_SHOWN)
		printf("... %zu more\n", count - ROWS_SHOWN);
}

/* Runs a call and gives its document; caller owns *ret. Notes how long it took. */
static struct error *ask(struct demo *demo, const char *name, json_t *args, json_t **ret)
{
	AUTO(own_json) json_t *owned_args = args;
	const struct call *call = call_find(name);
	CHECK(call);
	double began = now_ms();
	struct box_request request = {
		.call = call, .vm = demo->vm, .args = owned_args, .user = "demo"
	};
	if (interrupted)
		return error_create(ERR_LIMIT, "interrupted");
	TRY(box_call(demo->box, &request, ret));
	json_object_set_new(json_object_get(demo->summary, "ms"), name,
			    json_real(now_ms() - began));
	return NULL;
}

static struct error *step(struct demo *demo, const char *why, const char *name,
			  const char *words, json_t *args)
{
	AUTO(own_json) json_t *document = NULL;
	char line[256];
	snprintf(line, sizeof(line), "%s %s%s", name, demo->vm, words);
	headline(demo, line, why);
	double began = now_ms();
	TRY(ask(demo, name, args, &document));
	double took = now_ms() - began;
	show(demo, call_find(name), document);
	if (!demo->as_json)
		printf("(%.0f ms)\n", took);
	demo->step++;
	return NULL;
}

/* --- steps
 * ------------------------------------------------------------------------------------ */

static struct error *start_guest(struct demo *demo, struct call_context *context)
{
	AUTO(own_json) json_t *args = json_object();
	AUTO(own_json) json_t *document = NULL;
	const char *profile = call_string(context, "profile");
	snprintf(demo->vm, sizeof(demo->vm), "demo-%d", (int)getpid());
	json_object_set_new(args, "name", json_string(demo->vm));
	json_object_set_new(args, "mem", json_integer(256 << 20));
	json_object_set_new(args, "learn", json_true());
	json_object_set_new(args, "offload", json_true());
	if (profile)
		json_object_set_new(args, "profile", json_string(profile));
	char line[96];
	snprintf(line, sizeof(line), "run --detach --offload --mem 256M --name %s", demo->vm);
	headline(demo, line, "Boot a real Linux on stock QEMU, with its RAM in a shared file");
	struct box_request request = { .call = call_find("run"), .args = args, .user = "demo" };
	TRY(box_call(demo->box, &request, &document));
	json_object_set(demo->summary, "run", document);
	if (!demo->as_json)
		printf("%s runs under %s; first userspace line after %.0f ms\n", demo->vm,
		       json_string_value(json_object_get(document, "accel")),
		       json_number_value(json_object_get(document, "boot_ms")));
	demo->step++;
	return NULL;
}

static struct error *draw(struct demo *demo, const char *path)
{
	AUTO(own_json) json_t *document = NULL;
	char line[512];
	snprintf(line, sizeof(line), "render %s -o %s --size 1280x720", demo->vm, path);
	headline(demo, line,
		 "Draw its memory: every page is a brick on a Hilbert curve, coloured by what "
		 "it is for");
	json_t *args = json_pack("{s:s, s:s}", "output", path, "size", "1280x720");
	struct error *err = ask(demo, "render", args, &document);
	if (err && error_kind(err) == ERR_GPU) {
		printf("No picture: %s\n", error_message(err));
		error_destroy(err);
		return NULL;
	}
	if (err)
		return err;
	json_object_set_new(demo->summary, "picture", json_string(path));
	if (!demo->as_json)
		printf("wrote %s, drawn by %s\n", path,
		       json_string_value(json_object_get(document, "device")));
	demo->step++;
	return NULL;
}

static struct error *question(struct demo *demo, const char *text)
{
	AUTO(own_json) json_t *document = NULL;
	TRY(ask(demo, "ask", json_pack("{s:s}", "question", text), &document));
	if (!demo->as_json)
		printf("%s> %s%s\n  %s\n", demo->use_colour ? "\033[1m" : "", text,
		       demo->use_colour ? "\033[0m" : "",
		       json_string_value(json_object_get(document, "answer")));
	return NULL;
}

static struct error *questions(struct demo *demo)
{
	static const char *const texts[] = { "Which process uses the most memory?",
					     "How many kernel threads are running?",
					     "Is anything listening on port 80?",
					     "How much memory is free?",
					     "Highlight kernel memory allocations" };
	headline(demo, "ask VM \"...\"", "Ask it in plain language");
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		TRY(question(demo, texts[i]));
	demo->step++;
	return NULL;
}

static struct error *look_inside(struct demo *demo)
{
	TRY(step(demo,
		 "Find the kernel in the bytes: symbols, types, page tables, with no help from "
		 "the guest",
		 "status", "", json_object()));
	TRY(step(demo, "List its processes, from outside", "ps", "", json_object()));
	TRY(step(demo, "A kernel structure, as this very kernel has it", "type", " list_head",
		 json_pack("{s:s}", "name", "list_head")));
	return step(demo, "What every page of its memory is for", "regions", " --totals",
		    json_pack("{s:b}", "totals", 1));
}

/* --- watching, learning, executing elsewhere
 * ------------------------------------------------------ */

enum { SHELL_TIMEOUT_MS = 300000, WORKLOAD_REPS = 40 };

/* One timed run of the workload's loop c[i] = a[i] ^ b[i]: nanoseconds of guest time, and its
 * checksum. */
static struct error *time_workload(struct guest_shell *shell, double *ns_ret,
				   char checksum_ret[32])
{
	AUTO(own_free) char *output = NULL;
	char command[64];
	snprintf(command, sizeof(command), "workload xor 4194304 %d", WORKLOAD_REPS);
	TRY(guest_shell_run(shell, command, SHELL_TIMEOUT_MS, &output));
	const char *ns = strstr(output, "ns="), *checksum = strstr(output, "checksum=");
	if (!ns || !checksum || sscanf(checksum, "checksum=%31[0-9a-f]", checksum_ret) != 1)
		return error_create(ERR_PEER, "the guest's workload did not run: %.100s",
				    output);
	*ns_ret = strtod(ns + 3, NULL);
	return NULL;
}

static struct error *learn_from_workload(struct demo *demo, struct guest_shell *shell,
					 bool *learned_ret)
{
	AUTO(own_free) char *output = NULL;
	AUTO(own_json) json_t *rows = NULL;
	size_t i;
	json_t *row;
	TRY(guest_shell_run(shell, "workload xor 4194304 100000 >/dev/null 2>&1 & echo started",
			    SHELL_TIMEOUT_MS, &output));
	struct error *err =
		step(demo, "Watch it run: which code is hot", "hot", "", json_object());
	if (!err) {
		headline(demo, "learn VM",
			 "Lift the hot loop, prove microcode equal to it, test it on random "
			 "cases");
		err = ask(demo, "learn", json_pack("{s:i}", "ms", 1500), &rows);
	}
	free(TAKE(output));
	struct error *end = guest_shell_run(shell, "kill $!; wait", SHELL_TIMEOUT_MS, &output);
	if (err)
		error_destroy(end);
	TRY(err ? err : end);
	show(demo, call_find("learn"), rows);
	json_array_foreach(rows, i, row)
	{
		const char *outcome = json_string_value(json_object_get(row, "outcome"));
		*learned_ret |=
			outcome && (!strcmp(outcome, "learned") || !strcmp(outcome, "known"));
	}
	demo->step++;
	return NULL;
}

static struct error *execute_elsewhere(struct demo *demo, struct guest_shell *shell,
				       double before_ns, const char *before)
{
	AUTO(own_json) json_t *switched = NULL;
	double after_ns = 0;
	char after[32] = "";
	headline(demo, "offload VM on",
		 "Run the proven loop outside the emulator, while the guest keeps running");
	TRY(ask(demo, "offload", json_pack("{s:s}", "state", "on"), &switched));
	TRY(time_workload(shell, &after_ns, after));
	TRY(time_workload(shell, &after_ns, after));
	json_object_set_new(demo->summary, "offload_speedup", json_real(before_ns / after_ns));
	json_object_set_new(demo->summary, "offload_same_result",
			    json_boolean(!strcmp(before, after)));
	if (strcmp(before, after))
		return error_create(ERR_BAD_DATA, "the offloaded loop gave %s, the guest %s",
				    after, before);
	if (!demo->as_json)
		printf("The guest's loop took %.0f ms under TCG and %.0f ms now: %.1f times as "
		       "fast, with the same "
		       "result (%s).\n",
		       before_ns / 1e6, after_ns / 1e6, before_ns / after_ns, after);
	demo->step++;
	return NULL;
}

static struct error *hybrid(struct demo *demo)
{
	AUTO(own_guest_shell) struct guest_shell *shell = NULL;
	double before_ns = 0;
	char before[32] = "";
	bool learned = false;
	TRY(guest_shell_open(demo->vm, &shell));
	TRY(time_workload(shell, &before_ns, before));
	TRY(learn_from_workload(demo, shell, &learned));
	if (learned)
		return execute_elsewhere(demo, shell, before_ns, before);
	if (!demo->as_json)
		printf("Nothing was learned this time, so nothing is offloaded.\n");
	return NULL;
}

static struct error *tour(struct demo *demo, struct call_context *context)
{
	const char *path = call_string(context, "output");
	TRY(start_guest(demo, context));
	TRY(look_inside(demo));
	TRY(draw(demo, path ? path : "glassbox-demo.png"));
	TRY(questions(demo));
	return hybrid(demo);
}

/* --- the end
 * ------------------------------------------------------------------------------------- */

/* Stops the guest also when the tour failed half-way; a guest that never started is no error.
 */
static struct error *end_guest(struct demo *demo)
{
	AUTO(own_json) json_t *args = json_object();
	AUTO(own_json) json_t *document = NULL;
	struct box_request request = {
		.call = call_find("stop"), .vm = demo->vm, .args = args, .user = "demo"
	};
	if (!state_is_running(demo->vm))
		return NULL;
	return box_call(demo->box, &request, &document);
}

static void catch_interrupt(void)
{
	struct sigaction action = { .sa_handler = note_interrupt };
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

static struct error *finish(struct demo *demo, const struct cli_options *options, bool serves)
{
	struct error *err = NULL;
	if (serves) {
		printf("\nThe page shows this guest live. Ctrl-C ends the tour and the "
		       "guest.\n");
		err = serve_until_signal(
			&(struct server_params){ .port = 8036, .any_port = true }, false);
	}
	struct error *end = end_guest(demo);
	if (!err)
		return end;
	error_destroy(end);
	return err;
}

struct error *cmd_demo(struct call_context *context, const struct cli_options *options)
{
	AUTO(own_box) struct box *box = NULL;
	AUTO(own_json) json_t *summary = json_pack("{s:{}}", "ms");
	TRY(box_create(&box));
	struct demo demo = { .box = box,
			     .as_json = options->json,
			     .summary = summary,
			     .use_colour = isatty(STDOUT_FILENO) && !options->json };
	bool serves = !call_bool(context, "once") && !options->json && isatty(STDIN_FILENO) &&
		      isatty(STDOUT_FILENO);
	catch_interrupt();
	struct error *err = tour(&demo, context);
	struct error *end = finish(&demo, options, serves && !err);
	if (err) {
		error_destroy(end);
		return err;
	}
	if (!end && options->json)
		return cli_print(call_find("demo"), summary, true, stdout);
	if (!end && !serves)
		printf("\nThe guest is stopped and nothing is left behind. `glassbox demo` on "
		       "a terminal goes on with the "
		       "web page;\n`glassbox help` lists everything.\n");
	return end;
}
