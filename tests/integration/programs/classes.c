/* Loops of three scheduling classes: four fair ones, one real-time one on the second CPU, one
 * with deadlines. Prints one line once they run. They end with the guest, or after ten minutes.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct deadline {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

static int fair(void)
{
	return 0;
}

static int real_time(void)
{
	struct sched_param param = { .sched_priority = 10 };
	cpu_set_t second;
	CPU_ZERO(&second);
	CPU_SET(1, &second);
	return sched_setaffinity(0, sizeof(second), &second) ||
	       syscall(SYS_sched_setscheduler, 0, SCHED_RR, &param);
}

/* Nearly all of its time, so that it seldom waits for the next period. */
static int deadline(void)
{
	struct deadline d = { .size = sizeof(d), .policy = 6 };
	d.runtime = 900000000;
	d.deadline = d.period = 1000000000;
	return (int)syscall(SYS_sched_setattr, 0, &d, 0);
}

static void loop(int (*become)(void), const char *name)
{
	fflush(stdout);
	if (fork())
		return;
	alarm(600);
	if (become())
		printf("failed: %s\n", name);
	fflush(stdout);
	close(0), close(1), close(2);
	for (volatile uint64_t i = 0;; i++)
		;
}

int main(void)
{
	loop(deadline, "deadline");
	for (int i = 0; i < 4; i++)
		loop(fair, "fair");
	loop(real_time, "real time");
	sleep(2);
	puts("all loop");
	return 0;
}
