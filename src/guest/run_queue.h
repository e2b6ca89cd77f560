/* The tasks that run or wait on a CPU, whatever class of the scheduler they belong to. Thread:
 * that of the guest. */
#ifndef GUEST_RUN_QUEUE_H
#define GUEST_RUN_QUEUE_H
#include <stdbool.h>
#include <stdint.h>
struct guest;
struct guest_cpu;

/* class is "deadline", "real-time" or "fair". False ends the walk. */
typedef bool guest_runnable_fn(void *user, uint64_t task, const char *class);
/* All of one CPU, the one that runs included (unless it is the idle task, which is in no
 * queue). What this kernel does not tell is noted. */
void guest_runnable_each(struct guest *guest, const struct guest_cpu *cpu,
			 guest_runnable_fn *visit, void *user);

/* How much of rq.nr_running, which is n_running, is nothing that could run: fair tasks that
 * sleep but still lie in the queue with time owed (kernels since 6.12, EEVDF's delayed
 * dequeue), and servers, which stand for other classes among the deadline tasks (6.8 to 6.16).
 */
uint32_t guest_counted_in_vain(struct guest *guest, uint64_t runqueue, uint32_t n_running);
#endif
