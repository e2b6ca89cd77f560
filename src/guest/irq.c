#include "guest/irq.h"

#include <stdio.h>
#include <string.h>

#include "guest/internal.h"
#include "guest/percpu.h"
#include "guest/tree.h"

enum { ACTIONS_MAX = 16 };

struct irq_walk {
	struct guest *guest;
	guest_irq_fn *visit;
	void *user;
	struct field irq, hwirq, chip, chip_name, action, action_name, action_next, counts,
		flow;
	unsigned cpus[GUEST_IRQ_CPUS_MAX], n_cpus;
};

static void read_text_at(struct guest *guest, uint64_t pointer, char *to, size_t size)
{
	*to = 0;
	if (pointer)
		guest_read_text(guest, pointer, to, size);
}

static void count_on_cpus(struct irq_walk *w, uint64_t variable, struct guest_irq *irq)
{
	irq->n_counts = w->n_cpus;
	irq->total = 0;
	for (unsigned i = 0; i < w->n_cpus; i++) {
		irq->counts[i] =
			guest_read_u32(w->guest, guest_percpu(w->guest, variable, w->cpus[i]));
		irq->total += irq->counts[i];
	}
}

static void read_actions(struct irq_walk *w, uint64_t action, struct guest_irq *irq)
{
	size_t at = 0;
	for (int i = 0; i < ACTIONS_MAX && action; i++) {
		char name[64];
		read_text_at(w->guest, guest_load(w->guest, action, w->action_name), name,
			     sizeof(name));
		if (at + strlen(name) + 3 > sizeof(irq->actions))
			return;
		at += (size_t)snprintf(irq->actions + at, sizeof(irq->actions) - at, "%s%s",
				       at ? ", " : "", name);
		action = guest_load(w->guest, action, w->action_next);
	}
}

static bool show_desc(void *user, uint64_t index, uint64_t desc)
{
	struct irq_walk *w = user;
	struct guest *guest = w->guest;
	struct guest_irq irq = { 0 };
	uint64_t action = guest_load(guest, desc, w->action);
	uint64_t counts = guest_load(guest, desc, w->counts);
	if (counts)
		count_on_cpus(w, counts, &irq);
	if (!action && !irq.total)
		return true;
	snprintf(irq.name, sizeof(irq.name), "%llu", (unsigned long long)index);
	irq.hwirq = (int64_t)guest_load(guest, desc, w->hwirq);
	uint64_t chip = guest_load(guest, desc, w->chip);
	read_text_at(guest, chip ? guest_load(guest, chip, w->chip_name) : 0, irq.chip,
		     sizeof(irq.chip));
	read_text_at(guest, guest_load(guest, desc, w->flow), irq.flow, sizeof(irq.flow));
	read_actions(w, action, &irq);
	return w->visit(w->user, &irq);
}

/* ORDER as in /proc/interrupts: counters that each CPU keeps outside of descriptors. */
static const struct {
	const char *name, *field, *text;
} counters[] = {
	{ "NMI", "irq_cpustat_t.__nmi_count", "Non-maskable interrupts" },
	{ "LOC", "irq_cpustat_t.apic_timer_irqs", "Local timer interrupts" },
	{ "SPU", "irq_cpustat_t.irq_spurious_count", "Spurious interrupts" },
	{ "PMI", "irq_cpustat_t.apic_perf_irqs", "Performance monitoring interrupts" },
	{ "IWI", "irq_cpustat_t.apic_irq_work_irqs", "IRQ work interrupts" },
	{ "RTR", "irq_cpustat_t.icr_read_retry_count", "APIC ICR read retries" },
	{ "RES", "irq_cpustat_t.irq_resched_count", "Rescheduling interrupts" },
	{ "CAL", "irq_cpustat_t.irq_call_count", "Function call interrupts" },
	{ "TLB", "irq_cpustat_t.irq_tlb_count", "TLB shootdowns" },
	{ "TRM", "irq_cpustat_t.irq_thermal_count", "Thermal event interrupts" },
	{ "THR", "irq_cpustat_t.irq_threshold_count", "Threshold APIC interrupts" },
};

static void show_counters(struct irq_walk *w)
{
	uint64_t stat;
	if (!guest_symbol(w->guest, "irq_stat", &stat))
		return;
	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
		struct guest_irq irq = { .hwirq = -1 };
		struct field field = guest_field(w->guest, counters[i].field);
		if (!field.found)
			continue;
		snprintf(irq.name, sizeof(irq.name), "%s", counters[i].name);
		snprintf(irq.actions, sizeof(irq.actions), "%s", counters[i].text);
		count_on_cpus(w, stat + field.offset, &irq);
		if (!w->visit(w->user, &irq))
			return;
	}
}

void guest_irqs_each(struct guest *guest, guest_irq_fn *visit, void *user)
{
	struct irq_walk w = {
		.guest = guest,
		.visit = visit,
		.user = user,
		.hwirq = guest_field(guest, "irq_desc.irq_data.hwirq"),
		.chip = guest_field(guest, "irq_desc.irq_data.chip"),
		.chip_name = guest_field(guest, "irq_chip.name"),
		.action = guest_need_field(guest, "irq_desc.action"),
		.action_name = guest_field(guest, "irqaction.name"),
		.action_next = guest_field(guest, "irqaction.next"),
		.counts = guest_need_field(guest, "irq_desc.kstat_irqs"),
		.flow = guest_field(guest, "irq_desc.name"),
	};
	unsigned ids = guest_cpu_ids(guest);
	for (unsigned cpu = 0; cpu < ids && w.n_cpus < GUEST_IRQ_CPUS_MAX; cpu++)
		if (guest_cpu_online(guest, cpu))
			w.cpus[w.n_cpus++] = cpu;
	uint64_t tree;
	/* A maple tree since 6.5 (721255b9826b), a radix tree before. */
	if (guest_symbol(guest, "sparse_irqs", &tree))
		guest_maple_each(guest, tree, show_desc, &w);
	else if (guest_symbol(guest, "irq_desc_tree", &tree))
		guest_xarray_each(guest, tree, show_desc, &w);
	else
		guest_add_note(guest, "this kernel's interrupt descriptors are not known");
	show_counters(&w);
}
