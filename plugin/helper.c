/* The plugin's own thread: shows ring heads and counts to the reader, so that vCPUs need not.
 * It never touches guest state. */
#include "internal.h"
#if GB_API >= 7
#include "doze.h"
#endif

#include <pthread.h>
#include <signal.h>
#include <time.h>

enum { FAST_NS = 300 * 1000, SLOW_NS = 50 * 1000 * 1000 };

static void publish_heads(void)
{
	for (unsigned i = 0; i < plugin.n_vcpus; i++)
		if (plugin.vcpu[i].present)
			ring_publish(&plugin.vcpu[i]);
}

/* Copies the counts when glassbox asks for them, and now and then. */
static void publish_counts(uint64_t now_ns)
{
	static uint64_t copied_ns;
	static uint32_t answered;
	uint32_t wanted = __atomic_load_n(&plugin.control->counts_wanted, __ATOMIC_ACQUIRE);
	if (wanted == answered && now_ns - copied_ns < SLOW_NS)
		return;
	answered = wanted;
	copied_ns = now_ns;
	count_publish();
}

static void *helper_main(void *unused)
{
	(void)unused;
	uint64_t tallied_ns = 0;
	for (;;) {
		uint32_t mode = __atomic_load_n(&plugin.active.mode, __ATOMIC_RELAXED);
		struct timespec nap = { 0, mode == GB_MODE_OFF ? SLOW_NS : FAST_NS };
		nanosleep(&nap, NULL);
		uint64_t now = plugin_now_ns();
		publish_heads();
		if (mode == GB_MODE_COUNT)
			publish_counts(now);
		if (now - tallied_ns >= SLOW_NS) {
			tally_publish();
#if GB_API >= 7
			doze_weigh();
#endif
			tallied_ns = now;
		}
		__atomic_store_n(&plugin.control->heartbeat_ns, now, __ATOMIC_RELAXED);
	}
	return NULL;
}

int helper_start(void)
{
	pthread_t thread;
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all,
			&before); /* QEMU's signals are not for this thread */
	int failed = pthread_create(&thread, NULL, helper_main, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!failed)
		pthread_detach(thread);
	return failed ? -1 : 0;
}
