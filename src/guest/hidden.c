/* Four ways to a task besides the task list. The last needs no list at all: a place in the
 * cache of task_struct holds a living task when it still has its signal handlers, which it
 * loses in the moment in which it leaves the lists (__exit_signal). */
#include "guest/hidden.h"

#include <string.h>

#include "base/error.h"
#include "guest/cpu.h"
#include "guest/cross_view.h"
#include "guest/internal.h"
#include "guest/run_queue.h"
#include "guest/slab.h"
#include "guest/tree.h"

struct task_views {
	struct guest *guest;
	struct cross_view cross;
	struct field pid_tasks, pid_links;
	struct field usage, sighand, stack, exit_state;
	uint64_t cache; /* of task_struct */
};

/* An entry of the pid map: struct pid, whose first list leads to the task of that id. */
static bool from_pid(void *user, uint64_t index, uint64_t pid)
{
	struct task_views *v = user;
	if (!guest_is_kernel_pointer(v->guest, pid))
		return true;
	uint64_t link = guest_read_word(v->guest, pid + v->pid_tasks.offset);
	return !link ||
	       cross_view_found(&v->cross, link - v->pid_links.offset, GUEST_VIEW_PID_MAP);
}

static bool from_queue(void *user, uint64_t task, const char *class)
{
	struct task_views *v = user;
	return cross_view_found(&v->cross, task, GUEST_VIEW_RUN_QUEUE);
}

static bool from_cpu(void *user, const struct guest_cpu *cpu)
{
	struct task_views *v = user;
	if (cpu->current != cpu->idle &&
	    !cross_view_found(&v->cross, cpu->current, GUEST_VIEW_CPU))
		return false;
	guest_runnable_each(v->guest, cpu, from_queue, v);
	return !v->cross.no_memory;
}

static bool from_slab(void *user, uint64_t task)
{
	struct task_views *v = user;
	struct guest *guest = v->guest;
	bool lives = guest_load(guest, task, v->usage) && guest_load(guest, task, v->stack) &&
		     guest_is_kernel_pointer(guest, guest_load(guest, task, v->sighand));
	return !lives || cross_view_found(&v->cross, task, GUEST_VIEW_SLAB);
}

static bool task_cache(void *user, const struct guest_slab_cache *cache)
{
	struct task_views *v = user;
	if (!strcmp(cache->name, "task_struct"))
		v->cache = cache->gva;
	return !v->cache;
}

static void collect_pids(struct task_views *v)
{
	struct guest *guest = v->guest;
	struct field idr = guest_field(guest, "pid_namespace.idr.idr_rt");
	uint64_t init_pid_ns;
	v->pid_tasks = guest_field(guest, "pid.tasks");
	v->pid_links = guest_field(guest, "task_struct.pid_links");
	if (guest_symbol(guest, "init_pid_ns", &init_pid_ns) && idr.found &&
	    v->pid_tasks.found && v->pid_links.found)
		guest_xarray_each(guest, init_pid_ns + idr.offset, from_pid, v);
	else
		guest_add_note(guest, "the table of process ids of this kernel is not known");
}

static void collect_slab(struct task_views *v)
{
	struct guest *guest = v->guest;
	v->usage = guest_field(guest, "task_struct.usage");
	v->sighand = guest_field(guest, "task_struct.sighand");
	v->stack = guest_field(guest, "task_struct.stack");
	guest_slabs_each(guest, task_cache, v);
	if (v->cache && v->sighand.found)
		guest_slab_objects_each(guest, v->cache, from_slab, v);
	else
		guest_add_note(guest, "the cache of task structures is not known");
}

static void show(struct task_views *v, guest_hidden_fn *visit, void *user)
{
	size_t n = cross_view_compare(&v->cross);
	for (size_t i = 0; i < n; i++) {
		struct guest_hidden hidden = { .views = v->cross.found.items[i].views };
		if (guest_task_read(v->guest, v->cross.found.items[i].gva, &hidden.task) &&
		    !visit(user, &hidden))
			return;
	}
}

static struct error *list_tasks(struct task_views *v)
{
	AUTO(guest_tasks_deinit) struct guest_tasks tasks = { 0 };
	uint64_t init_task;
	/* Idle tasks of CPUs are in no list; the first is the list's head. */
	if (guest_symbol(v->guest, "init_task", &init_task))
		cross_view_listed(&v->cross, init_task);
	TRY(guest_tasks_read(v->guest, true, &tasks));
	for (size_t i = 0; i < tasks.count; i++)
		cross_view_listed(&v->cross, tasks.items[i].gva);
	return NULL;
}

static bool list_idle(void *user, const struct guest_cpu *cpu)
{
	struct task_views *v = user;
	return cross_view_listed(&v->cross, cpu->idle);
}

struct error *guest_hidden_each(struct guest *guest, guest_hidden_fn *visit, void *user)
{
	struct task_views v = { .guest = guest };
	/* The other views first: a task that starts meanwhile is in the list, not hidden. */
	collect_pids(&v);
	guest_cpus_each(guest, from_cpu, &v);
	collect_slab(&v);
	guest_cpus_each(guest, list_idle, &v);
	struct error *err = list_tasks(&v);
	if (!err && v.cross.no_memory)
		err = error_create(ERR_MEMORY, "no memory to compare processes");
	if (!err)
		show(&v, visit, user);
	cross_view_deinit(&v.cross);
	return err;
}
