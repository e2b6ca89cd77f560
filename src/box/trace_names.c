#include "box/trace_names.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "box/target.h"
#include "guest/guest.h"
#include "guest/program_symbols.h"
#include "guest/symtab.h"
#include "guest/task.h"
#include "vm/proc.h"

struct trace_names {
	struct guest *guest; /* borrowed; NULL: no kernel found */
	struct guest_tasks tasks; /* at the start */
	struct guest_tasks later; /* read again when a page table was not among them */
	bool looked_again;
	uint64_t asked_ns; /* when a name was wanted last */
	struct program_symbols *programs; /* with guest only */
};

enum { PAUSE_NS = 100000000 };

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
		TRY(program_symbols_create(names->guest, &names->programs));
	}
	*ret = TAKE(names);
	return NULL;
}

void trace_names_destroy(struct trace_names *names)
{
	if (!names)
		return;
	guest_tasks_deinit(&names->tasks);
	guest_tasks_deinit(&names->later);
	program_symbols_destroy(names->programs);
	free(names);
}

static const struct guest_task *task_in(const struct guest_tasks *tasks, uint64_t cr3)
{
	for (size_t i = 0; i < tasks->count; i++) {
		const struct guest_task *task = &tasks->items[i];
		if (task->has_cr3 && (task->cr3 == cr3 || (task->cr3 | ISOLATION_BIT) == cr3))
			return task;
	}
	return NULL;
}

/* Names are wanted after seconds of watching, when the time for the question that read the
 * tasks is long over. Names that follow each other closely are one question, with one budget.
 */
static void go_on(struct trace_names *names)
{
	uint64_t now = clock_now_ns();
	if (names->guest && now - names->asked_ns > PAUSE_NS)
		guest_renew(names->guest);
	names->asked_ns = clock_now_ns();
}

/* Processes may have started since: one more look. */
static const struct guest_task *task_of(struct trace_names *names, uint64_t cr3)
{
	if (!cr3 || !names->guest)
		return NULL;
	go_on(names);
	const struct guest_task *task = task_in(&names->tasks, cr3);
	if (!task && !names->looked_again) {
		names->looked_again = true;
		guest_begin(names->guest);
		error_destroy(guest_tasks_read(names->guest, false, &names->later));
	}
	return task ? task : task_in(&names->later, cr3);
}

void trace_names_process(struct trace_names *names, uint64_t cr3, char *ret, size_t ret_bytes)
{
	const struct guest_task *task = task_of(names, cr3);
	ret[0] = 0;
	if (task)
		snprintf(ret, ret_bytes, "%s[%d]", task->comm, (int)task->pid);
}

/* "symbol", "file:symbol" when the file is not what the process is called after, "file+0x12"
 * without a symbol, the address when it is in no file. */
static void program_text(struct trace_names *names, const struct guest_task *task, uint64_t gva,
			 char *ret, size_t ret_bytes, uint64_t *into_ret)
{
	struct program_place place;
	if (!task || !program_symbols_find(names->programs, task, gva, &place)) {
		snprintf(ret, ret_bytes, "0x%" PRIx64, gva);
		return;
	}
	if (!place.symbol) {
		snprintf(ret, ret_bytes, "%s+0x%" PRIx64, place.file, place.file_offset);
		return;
	}
	bool is_main = !strncmp(place.file, task->comm, strlen(task->comm));
	*into_ret = place.into_symbol;
	snprintf(ret, ret_bytes, "%s%s%s", is_main ? "" : place.file, is_main ? "" : ":",
		 place.symbol);
}

static void kernel_text(struct trace_names *names, uint64_t gva, char *ret, size_t ret_bytes,
			uint64_t *into_ret)
{
	char text[256];
	guest_symbol_text(names->guest, gva, text, sizeof(text));
	char *plus = strrchr(text, '+');
	if (plus) {
		*into_ret = strtoull(plus + 1, NULL, 16);
		*plus = 0;
	}
	snprintf(ret, ret_bytes, "%s", text);
}

void trace_names_place(void *user, uint64_t cr3, uint64_t gva, char *ret, size_t ret_bytes,
		       uint64_t *into_ret)
{
	struct trace_names *names = user;
	char process[128], place[256];
	*into_ret = 0;
	go_on(names);
	if (gva >> 63 && names->guest) {
		kernel_text(names, gva, ret, ret_bytes, into_ret);
		return;
	}
	const struct guest_task *task = task_of(names, cr3);
	trace_names_process(names, cr3, process, sizeof(process));
	program_text(names, task, gva, place, sizeof(place), into_ret);
	snprintf(ret, ret_bytes, "%s%s%s", process, process[0] ? " " : "", place);
}

uint64_t trace_names_cr3(const struct trace_names *names, int64_t pid)
{
	for (size_t i = 0; i < names->tasks.count; i++)
		if (names->tasks.items[i].pid == pid && names->tasks.items[i].has_cr3)
			return names->tasks.items[i].cr3;
	return 0;
}
