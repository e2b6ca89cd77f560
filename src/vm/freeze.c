/* All threads are seized and interrupted, then waited for; that is repeated until a look at the
 * list of threads finds no new one, because a thread that still ran may have started another.
 *
 * All of it happens on a thread that exists only for that. ptrace ties the held to the thread
 * that holds them, and the kernel lets them go when it ends: also when this process is killed,
 * and also those that could not be stopped in time, which nothing else can be done about. */
#include "vm/freeze.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>

#include "base/error.h"
#include "base/vec.h"
#include "vm/proc.h"

#define LIMIT_NS 1000000000ull
/* Between two looks at a thread: the processor is left to those that have yet to stop. */
#define NAP_NS 20000

struct held {
	pid_t thread;
	int signal; /* was about to be delivered: passed on at the release */
	bool stands, ended;
};

struct freeze {
	pid_t pid;
	uint64_t start_time, deadline_ns;
	struct error *(*while_held)(void *user);
	void *user;
	VEC(struct held) threads;
	struct freeze_times times;
	struct error *err;
};

static bool is_known(const struct freeze *freeze, pid_t thread)
{
	for (size_t i = 0; i < freeze->threads.count; i++)
		if (freeze->threads.items[i].thread == thread)
			return true;
	return false;
}

/* *grew_ret: there was something to do. A thread that just ends may be refused: the next look
 * does not find it any more. */
static struct error *seize(struct freeze *freeze, pid_t thread, bool *grew_ret)
{
	struct held held = { .thread = thread };
	*grew_ret = true;
	if (ptrace(PTRACE_SEIZE, thread, NULL, NULL)) {
		if (errno == ESRCH || (errno == EPERM && thread != freeze->pid))
			return NULL;
		return error_create(ERR_UNSUPPORTED, "process %d cannot be held",
				    (int)freeze->pid);
	}
	ptrace(PTRACE_INTERRUPT, thread, NULL, NULL);
	return VEC_PUSH(&freeze->threads, held)
		       ? NULL
		       : error_create(ERR_MEMORY, "no memory for a list of threads");
}

static void own_dir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

static struct error *seize_new(struct freeze *freeze, bool *grew_ret)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/task", (int)freeze->pid);
	AUTO(own_dir) DIR *dir = opendir(path);
	if (!dir)
		return error_create(ERR_PEER, "process %d ended", (int)freeze->pid);
	*grew_ret = false;
	for (struct dirent *entry; (entry = readdir(dir));) {
		pid_t thread = atoi(entry->d_name);
		if (thread > 0 && !is_known(freeze, thread))
			TRY(seize(freeze, thread, grew_ret));
	}
	return NULL;
}

static void note_stop(struct held *held, int status)
{
	held->stands = true;
	held->ended = !WIFSTOPPED(status);
	/* Without an event in the upper bits it is a signal that waits for our word. */
	if (WIFSTOPPED(status) && !(status >> 16))
		held->signal = WSTOPSIG(status);
}

static struct error *await_stop(struct freeze *freeze, struct held *held)
{
	while (!held->stands) {
		int status;
		pid_t got = waitpid(held->thread, &status, __WALL | WNOHANG);
		if (got < 0 && errno != EINTR)
			held->stands = held->ended = true;
		if (got > 0)
			note_stop(held, status);
		if (held->stands)
			break;
		if (clock_now_ns() > freeze->deadline_ns)
			return error_create(ERR_UNSUPPORTED,
					    "a thread of process %d does not stop",
					    (int)freeze->pid);
		nanosleep(&(struct timespec){ .tv_nsec = NAP_NS }, NULL);
	}
	return NULL;
}

static struct error *hold_all(struct freeze *freeze)
{
	for (bool grew = true; grew;) {
		if (clock_now_ns() > freeze->deadline_ns)
			return error_create(ERR_UNSUPPORTED,
					    "the threads of process %d cannot be held",
					    (int)freeze->pid);
		TRY(seize_new(freeze, &grew));
		for (size_t i = 0; i < freeze->threads.count; i++)
			TRY(await_stop(freeze, &freeze->threads.items[i]));
	}
	if (!proc_is(freeze->pid, freeze->start_time))
		return error_create(ERR_PEER, "process %d ended", (int)freeze->pid);
	return NULL;
}

static void release(struct freeze *freeze)
{
	for (size_t i = 0; i < freeze->threads.count; i++) {
		const struct held *held = &freeze->threads.items[i];
		if (held->stands && !held->ended)
			ptrace(PTRACE_DETACH, held->thread, NULL,
			       (void *)(intptr_t)held->signal);
	}
}

static void *run(void *user)
{
	struct freeze *freeze = user;
	prctl(PR_SET_TIMERSLACK, 1);
	uint64_t start = clock_now_ns();
	freeze->deadline_ns = start + LIMIT_NS;
	freeze->err = hold_all(freeze);
	uint64_t held = clock_now_ns(), done = held;
	if (!freeze->err) {
		freeze->err = freeze->while_held(freeze->user);
		done = clock_now_ns();
	}
	release(freeze);
	freeze->times = (struct freeze_times){ .hold_ns = held - start,
					       .held_ns = done - held,
					       .release_ns = clock_now_ns() - done };
	return NULL;
}

/* The new thread leaves every signal to the others, except those that its own reading may
 * raise (vm/mapping.c). */
static int start_thread(pthread_t *ret, struct freeze *freeze)
{
	sigset_t all, before;
	sigfillset(&all);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGSEGV);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int failed = pthread_create(ret, NULL, run, freeze);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return failed;
}

struct error *freeze_run(pid_t pid, uint64_t start_time,
			 struct error *(*while_held)(void *user), void *user,
			 struct freeze_times *ret)
{
	struct freeze freeze = {
		.pid = pid, .start_time = start_time, .while_held = while_held, .user = user
	};
	pthread_t thread;
	if (start_thread(&thread, &freeze))
		return error_create(ERR_UNSUPPORTED, "no thread to hold process %d with",
				    (int)pid);
	pthread_join(thread, NULL);
	VEC_FREE(&freeze.threads);
	if (ret)
		*ret = freeze.times;
	return freeze.err;
}
