#include "cli/cmd_run.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "box/run_answer.h"
#include "box/run_spec.h"
#include "cli/print.h"
#include "cli/terminal.h"
#include "vm/start.h"
#include "vm/vm.h"

OWN_DECLARE(own_json, json_t *, json_decref)
OWN_DECLARE(own_terminal, struct terminal *, terminal_close)

static void say_boot_time(const struct terminal *terminal, const struct vm_start *start)
{
	terminal_say(terminal, "first userspace line after %.0f ms", vm_start_boot_ms(start));
}

/* Powers the VM off while its console goes on printing nothing. */
static struct error *stop_vm(const char *name)
{
	AUTO(own_vm) struct vm *vm = NULL;
	const char *how = NULL;
	struct error *err = vm_open(name, &vm);
	if (error_catch(&err, ERR_NOT_FOUND) || error_catch(&err, ERR_PEER))
		return NULL;
	TRY(err);
	return vm_stop(vm, 3000, &how);
}

/* Prints what the keeper reported; true when the VM is gone. */
static bool tell_news(struct terminal *terminal, struct vm_start *start)
{
	switch (vm_start_poll(start, 0)) {
	case VM_NEWS_FIRST_LINE:
		say_boot_time(terminal, start);
		return false;
	case VM_NEWS_PANICKED:
		terminal_say(terminal, "the guest's kernel panicked");
		return false;
	case VM_NEWS_ENDED:
		return true;
	case VM_NEWS_NONE:
	case VM_NEWS_READY:
		break;
	}
	return false;
}

static struct error *stay_attached(struct terminal *terminal, struct vm_start *start)
{
	for (;;) {
		switch (terminal_run(terminal, vm_start_fd(start))) {
		case TERMINAL_DETACH:
			vm_start_detach(start);
			terminal_say(terminal, "detached; `glassbox stop %s` ends it",
				     vm_start_name(start));
			return NULL;
		case TERMINAL_STOP:
			terminal_say(terminal, "stopping %s", vm_start_name(start));
			return stop_vm(vm_start_name(start));
		case TERMINAL_CLOSED:
			while (vm_start_poll(start, 5000) != VM_NEWS_ENDED)
				if (!vm_start_reason(start))
					break;
			__attribute__((fallthrough));
		case TERMINAL_NEWS:
			if (!vm_start_reason(start) && !tell_news(terminal, start))
				break;
			terminal_say(terminal, "VM %s ended: %s", vm_start_name(start),
				     vm_start_reason(start) ? vm_start_reason(start)
							    : "its keeper died");
			return NULL;
		case TERMINAL_NOTHING:
			break;
		}
	}
}

static struct error *run_foreground(const struct vm_spec *spec,
				    const struct cli_options *options)
{
	AUTO(own_vm_start) struct vm_start *start = NULL;
	TRY(run_start(spec, &start));
	if (options->json) {
		AUTO(own_json) json_t *document = run_document(start);
		TRY(cli_print(call_find("run"), document, true, stdout));
		fflush(stdout);
	} else {
		fprintf(stderr, "glassbox: VM %s runs under %s (%s)\n", vm_start_name(start),
			vm_start_accel(start), vm_start_accel_why(start));
		if (isatty(STDIN_FILENO))
			fputs("glassbox: Ctrl-] then d detaches, Ctrl-] then s stops the VM\n",
			      stderr);
	}
	AUTO(own_terminal) struct terminal *terminal = NULL;
	TRY(terminal_open(vm_start_name(start), &terminal));
	return stay_attached(terminal, start);
}

static struct error *run_detached_and_print(const struct vm_spec *spec,
					    const struct cli_options *options)
{
	AUTO(own_json) json_t *document = NULL;
	TRY(run_detached(spec, &document));
	if (options->json)
		return cli_print(call_find("run"), document, true, stdout);
	const json_t *boot_ms = json_object_get(document, "boot_ms");
	printf("%s\n", json_string_value(json_object_get(document, "name")));
	fprintf(stderr, "glassbox: VM %s runs under %s (%s)",
		json_string_value(json_object_get(document, "name")),
		json_string_value(json_object_get(document, "accel")),
		json_string_value(json_object_get(document, "accel_why")));
	if (json_is_number(boot_ms))
		fprintf(stderr, "; first userspace line after %.0f ms",
			json_number_value(boot_ms));
	fputc('\n', stderr);
	return NULL;
}

struct error *cmd_run(struct call_context *context, const struct cli_options *options)
{
	struct run_spec run;
	struct error *err = run_spec_init(context, &run);
	if (!err)
		err = call_bool(context, "detach") ? run_detached_and_print(&run.spec, options)
						   : run_foreground(&run.spec, options);
	run_spec_deinit(&run);
	return err;
}
