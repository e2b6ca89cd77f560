/* One word says all: which job it is, how many pieces it has and how many are taken. Who takes
 * a piece by compare-exchange keeps the job open until it has counted the piece as done, so
 * that what the job points to is there as long as anybody uses it. */
#include "crew.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

enum {
	LOOK_OUT_NS = 3 * 1000 * 1000,
	PIECE_BITS = 20,
};

static struct {
	uint64_t word; /* job << 40 | pieces << 20 | taken */
	uint32_t n_done;
	uint32_t alerts; /* a futex */
	uint32_t n_asleep;
	int is_taken;
	void (*work)(void *arg, uint32_t i);
	void *arg;
	unsigned n_threads;
} crew;

/* Does one piece of the job at hand. False: there is none. */
static bool do_one(void)
{
	const uint64_t mask = (1u << PIECE_BITS) - 1;
	uint64_t word = __atomic_load_n(&crew.word, __ATOMIC_ACQUIRE);
	do {
		if ((word & mask) >= (word >> PIECE_BITS & mask))
			return false;
	} while (!__atomic_compare_exchange_n(&crew.word, &word, word + 1, false,
					      __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
	crew.work(crew.arg, (uint32_t)(word & mask));
	__atomic_fetch_add(&crew.n_done, 1, __ATOMIC_RELEASE); /* pairs: crew_do */
	return true;
}

static void *serve(void *unused)
{
	for (;;) {
		uint32_t alerts = __atomic_load_n(&crew.alerts, __ATOMIC_ACQUIRE);
		uint64_t start = plugin_now_ns();
		while (do_one() || plugin_now_ns() - start < LOOK_OUT_NS)
			continue;
		__atomic_fetch_add(&crew.n_asleep, 1, __ATOMIC_SEQ_CST); /* pairs: crew_alert */
		syscall(SYS_futex, &crew.alerts, FUTEX_WAIT_PRIVATE, alerts, NULL, NULL, 0);
		__atomic_fetch_sub(&crew.n_asleep, 1, __ATOMIC_SEQ_CST);
	}
	return unused;
}

void crew_start(unsigned n)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before); /* QEMU's signals are not for them */
	while (crew.n_threads < n) {
		pthread_t thread;
		if (pthread_create(&thread, NULL, serve, NULL))
			break;
		pthread_detach(thread);
		crew.n_threads++;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void crew_alert(void)
{
	__atomic_fetch_add(&crew.alerts, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&crew.n_asleep, __ATOMIC_SEQ_CST))
		syscall(SYS_futex, &crew.alerts, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void crew_do(void (*work)(void *arg, uint32_t i), void *arg, uint32_t n)
{
	int nobody = 0;
	if (!crew.n_threads ||
	    !__atomic_compare_exchange_n(&crew.is_taken, &nobody, 1, false, __ATOMIC_ACQUIRE,
					 __ATOMIC_RELAXED)) {
		for (uint32_t i = 0; i < n; i++)
			work(arg, i);
		return;
	}
	uint64_t last = __atomic_load_n(&crew.word, __ATOMIC_RELAXED);
	uint64_t job = (last >> (2 * PIECE_BITS)) + 1;
	crew.work = work;
	crew.arg = arg;
	__atomic_store_n(&crew.n_done, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&crew.word, job << (2 * PIECE_BITS) | (uint64_t)n << PIECE_BITS,
			 __ATOMIC_RELEASE);
	while (do_one())
		continue;
	while (__atomic_load_n(&crew.n_done, __ATOMIC_ACQUIRE) < n)
		__builtin_ia32_pause();
	__atomic_store_n(&crew.is_taken, 0, __ATOMIC_RELEASE);
}
