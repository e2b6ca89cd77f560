/* Per-CPU data of the guest's kernel. Thread: that of the guest. */
#ifndef GUEST_PERCPU_H
#define GUEST_PERCPU_H
#include <stdbool.h>
#include <stdint.h>
struct guest;

enum { GUEST_CPUS_MAX = 4096 };

/* Number of CPU ids to look at: possible ones lie below it. At least 1. */
unsigned guest_cpu_ids(struct guest *guest);
bool guest_cpu_possible(struct guest *guest, unsigned cpu);
bool guest_cpu_online(struct guest *guest, unsigned cpu);
/* False, with a note, when no CPU is online, which cannot be. */
bool guest_has_cpus(struct guest *guest);
/* Where CPU's copy of a per-CPU variable (a symbol's value or a __percpu pointer) lies. */
uint64_t guest_percpu(struct guest *guest, uint64_t variable, unsigned cpu);
/* Value of a percpu_counter at gva: the shared part and every CPU's share. */
int64_t guest_percpu_counter(struct guest *guest, uint64_t gva);
#endif
