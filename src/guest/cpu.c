#include "guest/cpu.h"

#include "guest/internal.h"
#include "guest/percpu.h"
#include "guest/run_queue.h"

void guest_cpus_each(struct guest *guest, guest_cpu_fn *visit, void *user)
{
	struct field current = guest_need_field(guest, "rq.curr");
	struct field idle = guest_need_field(guest, "rq.idle");
	struct field running = guest_need_field(guest, "rq.nr_running");
	uint64_t runqueues;
	unsigned ids = guest_cpu_ids(guest);
	if (!guest_symbol(guest, "runqueues", &runqueues)) {
		guest_add_note(guest, "the run queues of this kernel are not known");
		return;
	}
	if (!current.found || !guest_has_cpus(guest))
		return;
	for (unsigned cpu = 0; cpu < ids && guest_step(guest); cpu++) {
		if (!guest_cpu_online(guest, cpu))
			continue;
		struct guest_cpu row = { .cpu = cpu,
					 .runqueue = guest_percpu(guest, runqueues, cpu) };
		row.current = guest_load(guest, row.runqueue, current);
		row.idle = guest_load(guest, row.runqueue, idle);
		row.has_running = running.found;
		row.n_running = (uint32_t)guest_load(guest, row.runqueue, running);
		row.n_running -= guest_counted_in_vain(guest, row.runqueue, row.n_running);
		if (!visit(user, &row))
			return;
	}
}
