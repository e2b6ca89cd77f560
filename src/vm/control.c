/* Pause, resume, reset and stop, through the monitor and, when that is dead, through signals.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "vm/internal.h"
#include "vm/migration.h"
#include "vm/proc.h"
#include "vm/qmp.h"
#include "vm/state.h"

#define QMP_TIMEOUT_MS 5000

struct error *vm_qmp(struct vm *vm, struct qmp **ret)
{
	if (!vm->qmp_path)
		return error_hint(error_create(ERR_UNSUPPORTED,
					       "VM %s has no monitor that can be reached",
					       vm->name),
				  "start its QEMU with -qmp unix:PATH,server=on,wait=off");
	return qmp_connect(vm->qmp_path, QMP_TIMEOUT_MS, ret);
}

static struct error *simple_command(struct vm *vm, const char *command)
{
	AUTO(own_qmp) struct qmp *qmp = NULL;
	TRY(vm_qmp(vm, &qmp));
	return error_wrap(qmp_command(qmp, command, NULL, QMP_TIMEOUT_MS, NULL), "VM %s",
			  vm->name);
}

/* The keeper writes vm.json when QEMU's event comes: what is asked next should find the new
 * state. After half a second the state is what it is (another client may have changed it back).
 */
static struct error *wait_for_state(struct vm *vm, const char *wanted)
{
	for (int i = 0; vm->ours && i < 250; i++) {
		TRY(vm_refresh(vm));
		const char *state =
			json_string_value(json_object_get(vm_document(vm), "state"));
		if (state && !strcmp(state, wanted))
			return NULL;
		poll(NULL, 0, 2);
	}
	return NULL;
}

struct error *vm_pause(struct vm *vm)
{
	TRY(simple_command(vm, "stop"));
	return wait_for_state(vm, "paused");
}

struct error *vm_continue(struct vm *vm, struct qmp *qmp)
{
	TRY(migration_check(vm, qmp));
	return qmp_command(qmp, "cont", NULL, QMP_TIMEOUT_MS, NULL);
}

struct error *vm_resume(struct vm *vm)
{
	AUTO(own_qmp) struct qmp *qmp = NULL;
	TRY(vm_qmp(vm, &qmp));
	TRY(error_wrap(vm_continue(vm, qmp), "VM %s", vm->name));
	return wait_for_state(vm, "running");
}

struct error *vm_reset(struct vm *vm)
{
	return simple_command(vm, "system_reset");
}

/* Waits until the keeper has removed everything; removes it here when the keeper is dead. */
static void wait_cleared(const struct vm *vm)
{
	for (int i = 0; vm->ours && i < 1000 && state_is_running(vm->name); i++)
		poll(NULL, 0, 2);
	state_sweep();
}

/* True when the process ended after the command. */
static bool ends_after(struct vm *vm, const char *command, int wait_ms)
{
	struct error *err = simple_command(vm, command);
	bool refused = err && error_kind(err) != ERR_PEER;
	error_destroy(err);
	return !refused && proc_wait_gone(vm->pid, vm->start_time, wait_ms);
}

struct error *vm_stop(struct vm *vm, int grace_ms, const char **how_ret)
{
	bool gone = false;
	if (grace_ms > 0 && !json_is_true(json_object_get(vm->document, "no_powerdown"))) {
		gone = ends_after(vm, "system_powerdown", grace_ms);
		*how_ret = "powered off";
	}
	if (!gone && vm->qmp_path) {
		gone = ends_after(vm, "quit", 3000);
		*how_ret = "ended";
	}
	if (!gone) {
		proc_signal(vm->pid, vm->start_time, SIGKILL);
		gone = proc_wait_gone(vm->pid, vm->start_time, 5000);
		*how_ret = "killed";
	}
	wait_cleared(vm);
	return gone ? NULL
		    : error_create(ERR_SYSTEM, "process %d of VM %s does not end", (int)vm->pid,
				   vm->name);
}
