/* What waits for a CPU, by the classes of the scheduler:
 *
 *   deadline  rq.dl.root, a tree of task_struct.dl; servers for other classes stand in it too
 *   real time rq.rt.active.queue[100], lists of task_struct.rt
 *   fair      rq.cfs_tasks, a list of task_struct.se: of CFS as of EEVDF, and of all groups.
 * What went to sleep with time owed stays in it for a while (sched_delayed, since 6.12)
 *
 * The one that runs is among them. A group of real-time tasks stands for its members: it has a
 * queue of its own. */
#include "guest/run_queue.h"

#include "guest/cpu.h"
#include "guest/internal.h"
#include "guest/tree.h"

enum { GROUP_DEPTH_MAX = 8 };

struct queue_walk {
	struct guest *guest;
	guest_runnable_fn *visit;
	void *user;
	struct field dl, dl_node, dl_server, rt, rt_link, rt_queue, rt_group;
	uint32_t n_servers;
	bool ended;
};

static void show(struct queue_walk *w, uint64_t entity, struct field in_task, const char *class)
{
	w->ended = w->ended || !w->visit(w->user, entity - in_task.offset, class);
}

static bool deadline_task(void *user, uint64_t index, uint64_t node)
{
	struct queue_walk *w = user;
	uint64_t entity = node - w->dl_node.offset;
	if (!w->dl_server.found || !guest_load(w->guest, entity, w->dl_server))
		show(w, entity, w->dl, "deadline");
	return !w->ended;
}

static void deadline(struct queue_walk *w, uint64_t runqueue)
{
	struct field root = guest_field(w->guest, "rq.dl.root.rb_root");
	w->dl = guest_field(w->guest, "task_struct.dl");
	w->dl_node = guest_field(w->guest, "sched_dl_entity.rb_node");
	w->dl_server = guest_field(w->guest, "sched_dl_entity.dl_server");
	if (root.found && w->dl.found && w->dl_node.found)
		guest_rbtree_each(w->guest, runqueue + root.offset, deadline_task, w);
	else
		guest_add_note(w->guest, "deadline tasks of this kernel are not known");
}

static void real_time_queue(struct queue_walk *w, uint64_t queue, unsigned depth)
{
	struct guest *guest = w->guest;
	unsigned n = w->rt_queue.size_bytes / (2 * guest->word_bytes);
	for (unsigned i = 0; i < n && !w->ended && guest_step(guest); i++) {
		uint64_t head = queue + w->rt_queue.offset + i * 2 * guest->word_bytes, entity;
		struct guest_list list;
		guest_list_begin(&list, guest, head, w->rt_link, "real-time tasks");
		while (!w->ended && guest_list_next(&list, &entity)) {
			uint64_t group =
				w->rt_group.found ? guest_load(guest, entity, w->rt_group) : 0;
			if (!group)
				show(w, entity, w->rt, "real-time");
			else if (depth < GROUP_DEPTH_MAX)
				real_time_queue(
					w, group + guest_field(guest, "rt_rq.active").offset,
					depth + 1);
		}
	}
}

static void real_time(struct queue_walk *w, uint64_t runqueue)
{
	struct guest *guest = w->guest;
	struct field active = guest_field(guest, "rq.rt.active");
	w->rt = guest_field(guest, "task_struct.rt");
	w->rt_link = guest_field(guest, "sched_rt_entity.run_list");
	w->rt_queue = guest_field(guest, "rt_prio_array.queue");
	w->rt_group = guest_field(guest, "sched_rt_entity.my_q");
	if (active.found && w->rt.found && w->rt_link.found && w->rt_queue.found)
		real_time_queue(w, runqueue + active.offset, 0);
	else
		guest_add_note(guest, "real-time tasks of this kernel are not known");
}

/* The list of fair tasks, sleepers with time owed included; delayed tells these. */
static bool fair_begin(struct guest *guest, uint64_t runqueue, struct guest_list *list,
		       struct field *delayed)
{
	struct field head = guest_field(guest, "rq.cfs_tasks");
	struct field link = guest_field(guest, "task_struct.se.group_node");
	*delayed = guest_field(guest, "task_struct.se.sched_delayed");
	if (!head.found || !link.found)
		return false;
	guest_list_begin(list, guest, runqueue + head.offset, link, "runnable tasks");
	return true;
}

static void fair(struct queue_walk *w, uint64_t runqueue)
{
	struct guest *guest = w->guest;
	struct field delayed;
	struct guest_list list;
	uint64_t task;
	if (!fair_begin(guest, runqueue, &list, &delayed)) {
		guest_add_note(guest, "fair tasks of this kernel are not known");
		return;
	}
	while (!w->ended && guest_list_next(&list, &task))
		if (!delayed.found || !guest_load(guest, task, delayed))
			show(w, task, (struct field){ 0 }, "fair");
}

static uint32_t sleepers(struct guest *guest, uint64_t runqueue)
{
	struct field delayed;
	struct guest_list list;
	uint64_t task;
	uint32_t n = 0;
	if (fair_begin(guest, runqueue, &list, &delayed) && delayed.found)
		while (guest_list_next(&list, &task))
			n += guest_load(guest, task, delayed) != 0;
	return n;
}

static bool count_server(void *user, uint64_t index, uint64_t node)
{
	struct queue_walk *w = user;
	w->n_servers += guest_load(w->guest, node - w->dl_node.offset, w->dl_server) != 0;
	return true;
}

static uint32_t part(struct guest *guest, uint64_t runqueue, const char *field)
{
	return (uint32_t)guest_load(guest, runqueue, guest_field(guest, field));
}

/* No field tells whether nr_running counts servers (63ba8422f876 of 6.8 made it so,
 * 52d15521eb75 of 6.17 ended it), but only if it does is it the sum of the classes' own counts,
 * since that of deadlines has the servers in it either way. */
static uint32_t servers(struct guest *guest, uint64_t runqueue, uint32_t n_running)
{
	struct queue_walk w = { .guest = guest };
	struct field root = guest_field(guest, "rq.dl.root.rb_root");
	bool has_queued = guest_field(guest, "rq.cfs.h_nr_queued").found; /* since 6.14 */
	w.dl_node = guest_field(guest, "sched_dl_entity.rb_node");
	w.dl_server = guest_field(guest, "sched_dl_entity.dl_server");
	if (!root.found || !w.dl_node.found || !w.dl_server.found)
		return 0;
	guest_rbtree_each(guest, runqueue + root.offset, count_server, &w);
	uint32_t sum = part(guest, runqueue, "rq.dl.dl_nr_running") +
		       part(guest, runqueue,
			    has_queued ? "rq.cfs.h_nr_queued" : "rq.cfs.h_nr_running");
	if (part(guest, runqueue, "rq.rt.rt_queued")) /* else throttled */
		sum += part(guest, runqueue, "rq.rt.rt_nr_running");
	return sum == n_running ? w.n_servers : 0;
}

uint32_t guest_counted_in_vain(struct guest *guest, uint64_t runqueue, uint32_t n_running)
{
	uint32_t n = sleepers(guest, runqueue) + servers(guest, runqueue, n_running);
	return n < n_running ? n : n_running;
}

void guest_runnable_each(struct guest *guest, const struct guest_cpu *cpu,
			 guest_runnable_fn *visit, void *user)
{
	struct queue_walk w = { .guest = guest, .visit = visit, .user = user };
	deadline(&w, cpu->runqueue);
	real_time(&w, cpu->runqueue);
	fair(&w, cpu->runqueue);
}
