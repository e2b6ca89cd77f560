#include "guest/timer.h"

#include "guest/internal.h"
#include "guest/percpu.h"
#include "guest/tree.h"

struct timer_walk {
	struct guest *guest;
	guest_timer_fn *visit;
	void *user;
	struct field node, expires, function;
	unsigned cpu, clock;
	bool ended;
};

static bool show_timer(void *user, uint64_t index, uint64_t rb_node)
{
	struct timer_walk *w = user;
	/* hrtimer starts with its queue's node, which starts with the tree's node. */
	struct guest_timer timer = { .gva = rb_node - w->node.offset,
				     .cpu = w->cpu,
				     .clock = w->clock };
	timer.expires_ns = (int64_t)guest_load(w->guest, timer.gva, w->expires);
	timer.function = guest_load(w->guest, timer.gva, w->function);
	w->ended = !w->visit(w->user, &timer);
	return !w->ended;
}

void guest_timers_each(struct guest *guest, guest_timer_fn *visit, void *user)
{
	struct timer_walk w = {
		.guest = guest,
		.visit = visit,
		.user = user,
		.node = guest_need_field(guest, "hrtimer.node"),
		.expires = guest_need_field(guest, "hrtimer.node.expires"),
		.function = guest_need_field(guest, "hrtimer.function"),
	};
	struct field bases = guest_need_field(guest, "hrtimer_cpu_base.clock_base");
	struct field active = guest_need_field(guest, "hrtimer_clock_base.active");
	struct field tree = guest_field(guest, "timerqueue_head.rb_root.rb_root|"
					       "timerqueue_linked_head.rb_root.rb_root");
	uint64_t each = guest_sizeof(guest, "struct hrtimer_clock_base"), variable;
	unsigned ids = guest_cpu_ids(guest);
	if (!guest_symbol(guest, "hrtimer_bases", &variable) || !each || !bases.found) {
		guest_add_note(guest, "where this kernel keeps its timers is not known");
		return;
	}
	unsigned n_clocks = (unsigned)(bases.size_bytes / each);
	for (w.cpu = 0; w.cpu < ids && !w.ended; w.cpu++) {
		if (!guest_cpu_online(guest, w.cpu))
			continue;
		uint64_t base = guest_percpu(guest, variable, w.cpu) + bases.offset;
		for (w.clock = 0; w.clock < n_clocks && !w.ended; w.clock++)
			guest_rbtree_each(guest,
					  base + w.clock * each + active.offset + tree.offset,
					  show_timer, &w);
	}
}
