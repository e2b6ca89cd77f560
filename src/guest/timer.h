/* Timers that are running: high-resolution ones and those of the timer wheel. Thread: that of
 * the guest. */
#ifndef GUEST_TIMER_H
#define GUEST_TIMER_H
#include <stdbool.h>
#include <stdint.h>
struct guest;

struct guest_timer {
	uint64_t gva, function;
	bool is_wheel; /* counts in jiffies, may come late */
	unsigned cpu, clock; /* number of the clock base, or of the wheel */
	int64_t expires_ns; /* on that clock; 0 of a wheel */
	int64_t jiffies_left; /* of a wheel: until it expires; below 0 when it is due */
};

typedef bool guest_timer_fn(void *user, const struct guest_timer *timer);
void guest_timers_each(struct guest *guest, guest_timer_fn *visit, void *user);
#endif
