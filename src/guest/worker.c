#include "guest/worker.h"

#include <stdio.h>
#include <string.h>

#include "guest/internal.h"

enum { PF_WQ_WORKER = 0x20, GUEST_WORKER_TEXT = 33 };

/* struct kthread of a kernel thread: its pointer moved in 5.17 (e32cf5dfbe22). */
static uint64_t kthread_of(struct guest *guest, uint64_t task)
{
	return guest_load(
		guest, task,
		guest_field(guest, "task_struct.worker_private|task_struct.set_child_tid"));
}

/* What the worker is called since 6.10 (2a1b02bcba78): not limited to 15 characters. */
static size_t worker_id_text(struct guest *guest, uint64_t worker, uint64_t pool, char *name,
			     size_t size)
{
	uint64_t rescued = guest_load(guest, worker, guest_field(guest, "worker.rescue_wq"));
	char text[GUEST_WORKER_TEXT];
	struct field wq_name = guest_field(guest, "workqueue_struct.name");
	if (rescued && wq_name.found) {
		guest_load_text(guest, rescued, wq_name, text, sizeof(text));
		return (size_t)snprintf(name, size, "kworker/R-%s", text);
	}
	if (!pool)
		return 0;
	int cpu = (int)guest_load(guest, pool, guest_field(guest, "worker_pool.cpu"));
	int id = (int)guest_load(guest, worker, guest_field(guest, "worker.id"));
	uint64_t attrs = guest_load(guest, pool, guest_field(guest, "worker_pool.attrs"));
	int nice = (int)guest_load(guest, attrs, guest_field(guest, "workqueue_attrs.nice"));
	if (cpu >= 0)
		return (size_t)snprintf(name, size, "kworker/%d:%d%s", cpu, id,
					nice < 0 ? "H" : "");
	int pool_id = (int)guest_load(guest, pool, guest_field(guest, "worker_pool.id"));
	return (size_t)snprintf(name, size, "kworker/u%d:%d", pool_id, id);
}

static void worker_name(struct guest *guest, uint64_t kthread, char *name, size_t size)
{
	struct field pool_field = guest_field(guest, "worker.pool");
	struct field desc_field = guest_field(guest, "worker.desc");
	uint64_t worker = guest_load(guest, kthread, guest_field(guest, "kthread.data"));
	if (!worker || !pool_field.found || !desc_field.found)
		return;
	uint64_t pool = guest_load(guest, worker, pool_field);
	char desc[GUEST_WORKER_TEXT];
	guest_load_text(guest, worker, desc_field, desc, sizeof(desc));
	/* Rescuers carry the new prefix exactly where the kernel composes the name anew. */
	size_t length = strlen(name);
	if (!strncmp(name, "kworker/R-", 10))
		length = worker_id_text(guest, worker, pool, name, size);
	if (!pool || !*desc || length >= size)
		return;
	bool busy = guest_load(guest, worker, guest_field(guest, "worker.current_work")) != 0;
	snprintf(name + length, size - length, "%c%s", busy ? '+' : '-', desc);
}

void guest_worker_name(struct guest *guest, uint64_t task, uint32_t flags, char *name,
		       size_t size)
{
	uint64_t kthread = kthread_of(guest, task);
	if (!guest_is_kernel_pointer(guest, kthread))
		return;
	if (flags & PF_WQ_WORKER) {
		worker_name(guest, kthread, name, size);
		return;
	}
	struct field full = guest_field(guest, "kthread.full_name");
	uint64_t text = full.found ? guest_load(guest, kthread, full) : 0;
	if (text)
		guest_read_text(guest, text, name, size);
}
