#include "guest/hidden.h"

#include <string.h>

#include "base/error.h"
#include "guest/cpu.h"
#include "guest/internal.h"
#include "guest/tree.h"

enum { CANDIDATES_MAX = 1 << 20 };

struct candidate {
	uint64_t task;
	unsigned view;
};

struct cross_view {
	struct guest *guest;
	struct field pid_tasks, pid_links;
	VEC(struct candidate) candidates;
	bool no_memory;
};

static int compare_candidates(const void *left, const void *right)
{
	const struct candidate *a = left, *b = right;
	return a->task < b->task ? -1 : a->task > b->task;
}

static int compare_addresses(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
	return a < b ? -1 : a > b;
}

static bool add_candidate(struct cross_view *view, uint64_t task, unsigned which)
{
	struct candidate candidate = { task, which };
	if (view->candidates.count >= CANDIDATES_MAX || !VEC_PUSH(&view->candidates, candidate))
		view->no_memory = true;
	return !view->no_memory;
}

/* An entry of the pid map: struct pid, whose first list leads to the task of that id. */
static bool from_pid(void *user, uint64_t index, uint64_t pid)
{
	struct cross_view *view = user;
	if (!guest_is_kernel_pointer(view->guest, pid))
		return true;
	uint64_t link = guest_read_word(view->guest, pid + view->pid_tasks.offset);
	return !link || add_candidate(view, link - view->pid_links.offset, GUEST_VIEW_PID_MAP);
}

static bool from_cpu(void *user, const struct guest_cpu *cpu)
{
	return cpu->current == cpu->idle || add_candidate(user, cpu->current, GUEST_VIEW_CPU);
}

static void collect(struct cross_view *view)
{
	struct guest *guest = view->guest;
	struct field idr = guest_field(guest, "pid_namespace.idr.idr_rt");
	uint64_t init_pid_ns;
	view->pid_tasks = guest_field(guest, "pid.tasks");
	view->pid_links = guest_field(guest, "task_struct.pid_links");
	if (guest_symbol(guest, "init_pid_ns", &init_pid_ns) && idr.found &&
	    view->pid_tasks.found && view->pid_links.found)
		guest_xarray_each(guest, init_pid_ns + idr.offset, from_pid, view);
	else
		guest_add_note(guest, "the table of process ids of this kernel is not known");
	guest_cpus_each(guest, from_cpu, view);
	if (view->candidates.count)
		qsort(view->candidates.items, view->candidates.count, sizeof(struct candidate),
		      compare_candidates);
}

static void show_unlisted(struct cross_view *view, const uint64_t *listed, size_t n_listed,
			  guest_hidden_fn *visit, void *user)
{
	for (size_t i = 0; i < view->candidates.count;) {
		uint64_t task = view->candidates.items[i].task;
		struct guest_hidden hidden = { 0 };
		for (; i < view->candidates.count && view->candidates.items[i].task == task;
		     i++)
			hidden.views |= view->candidates.items[i].view;
		if (bsearch(&task, listed, n_listed, sizeof(*listed), compare_addresses) ||
		    !guest_task_read(view->guest, task, &hidden.task))
			continue;
		if (!visit(user, &hidden))
			return;
	}
}

struct error *guest_hidden_each(struct guest *guest, guest_hidden_fn *visit, void *user)
{
	/* The other views first: a task that starts meanwhile is in the list, not hidden. */
	struct cross_view view = { .guest = guest };
	collect(&view);
	AUTO(guest_tasks_deinit) struct guest_tasks tasks = { 0 };
	AUTO(own_free) uint64_t *listed = NULL;
	struct error *err = guest_tasks_read(guest, true, &tasks);
	if (!err)
		err = error_alloc(tasks.count, sizeof(*listed), &listed);
	if (!err && view.no_memory)
		err = error_create(ERR_MEMORY, "no memory to compare processes");
	for (size_t i = 0; !err && i < tasks.count; i++)
		listed[i] = tasks.items[i].gva;
	if (!err) {
		qsort(listed, tasks.count, sizeof(*listed), compare_addresses);
		show_unlisted(&view, listed, tasks.count, visit, user);
	}
	VEC_FREE(&view.candidates);
	return err;
}
