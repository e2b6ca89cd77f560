/* High-resolution timers that are running. Thread: that of the guest. */
#ifndef GUEST_TIMER_H
#define GUEST_TIMER_H
#include <stdbool.h>
#include <stdint.h>
struct guest;

struct guest_timer {
	uint64_t gva, function;
	unsigned cpu, clock; /* number of the clock base */
	int64_t expires_ns; /* on that clock */
};

typedef bool guest_timer_fn(void *user, const struct guest_timer *timer);
void guest_timers_each(struct guest *guest, guest_timer_fn *visit, void *user);
#endif
