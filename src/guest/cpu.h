/* What each CPU runs. Thread: that of the guest. */
#ifndef GUEST_CPU_H
#define GUEST_CPU_H
#include <stdbool.h>
#include <stdint.h>
struct guest;

struct guest_cpu {
	unsigned cpu;
	uint64_t runqueue, current, idle; /* struct rq and task_structs */
	bool has_running;
	uint32_t n_running; /* tasks that run or could */
};

typedef bool guest_cpu_fn(void *user, const struct guest_cpu *cpu);
void guest_cpus_each(struct guest *guest, guest_cpu_fn *visit, void *user);
#endif
