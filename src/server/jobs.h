/* Worker threads for calls that would block the event loop. A job is submitted by the loop,
 * worked on by one worker, and given back to the loop. Thread: the loop's, except job->work. */
#ifndef SERVER_JOBS_H
#define SERVER_JOBS_H
#include <stdbool.h>
#include <stddef.h>
struct error;
struct jobs;

struct job {
	struct job *next; /* jobs' own */
	void (*work)(struct job *job); /* runs in a worker; touches only the job */
	void (*destroy)(struct job *job);
	void *waiter; /* who waits, or NULL when nobody does any more; the loop's own */
};

/* wake(user) is called from a worker after each finished job; it must only poke the loop. */
struct error *jobs_create(size_t n_workers, size_t max_queued, void (*wake)(void *user),
			  void *user, struct jobs **ret);
/* Waits for running jobs; none starts afterwards and wake is not called any more. */
void jobs_finish(struct jobs *jobs);
/* Also destroys all jobs. */
void jobs_destroy(struct jobs *jobs);

/* Takes job. False (and job untouched) when too many wait already. */
bool jobs_submit(struct jobs *jobs, struct job *job);

/* A finished job, or NULL. Caller owns. */
struct job *jobs_take_finished(struct jobs *jobs);
#endif
