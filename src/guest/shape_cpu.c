/* What each CPU runs, for a kernel without types. The run queue of a CPU has always had two
 * tasks side by side: the one that runs, and the CPU's idle task, which is called swapper/N.
 * That it is a run queue shows in a third one somewhere in it, called migration/N, which stops
 * the CPU. */
#include <stdio.h>
#include <string.h>

#include "guest/inferred.h"
#include "guest/internal.h"
#include "guest/percpu.h"
#include "guest/shape.h"

enum { QUEUE_BYTES = 6144, NAME_BYTES = 16, CPUS_MAX = 64 };

static bool is_called(const struct shape *s, uint64_t task, const char *name)
{
	char comm[NAME_BYTES] = "";
	return shape_is_pointer(s, task) && shape_read(s, task + s->comm, comm, sizeof(comm)) &&
	       !strncmp(comm, name, sizeof(comm));
}

static bool has_stopper(const struct shape *s, uint64_t queue, unsigned cpu)
{
	char name[NAME_BYTES];
	snprintf(name, sizeof(name), "migration/%u", cpu);
	for (uint32_t at = 0; at < QUEUE_BYTES; at += s->word)
		if (is_called(s, shape_word(s, queue + at), name))
			return true;
	return false;
}

/* What runs leads a group of threads, or is in one: its leader's leader is itself. */
static bool is_task(const struct shape *s, uint64_t task)
{
	uint32_t leader_at = s->parent + 6 * s->word;
	uint64_t leader = shape_is_pointer(s, task) ? shape_word(s, task + leader_at) : 0;
	return shape_is_pointer(s, leader) && shape_word(s, leader + leader_at) == leader;
}

static bool idle_here(const struct shape *s, uint64_t queue, unsigned cpu, uint32_t at,
		      uint32_t back)
{
	char name[NAME_BYTES];
	snprintf(name, sizeof(name), "swapper/%u", cpu);
	return is_called(s, shape_word(s, queue + at), name) &&
	       is_task(s, shape_word(s, queue + at - back));
}

static bool idle_on_all(const struct shape *s, uint64_t variable, uint32_t at, uint32_t back)
{
	unsigned ids = guest_cpu_ids(s->guest), n = 0;
	for (unsigned cpu = 0; cpu < ids && cpu < CPUS_MAX; cpu++) {
		if (!guest_cpu_online(s->guest, cpu))
			continue;
		n++;
		uint64_t queue = guest_percpu(s->guest, variable, cpu);
		if (!idle_here(s, queue, cpu, at, back) || !has_stopper(s, queue, cpu))
			return false;
	}
	return n != 0;
}

void shape_infer_cpus(const struct shape *s)
{
	uint64_t variable;
	if (!guest_symbol(s->guest, "runqueues", &variable))
		return;
	/* An idle CPU has its idle task twice: the second is the one. */
	for (uint32_t at = QUEUE_BYTES - s->word; at >= 2 * s->word; at -= s->word)
		for (uint32_t back = s->word; back <= 2 * s->word; back += s->word) {
			if (!idle_on_all(s, variable, at, back))
				continue;
			inferred_add(s->guest, "rq.curr", at - back, s->word);
			inferred_add(s->guest, "rq.idle", at, s->word);
			return;
		}
}
