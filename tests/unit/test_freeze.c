#include "test.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vm/freeze.h"
#include "vm/proc.h"

#define N_THREADS 8

/* Shared with the child that is held. */
struct shared {
	atomic_ulong counters[N_THREADS];
	atomic_ulong born; /* threads that were started and ended again */
	atomic_int signals;
	atomic_ulong before[N_THREADS + 1];
	bool moved;
	pid_t victim;
};

static struct shared *shared;

static void nap_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
}

static void *count_up(void *counter)
{
	for (;;)
		atomic_fetch_add((atomic_ulong *)counter, 1);
	return NULL;
}

static void *be_born(void *unused)
{
	atomic_fetch_add(&shared->born, 1);
	return unused;
}

static void on_signal(int number)
{
	atomic_fetch_add(&shared->signals, 1);
}

_Noreturn static void child_main(void)
{
	pthread_t thread;
	signal(SIGUSR1, on_signal);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int i = 0; i < N_THREADS / 4; i++)
		pthread_create(&thread, NULL, count_up, &shared->counters[i]);
	for (;;)
		if (!pthread_create(&thread, NULL, be_born, NULL))
			pthread_join(thread, NULL);
}

static pid_t start_child(void)
{
	memset(shared, 0, sizeof(*shared));
	pid_t child = fork();
	if (!child)
		child_main();
	while (!atomic_load(&shared->born) || !atomic_load(&shared->counters[0]))
		nap_ms(1);
	return child;
}

static void end_child(pid_t child)
{
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
}

static struct error *watch_counters(void *user)
{
	unsigned long before[N_THREADS], born = atomic_load(&shared->born);
	for (int i = 0; i < N_THREADS; i++)
		before[i] = atomic_load(&shared->counters[i]);
	nap_ms(2);
	for (int i = 0; i < N_THREADS; i++)
		shared->moved |= before[i] != atomic_load(&shared->counters[i]);
	shared->moved |= born != atomic_load(&shared->born);
	++*(int *)user;
	return NULL;
}

static void no_thread_moves_while_held(void **state)
{
	pid_t child = start_child();
	int calls = 0;
	for (int i = 0; i < 50; i++) {
		struct freeze_times times;
		unsigned long before = atomic_load(&shared->born);
		assert_ok(freeze_run(child, proc_start_time(child), watch_counters, &calls,
				     &times));
		assert_false(shared->moved);
		assert_true(times.held_ns >= 2000000);
		while (atomic_load(&shared->born) == before) /* or the test hangs */
			nap_ms(1);
	}
	assert_int_equal(calls, 50);
	end_child(child);
}

static struct error *send_signals(void *user)
{
	kill(*(pid_t *)user, SIGUSR1);
	return NULL;
}

static void signals_are_not_lost(void **state)
{
	pid_t child = start_child();
	for (int i = 1; i <= 20; i++) {
		kill(child, SIGUSR1);
		assert_ok(
			freeze_run(child, proc_start_time(child), send_signals, &child, NULL));
		while (atomic_load(&shared->signals) < i)
			nap_ms(1);
	}
	end_child(child);
}

static struct error *fail_inside(void *user)
{
	return error_create(ERR_LIMIT, "as asked");
}

static void the_callers_error_comes_back(void **state)
{
	pid_t child = start_child();
	unsigned long before = atomic_load(&shared->born);
	assert_error(freeze_run(child, proc_start_time(child), fail_inside, NULL, NULL),
		     ERR_LIMIT);
	while (atomic_load(&shared->born) == before)
		nap_ms(1);
	end_child(child);
}

static struct error *kill_inside(void *user)
{
	kill(*(pid_t *)user, SIGKILL);
	nap_ms(5);
	return NULL;
}

static void a_process_may_end_while_held(void **state)
{
	pid_t child = start_child();
	assert_ok(freeze_run(child, proc_start_time(child), kill_inside, &child, NULL));
	assert_int_equal(waitpid(child, NULL, 0), child);
}

static void another_process_is_not_held(void **state)
{
	int calls = 0;
	pid_t child = start_child();
	uint64_t start = proc_start_time(child);
	assert_error(freeze_run(child, start + 1, watch_counters, &calls, NULL), ERR_PEER);
	end_child(child);
	assert_error(freeze_run(child, start, watch_counters, &calls, NULL), ERR_PEER);
	assert_int_equal(calls, 0);
}

static void one_that_is_traced_already_cannot_be_held(void **state)
{
	int calls = 0;
	pid_t child = start_child();
	assert_int_equal(ptrace(PTRACE_SEIZE, child, NULL, NULL), 0);
	assert_error(freeze_run(child, proc_start_time(child), watch_counters, &calls, NULL),
		     ERR_UNSUPPORTED);
	assert_int_equal(calls, 0);
	unsigned long before = atomic_load(&shared->counters[0]);
	while (atomic_load(&shared->counters[0]) == before) /* what was held is free again */
		nap_ms(1);
	end_child(child);
}

static struct error *die_inside(void *user)
{
	kill(getpid(), SIGKILL);
	return NULL;
}

/* The holder is killed while it holds: the held goes on. */
static void the_end_of_the_holder_lets_go(void **state)
{
	pid_t child = start_child();
	pid_t holder = fork();
	if (!holder) {
		error_destroy(
			freeze_run(child, proc_start_time(child), die_inside, NULL, NULL));
		_exit(1);
	}
	int status = 0;
	assert_int_equal(waitpid(holder, &status, 0), holder);
	assert_true(WIFSIGNALED(status));
	unsigned long before = atomic_load(&shared->counters[0]);
	while (atomic_load(&shared->counters[0]) == before)
		nap_ms(1);
	end_child(child);
}

static int may_trace(void)
{
	int calls = 0;
	pid_t child = start_child();
	struct error *err =
		freeze_run(child, proc_start_time(child), watch_counters, &calls, NULL);
	bool may = !error_catch(&err, ERR_UNSUPPORTED);
	error_destroy(err);
	end_child(child);
	return may;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_thread_moves_while_held),
		cmocka_unit_test(signals_are_not_lost),
		cmocka_unit_test(the_callers_error_comes_back),
		cmocka_unit_test(a_process_may_end_while_held),
		cmocka_unit_test(another_process_is_not_held),
		cmocka_unit_test(one_that_is_traced_already_cannot_be_held),
		cmocka_unit_test(the_end_of_the_holder_lets_go),
	};
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (shared == MAP_FAILED || !may_trace())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
