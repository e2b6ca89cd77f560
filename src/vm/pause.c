#include "vm/pause.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "plugin/control.h"
#include "vm/freeze.h"
#include "vm/migration.h"
#include "vm/plugin_state.h"
#include "vm/proc.h"
#include "vm/qmp.h"
#include "vm/vm.h"

OWN_DECLARE(own_json, json_t *, json_decref)

#define QMP_TIMEOUT_MS 10000
#define CMDLINE_LIMIT (1u << 20)

const char *pause_kind_name(enum pause_kind kind)
{
	static const char *const names[] = { [PAUSE_NONE] = "none",
					     [PAUSE_THREADS] = "threads held",
					     [PAUSE_MONITOR] = "monitor" };
	return names[kind];
}

struct pause {
	const struct pause_params *params;
	struct qmp *qmp;
};

static struct error *call_user(void *user)
{
	const struct pause *pause = user;
	return pause->params->while_paused(pause->params->user, pause->qmp);
}

/* Others than QEMU's threads may write the guest's memory: the kernel or another process for
 * its devices, the Pixel CPU for its processors. QEMU's own stop waits for those. */
static bool has_other_writers(struct vm *vm)
{
	static const char *const words[] = { "vhost", "ivshmem", "vfio", "x-remote" };
	struct gb_control control;
	AUTO(own_free) char *text = NULL;
	char path[64];
	size_t length = 0;
	if (plugin_state_read(vm, &control) && control.request.offload != GB_OFFLOAD_OFF)
		return true;
	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)vm_pid(vm));
	struct error *err = proc_read_file(path, CMDLINE_LIMIT, &text, &length);
	bool found = err != NULL;
	error_destroy(err);
	for (size_t i = 0; !found && i < sizeof(words) / sizeof(*words); i++)
		found = memmem(text, length, words[i], strlen(words[i]));
	return found;
}

static struct error *by_threads(struct vm *vm, struct pause *pause, struct pause_times *ret)
{
	struct freeze_times times;
	if (has_other_writers(vm))
		return error_create(ERR_UNSUPPORTED, "not only QEMU writes the guest's memory");
	TRY(freeze_run(vm_pid(vm), vm_start_time(vm), call_user, pause, &times));
	*ret = (struct pause_times){ .kind = PAUSE_THREADS,
				     .stop_ns = times.hold_ns,
				     .held_ns = times.held_ns,
				     .go_ns = times.release_ns };
	return NULL;
}

static struct error *by_monitor(struct vm *vm, struct pause *pause, struct pause_times *ret)
{
	AUTO(own_qmp) struct qmp *qmp = NULL;
	AUTO(own_json) json_t *status = NULL;
	struct pause_times times = { .kind = PAUSE_MONITOR };
	TRY(vm_qmp(vm, &qmp));
	TRY(qmp_command(qmp, "query-status", NULL, QMP_TIMEOUT_MS, &status));
	bool runs = json_is_true(json_object_get(status, "running"));
	pause->qmp = qmp;
	uint64_t start = clock_now_ns();
	if (runs)
		TRY(qmp_command(qmp, "stop", NULL, QMP_TIMEOUT_MS, NULL));
	uint64_t stopped = clock_now_ns();
	struct error *err = call_user(pause);
	uint64_t done = clock_now_ns();
	struct error *resume = runs ? vm_continue(vm, qmp) : migration_check(vm, qmp);
	if (runs) {
		times.stop_ns = stopped - start;
		times.held_ns = done - stopped;
		times.go_ns = clock_now_ns() - done;
	}
	*ret = times;
	if (!err)
		return resume;
	error_destroy(resume);
	return err;
}

struct error *pause_run(struct vm *vm, const struct pause_params *params,
			struct pause_times *ret)
{
	struct pause pause = { .params = params };
	struct error *err = NULL;
	if (!params->needs_monitor) {
		err = by_threads(vm, &pause, ret);
		if (!error_catch(&err, ERR_UNSUPPORTED))
			return err;
	}
	return by_monitor(vm, &pause, ret);
}
