/* Interrupts and how often they came. Thread: that of the guest. */
#ifndef GUEST_IRQ_H
#define GUEST_IRQ_H
#include <stdbool.h>
#include <stdint.h>
struct guest;

enum { GUEST_IRQ_CPUS_MAX = 256 };

struct guest_irq {
	char name[16]; /* number, or "LOC", "NMI", ... */
	char chip[32], flow[32], actions[128]; /* "" when there is none */
	int64_t hwirq; /* -1: none */
	unsigned n_counts;
	uint32_t counts[GUEST_IRQ_CPUS_MAX]; /* by online CPU */
	uint64_t total;
};

typedef bool guest_irq_fn(void *user, const struct guest_irq *irq);
/* Those that have a handler or came at least once, as /proc/interrupts shows. */
void guest_irqs_each(struct guest *guest, guest_irq_fn *visit, void *user);
#endif
