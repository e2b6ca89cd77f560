#include "guest/timer.h"

#include "guest/internal.h"
#include "guest/percpu.h"
#include "guest/tree.h"

enum { WHEELS_MAX = 3, CLOCK_DISTANCE = 1 << 28 };

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

static void hrtimers(struct timer_walk *walk)
{
	struct guest *guest = walk->guest;
	walk->node = guest_need_field(guest, "hrtimer.node");
	walk->expires = guest_need_field(guest, "hrtimer.node.expires");
	walk->function = guest_need_field(guest, "hrtimer.function");
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
	for (walk->cpu = 0; walk->cpu < ids && !walk->ended; walk->cpu++) {
		if (!guest_cpu_online(guest, walk->cpu))
			continue;
		uint64_t base = guest_percpu(guest, variable, walk->cpu) + bases.offset;
		for (walk->clock = 0; walk->clock < n_clocks && !walk->ended; walk->clock++)
			guest_rbtree_each(
				guest, base + walk->clock * each + active.offset + tree.offset,
				show_timer, walk);
	}
}

/* --- the timer wheel -------------------------------------------------------------------------
 */

struct wheel_fields {
	struct field cpu, clk, vectors, entry, expires, function;
	uint64_t each, jiffies;
};

/* Lists of one wheel. Most of its several hundred are empty. */
static void wheel(struct timer_walk *w, const struct wheel_fields *f, uint64_t base)
{
	struct guest *guest = w->guest;
	unsigned n = f->vectors.size_bytes / guest->word_bytes;
	for (unsigned i = 0; i < n && !w->ended && guest_step(guest); i++) {
		uint64_t head = base + f->vectors.offset + i * guest->word_bytes, gva;
		struct guest_list list;
		if (!guest_read_word(guest, head))
			continue;
		guest_hlist_begin(&list, guest, head, f->entry, "timers");
		while (!w->ended && guest_list_next(&list, &gva)) {
			struct guest_timer timer = {
				.gva = gva, .is_wheel = true, .cpu = w->cpu, .clock = w->clock
			};
			timer.function = guest_load(guest, gva, f->function);
			timer.jiffies_left =
				(int64_t)(guest_load(guest, gva, f->expires) - f->jiffies);
			if (guest->word_bytes == 4)
				timer.jiffies_left = (int32_t)timer.jiffies_left;
			w->ended = !w->visit(w->user, &timer);
		}
	}
}

/* How many wheels a CPU has (2, or 3 since 6.9) is no part of the types: each says whose it is
 * and has a clock near the present. */
static bool is_wheel(struct timer_walk *w, const struct wheel_fields *f, uint64_t base)
{
	uint64_t behind = f->jiffies - guest_load(w->guest, base, f->clk);
	return guest_load(w->guest, base, f->cpu) == w->cpu &&
	       (behind < CLOCK_DISTANCE || -behind < CLOCK_DISTANCE);
}

static void wheels(struct timer_walk *w)
{
	struct guest *guest = w->guest;
	struct wheel_fields f = { .cpu = guest_field(guest, "timer_base.cpu"),
				  .clk = guest_field(guest, "timer_base.clk"),
				  .vectors = guest_field(guest, "timer_base.vectors"),
				  .entry = guest_field(guest, "timer_list.entry"),
				  .expires = guest_field(guest, "timer_list.expires"),
				  .function = guest_field(guest, "timer_list.function"),
				  .each = guest_sizeof(guest, "struct timer_base") };
	uint64_t variable, jiffies;
	unsigned ids = guest_cpu_ids(guest);
	if (!f.vectors.found || !f.entry.found || !f.each ||
	    !guest_symbol(guest, "timer_bases", &variable) ||
	    !guest_symbol(guest, "jiffies", &jiffies)) {
		guest_add_note(guest, "the timer wheel of this kernel is not known");
		return;
	}
	f.jiffies = guest_read_word(guest, jiffies);
	for (w->cpu = 0; w->cpu < ids && !w->ended; w->cpu++) {
		if (!guest_cpu_online(guest, w->cpu))
			continue;
		uint64_t base = guest_percpu(guest, variable, w->cpu);
		for (w->clock = 0; w->clock < WHEELS_MAX && !w->ended; w->clock++)
			if (is_wheel(w, &f, base + w->clock * f.each))
				wheel(w, &f, base + w->clock * f.each);
	}
}

void guest_timers_each(struct guest *guest, guest_timer_fn *visit, void *user)
{
	struct timer_walk w = { .guest = guest, .visit = visit, .user = user };
	if (!guest_has_cpus(guest))
		return;
	hrtimers(&w);
	if (!w.ended)
		wheels(&w);
}
