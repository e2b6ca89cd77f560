#include "server/jobs.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "base/error.h"

struct queue {
	struct job *first, **last;
	size_t count;
};

struct jobs {
	pthread_mutex_t lock;
	pthread_cond_t has_work;
	struct queue waiting, finished; /* under lock */
	bool ends; /* under lock */
	size_t max_queued, n_workers;
	pthread_t *workers;
	void (*wake)(void *user);
	void *user;
};

static void queue_push(struct queue *queue, struct job *job)
{
	job->next = NULL;
	*queue->last = job;
	queue->last = &job->next;
	queue->count++;
}

static struct job *queue_pop(struct queue *queue)
{
	struct job *job = queue->first;
	if (!job)
		return NULL;
	queue->first = job->next;
	if (!queue->first)
		queue->last = &queue->first;
	queue->count--;
	job->next = NULL;
	return job;
}

static void *worker(void *argument)
{
	struct jobs *jobs = argument;
	pthread_mutex_lock(&jobs->lock);
	while (!jobs->ends) {
		struct job *job = queue_pop(&jobs->waiting);
		if (!job) {
			pthread_cond_wait(&jobs->has_work, &jobs->lock);
			continue;
		}
		pthread_mutex_unlock(&jobs->lock);
		job->work(job);
		pthread_mutex_lock(&jobs->lock);
		queue_push(&jobs->finished, job);
		jobs->wake(jobs->user);
	}
	pthread_mutex_unlock(&jobs->lock);
	return NULL;
}

static void queue_destroy(struct queue *queue)
{
	for (struct job *job = queue_pop(queue); job; job = queue_pop(queue))
		job->destroy(job);
}

void jobs_finish(struct jobs *jobs)
{
	pthread_mutex_lock(&jobs->lock);
	jobs->ends = true;
	pthread_cond_broadcast(&jobs->has_work);
	pthread_mutex_unlock(&jobs->lock);
	for (size_t i = 0; i < jobs->n_workers; i++)
		pthread_join(jobs->workers[i], NULL);
	jobs->n_workers = 0;
}

void jobs_destroy(struct jobs *jobs)
{
	if (!jobs)
		return;
	jobs_finish(jobs);
	queue_destroy(&jobs->waiting);
	queue_destroy(&jobs->finished);
	pthread_cond_destroy(&jobs->has_work);
	pthread_mutex_destroy(&jobs->lock);
	free(jobs->workers);
	free(jobs);
}

/* Workers take no signals: the loop's thread handles them. */
static struct error *start_workers(struct jobs *jobs, size_t n_workers)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int failed = 0;
	while (jobs->n_workers < n_workers && !failed) {
		failed = pthread_create(&jobs->workers[jobs->n_workers], NULL, worker, jobs);
		jobs->n_workers += !failed;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return failed ? error_system(failed, "cannot start a worker thread") : NULL;
}

struct error *jobs_create(size_t n_workers, size_t max_queued, void (*wake)(void *user),
			  void *user, struct jobs **ret)
{
	struct jobs *jobs = NULL;
	TRY(error_alloc(1, sizeof(*jobs), &jobs));
	pthread_mutex_init(&jobs->lock, NULL);
	pthread_cond_init(&jobs->has_work, NULL);
	jobs->waiting.last = &jobs->waiting.first;
	jobs->finished.last = &jobs->finished.first;
	jobs->max_queued = max_queued;
	jobs->wake = wake;
	jobs->user = user;
	struct error *err = error_alloc(n_workers, sizeof(*jobs->workers), &jobs->workers);
	if (!err)
		err = start_workers(jobs, n_workers);
	if (err) {
		jobs_destroy(jobs);
		return err;
	}
	*ret = jobs;
	return NULL;
}

bool jobs_submit(struct jobs *jobs, struct job *job)
{
	pthread_mutex_lock(&jobs->lock);
	bool has_room = jobs->waiting.count < jobs->max_queued;
	if (has_room) {
		queue_push(&jobs->waiting, job);
		pthread_cond_signal(&jobs->has_work);
	}
	pthread_mutex_unlock(&jobs->lock);
	return has_room;
}

struct job *jobs_take_finished(struct jobs *jobs)
{
	pthread_mutex_lock(&jobs->lock);
	struct job *job = queue_pop(&jobs->finished);
	pthread_mutex_unlock(&jobs->lock);
	return job;
}
