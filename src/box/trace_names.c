#include "box/trace_names.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "box/target.h"
#include "guest/guest.h"
#include "guest/symtab.h"
#include "guest/task.h"

struct trace_names {
	struct guest *guest; /* borrowed; NULL: no kernel found */
	struct guest_tasks tasks;
};

/* With page-table isolation a process has a second table for user mode one page higher. */
static const uint64_t ISOLATION_BIT = 0x1000;

struct error *trace_names_create(struct target *target, struct trace_names **ret)
{
	AUTO(own_trace_names) struct trace_names *names = NULL;
	TRY(error_alloc(1, sizeof(*names), &names));
	struct error *err = target_guest(target, &names->guest);
	if (err)
		names->guest = NULL;
	error_destroy(err);
	if (names->guest) {
		guest_begin(names->guest);
		error_destroy(guest_tasks_read(names->guest, false, &names->tasks));
	}
	*ret = TAKE(names);
	return NULL;
}

void trace_names_destroy(struct trace_names *names)
{
	if (!names)
		return;
	guest_tasks_deinit(&names->tasks);
	free(names);
}

static const struct guest_task *task_of(const struct trace_names *names, uint64_t cr3)
{
	for (size_t i = 0; cr3 && i < names->tasks.count; i++) {
		const struct guest_task *task = &names->tasks.items[i];
		if (task->has_cr3 && (task->cr3 == cr3 || (task->cr3 | ISOLATION_BIT) == cr3))
			return task;
	}
	return NULL;
}

void trace_names_process(const struct trace_names *names, uint64_t cr3, char *ret,
			 size_t ret_bytes)
{
	const struct guest_task *task = task_of(names, cr3);
	ret[0] = 0;
	if (task)
		snprintf(ret, ret_bytes, "%s[%d]", task->comm, (int)task->pid);
}

void trace_names_text(void *user, uint64_t cr3, uint64_t gva, char *ret, size_t ret_bytes)
{
	struct trace_names *names = user;
	char process[128];
	if (gva >> 63 && names->guest) {
		guest_symbol_text(names->guest, gva, ret, ret_bytes);
		return;
	}
	trace_names_process(names, cr3, process, sizeof(process));
	snprintf(ret, ret_bytes, "%s%s0x%" PRIx64, process, process[0] ? " " : "", gva);
}

void trace_names_function(void *user, uint64_t cr3, uint64_t gva, char *ret, size_t ret_bytes)
{
	struct trace_names *names = user;
	if (!(gva >> 63) || !names->guest) {
		trace_names_text(user, cr3, gva, ret, ret_bytes);
		return;
	}
	char text[200];
	guest_symbol_text(names->guest, gva, text, sizeof(text));
	char *plus = strrchr(text, '+');
	if (plus)
		*plus = 0;
	snprintf(ret, ret_bytes, "[kernel] %s", text);
}

uint64_t trace_names_cr3(const struct trace_names *names, int64_t pid)
{
	for (size_t i = 0; i < names->tasks.count; i++)
		if (names->tasks.items[i].pid == pid && names->tasks.items[i].has_cr3)
			return names->tasks.items[i].cr3;
	return 0;
}
