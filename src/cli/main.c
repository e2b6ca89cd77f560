/* The command line: finds the call, checks its arguments, runs it, prints its document. */
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "box/call_audit.h"
#include "cli/command.h"
#include "cli/completion.h"
#include "cli/help.h"
#include "cli/manual.h"
#include "cli/options.h"
#include "cli/print.h"
#include "guest/guest.h"

OWN_DECLARE(own_json, json_t *, json_decref)
OWN_DECLARE(own_target, struct target *, target_destroy)

/* One line on stderr. Exit status: 2 for wrong usage, else 1. Takes err. */
static int report(struct error *err)
{
	const char *hint = error_hint_text(err);
	fprintf(stderr, "glassbox: %s%s%s%s\n", error_message(err), hint ? " (" : "",
		hint ? hint : "", hint ? ")" : "");
	int status = error_kind(err) == ERR_USAGE ? 2 : 1;
	error_destroy(err);
	return status;
}

struct progress {
	struct timespec start;
	bool shown;
};

static double seconds_since(const struct timespec *start)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - start->tv_sec) +
	       (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

/* Shows progress on a terminal once the work has taken a second. */
static void show_progress(void *user, double done, const char *what)
{
	struct progress *progress = user;
	if (seconds_since(&progress->start) < 1)
		return;
	progress->shown = true;
	fprintf(stderr, "\r\033[K%3.0f %% %s", done * 100, what ? what : "");
	fflush(stderr);
}

static void clear_progress(const struct progress *progress)
{
	if (progress->shown)
		fputs("\r\033[K", stderr);
}

/* Doubts about the kernel found and what the answer lacks: on stderr, never in the document. */
static void show_doubts(struct target *target)
{
	struct guest *guest = target ? target_guest_open(target) : NULL;
	for (size_t i = 0; guest && guest_doubt(guest, i); i++)
		fprintf(stderr, "glassbox: doubt: %s\n", guest_doubt(guest, i));
	for (size_t i = 0; guest && guest_note(guest, i); i++)
		fprintf(stderr, "glassbox: partial: %s\n", guest_note(guest, i));
}

static volatile sig_atomic_t told_to_end;

static void end_soon(int number)
{
	told_to_end = number;
}

static bool is_told_to_end(void)
{
	return told_to_end;
}

/* The first Ctrl-C ends the work, a second one the process. */
static void catch_signals(struct call_context *context)
{
	struct sigaction action = { .sa_handler = end_soon, .sa_flags = (int)SA_RESETHAND };
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	context->ended = is_told_to_end;
}

static struct error *run_and_print(const struct call *call, struct call_context *context,
				   const struct cli_options *options)
{
	AUTO(own_json) json_t *document = NULL;
	struct progress progress = { 0 };
	clock_gettime(CLOCK_MONOTONIC, &progress.start);
	if (isatty(STDERR_FILENO)) {
		context->progress = show_progress;
		context->progress_user = &progress;
	}
	if (call->flags & CALL_ENDS_EARLY)
		catch_signals(context);
	struct error *err = call_do(call, context, &document);
	clear_progress(&progress);
	show_doubts(context->target);
	if (err)
		return err;
	return cli_print(call, document, options->json, stdout);
}

static struct error *run_call(const struct call *call, const struct cli_parsed *parsed)
{
	AUTO(own_target) struct target *target = NULL;
	if (call->flags & CALL_TARGET)
		TRY(target_open(&parsed->options.target, &target));
	struct call_context context = { .target = target, .args = parsed->args };
	const struct cli_command *command = cli_command_find(call->name);
	if (command)
		return command->run(&context, &parsed->options);
	CHECK(call->run);
	return run_and_print(call, &context, &parsed->options);
}

static struct error *run_audited(const struct call *call, const struct cli_parsed *parsed)
{
	struct error *err = run_call(call, parsed);
	const struct target_params *target = &parsed->options.target;
	call_audit(call, NULL, target->vm ? target->vm : target->file, parsed->args, err);
	return err;
}

static int unknown_command(const char *name)
{
	struct error *err = error_create(ERR_USAGE, "unknown command '%s'", name);
	const char *nearest = help_nearest(name);
	if (nearest)
		return report(error_hint(err, "did you mean `glassbox %s`?", nearest));
	return report(error_hint(err, "`glassbox help` lists the commands"));
}

/* Words that are not calls: help, version, and what packaging needs. */
static bool run_word(int argc, char **argv, int *status_ret)
{
	const char *word = argv[1];
	const struct call *call = argc > 2 ? call_find(argv[2]) : NULL;
	*status_ret = 0;
	if (!strcmp(word, "help") || !strcmp(word, "--help") || !strcmp(word, "-h")) {
		if (argc > 2 && !call)
			*status_ret = unknown_command(argv[2]);
		else if (call)
			help_call(call, stdout);
		else
			help_overview(stdout);
	} else if (!strcmp(word, "version") || !strcmp(word, "--version")) {
		puts("glassbox " GLASSBOX_VERSION);
	} else if (!strcmp(word, "man-page")) {
		manual_write(stdout);
	} else if (!strcmp(word, "completion")) {
		if (argc != 3 || !completion_write(argv[2], stdout))
			*status_ret = report(
				error_hint(error_create(ERR_USAGE, "completion needs a shell"),
					   "bash, zsh or fish"));
	} else {
		return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	setlocale(LC_CTYPE, "");
	signal(SIGPIPE, SIG_IGN);
	int status;
	if (argc < 2) {
		help_overview(stderr);
		return 2;
	}
	if (run_word(argc, argv, &status))
		return status;
	const struct call *call = call_find(argv[1]);
	if (!call)
		return unknown_command(argv[1]);
	AUTO(cli_parsed_deinit) struct cli_parsed parsed = { 0 };
	struct error *err = cli_parse(call, argc - 1, argv + 1, &parsed);
	if (!err && parsed.help) {
		help_call(call, stdout);
		return 0;
	}
	if (!err)
		err = run_audited(call, &parsed);
	if (err && error_kind(err) == ERR_USAGE && !error_hint_text(err))
		err = error_hint(err, "glassbox %s --help shows the usage", call->name);
	return err ? report(err) : 0;
}
