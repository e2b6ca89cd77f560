#include "guest/task.h"

#include <string.h>

#include "base/error.h"
#include "guest/internal.h"
#include "guest/percpu.h"
#include "guest/worker.h"

enum {
	PF_KTHREAD = 0x00200000,
	TASK_REPORT = 0x7f,
	TASK_IDLE_STATE = 0x402, /* uninterruptible, does not count as load */
	TASK_RTLOCK_WAIT = 0x1000,
	ARGS_BYTES_MAX = 2 << 20, /* the kernel's own limit is 6 MiB for all of exec */
	TASKS_MAX = 4 << 20, /* PID_MAX_LIMIT */
};

struct task_fields {
	struct field pid, tgid, comm, state, exit_state, flags, real_parent, real_cred, mm,
		start, tasks, signal, thread_node;
	struct field uid, gid, pgd, thread_head;
	struct field rss_counts, rss_stat;
};

static struct task_fields task_fields(struct guest *guest)
{
	return (struct task_fields){
		.pid = guest_field(guest, "task_struct.pid"),
		.tgid = guest_field(guest, "task_struct.tgid"),
		.comm = guest_field(guest, "task_struct.comm"),
		/* Renamed in 5.14 (2f064a59a11f). */
		.state = guest_need_field(guest, "task_struct.__state|task_struct.state"),
		.exit_state = guest_field(guest, "task_struct.exit_state"),
		.flags = guest_need_field(guest, "task_struct.flags"),
		.real_parent = guest_need_field(guest, "task_struct.real_parent"),
		.real_cred = guest_need_field(guest, "task_struct.real_cred"),
		.mm = guest_need_field(guest, "task_struct.mm"),
		/* Renamed in 5.5 (cf25e24db61c). */
		.start = guest_field(guest, "task_struct.start_boottime|task_struct."
					    "real_start_time|task_struct.start_time"),
		.tasks = guest_field(guest, "task_struct.tasks"),
		.signal = guest_field(guest, "task_struct.signal"),
		.thread_node = guest_field(guest, "task_struct.thread_node"),
		.uid = guest_field(guest, "cred.uid"),
		.gid = guest_field(guest, "cred.gid"),
		.pgd = guest_field(guest, "mm_struct.pgd"),
		.thread_head = guest_field(guest, "signal_struct.thread_head"),
		/* An array of counters until 6.2 (f1a7941243c1), per-CPU counters since. */
		.rss_counts = guest_field(guest, "mm_struct.rss_stat.count"),
		.rss_stat = guest_field(guest, "mm_struct.rss_stat"),
	};
}

void guest_tasks_deinit(struct guest_tasks *tasks)
{
	VEC_FREE(tasks);
}

static char state_letter(uint64_t state, uint64_t exit_state)
{
	static const char letters[] = "RSDTtXZPI";
	if (state == TASK_IDLE_STATE)
		return 'I';
	if (state & TASK_RTLOCK_WAIT)
		state |= 2;
	unsigned bits = (unsigned)((state | exit_state) & TASK_REPORT);
	return letters[bits ? 32 - __builtin_clz(bits) : 0];
}

static int64_t rss_part(struct guest *guest, const struct task_fields *f, uint64_t mm,
			const char *name, int64_t otherwise)
{
	int64_t index = otherwise;
	guest_enum(guest, name, &index);
	if (index < 0 || index > 15)
		return 0;
	if (f->rss_counts.found) {
		uint64_t gva = mm + f->rss_counts.offset + (uint64_t)index * guest->word_bytes;
		int64_t value = guest->word_bytes == 8 ? (int64_t)guest_read_u64(guest, gva)
						       : (int32_t)guest_read_u32(guest, gva);
		return value > 0 ? value : 0;
	}
	uint64_t each = guest_sizeof(guest, "struct percpu_counter");
	int64_t value =
		guest_percpu_counter(guest, mm + f->rss_stat.offset + (uint64_t)index * each);
	return value > 0 ? value : 0;
}

static void read_memory_use(struct guest *guest, const struct task_fields *f,
			    struct guest_task *task)
{
	struct guest_mapping mapping;
	uint64_t pgd = guest_load(guest, task->mm, f->pgd);
	if (f->pgd.found && guest_space_walk(&guest->kernel, pgd, &mapping) == GUEST_WALK_OK) {
		task->has_cr3 = true;
		task->cr3 = mapping.gpa;
	}
	if (!f->rss_counts.found && !f->rss_stat.found)
		return;
	task->has_rss = true;
	task->rss_pages = rss_part(guest, f, task->mm, "MM_FILEPAGES", 0) +
			  rss_part(guest, f, task->mm, "MM_ANONPAGES", 1) +
			  rss_part(guest, f, task->mm, "MM_SHMEMPAGES", 3);
}

static void read_credentials(struct guest *guest, const struct task_fields *f,
			     struct guest_task *task)
{
	uint64_t cred = guest_load(guest, task->gva, f->real_cred);
	if (!cred || !f->uid.found || !f->gid.found)
		return;
	unsigned faults = guest->faults;
	task->uid = (uint32_t)guest_load(guest, cred, f->uid);
	task->gid = (uint32_t)guest_load(guest, cred, f->gid);
	task->has_cred = guest->faults == faults;
}

static bool read_one(struct guest *guest, const struct task_fields *f, uint64_t gva,
		     struct guest_task *ret)
{
	unsigned faults = guest->faults;
	struct guest_task task = { .gva = gva, .state = '?' };
	task.pid = (int32_t)guest_load(guest, gva, f->pid);
	task.tgid = (int32_t)guest_load(guest, gva, f->tgid);
	uint64_t flags = guest_load(guest, gva, f->flags);
	task.mm = guest_load(guest, gva, f->mm);
	task.kthread = f->flags.found ? flags & PF_KTHREAD : f->mm.found && !task.mm;
	char comm[17] = "";
	guest_load_text(guest, gva, f->comm, comm, sizeof(comm));
	memcpy(task.comm, comm, sizeof(comm));
	if (task.kthread)
		guest_worker_name(guest, gva, (uint32_t)flags, task.comm, sizeof(task.comm));
	if (f->state.found)
		task.state = state_letter(guest_load(guest, gva, f->state),
					  guest_load(guest, gva, f->exit_state));
	uint64_t parent = guest_load(guest, gva, f->real_parent);
	task.ppid = parent ? (int32_t)guest_load(guest, parent, f->tgid) : 0;
	task.has_start = f->start.found;
	task.start_ns = guest_load(guest, gva, f->start);
	if (guest->faults != faults)
		return false;
	read_credentials(guest, f, &task);
	if (task.mm)
		read_memory_use(guest, f, &task);
	*ret = task;
	return true;
}

bool guest_task_read(struct guest *guest, uint64_t gva, struct guest_task *ret)
{
	struct task_fields fields = task_fields(guest);
	return read_one(guest, &fields, gva, ret);
}

static struct error *push_task(struct guest *guest, const struct task_fields *f, uint64_t gva,
			       struct guest_tasks *tasks)
{
	struct guest_task task;
	if (!read_one(guest, f, gva, &task)) {
		guest_add_note(guest, "the task at 0x%llx cannot be read",
			       (unsigned long long)gva);
		return NULL;
	}
	if (tasks->count >= TASKS_MAX)
		return error_create(ERR_LIMIT, "more than %d tasks", TASKS_MAX);
	if (!VEC_PUSH(tasks, task))
		return error_create(ERR_MEMORY, "no memory for tasks");
	return NULL;
}

static struct error *push_threads(struct guest *guest, const struct task_fields *f,
				  uint64_t leader, struct guest_tasks *tasks)
{
	uint64_t signal = guest_load(guest, leader, f->signal), gva;
	if (!signal || !f->thread_head.found || !f->thread_node.found) {
		guest_add_note(guest, "how this kernel lists threads is not known");
		return push_task(guest, f, leader, tasks);
	}
	struct guest_list list;
	guest_list_begin(&list, guest, signal + f->thread_head.offset, f->thread_node,
			 "threads");
	while (guest_list_next(&list, &gva))
		TRY(push_task(guest, f, gva, tasks));
	return NULL;
}

static struct error *read_all(struct guest *guest, bool threads, struct guest_tasks *tasks)
{
	uint64_t init_task, gva;
	struct task_fields f = task_fields(guest);
	if (!guest_symbol(guest, "init_task", &init_task))
		return error_create(ERR_NOT_FOUND, "the kernel's symbols lack init_task");
	if (!f.tasks.found || !f.pid.found || !f.comm.found)
		return error_hint(error_create(ERR_NOT_FOUND,
					       "no types of this kernel: it carries no BTF"),
				  "give them with --symbols FILE");
	if (!guest->has_kernel_space)
		return error_create(ERR_BAD_DATA, "the kernel's page tables were not found");
	struct guest_list list;
	guest_list_begin(&list, guest, init_task + f.tasks.offset, f.tasks, "processes");
	while (guest_list_next(&list, &gva))
		TRY(threads ? push_threads(guest, &f, gva, tasks)
			    : push_task(guest, &f, gva, tasks));
	if (!tasks->count)
		return error_create(ERR_BAD_DATA, "the kernel's task list is empty");
	return NULL;
}

struct error *guest_tasks_read(struct guest *guest, bool threads, struct guest_tasks *ret)
{
	AUTO(guest_tasks_deinit) struct guest_tasks tasks = { 0 };
	TRY(read_all(guest, threads, &tasks));
	*ret = tasks;
	tasks = (struct guest_tasks){ 0 };
	return NULL;
}

static struct error *find_among(struct guest *guest, bool threads, int64_t pid, bool *found_ret,
				struct guest_task *ret)
{
	AUTO(guest_tasks_deinit) struct guest_tasks tasks = { 0 };
	TRY(guest_tasks_read(guest, threads, &tasks));
	*found_ret = false;
	for (size_t i = 0; i < tasks.count && !*found_ret; i++) {
		if (tasks.items[i].pid != pid)
			continue;
		*ret = tasks.items[i];
		*found_ret = true;
	}
	return NULL;
}

struct error *guest_task_find(struct guest *guest, int64_t pid, struct guest_task *ret)
{
	bool found = false;
	TRY(find_among(guest, false, pid, &found, ret));
	if (!found)
		TRY(find_among(guest, true, pid, &found, ret));
	if (found)
		return NULL;
	return error_hint(error_create(ERR_NOT_FOUND, "no process %lld", (long long)pid),
			  "see `glassbox ps`");
}

bool guest_task_space(struct guest *guest, const struct guest_task *task,
		      struct guest_space *ret)
{
	if (!task->mm || !task->has_cr3)
		return false;
	guest_space_init(ret, guest->mem, task->cr3, guest->paging);
	return true;
}

/* Bytes between two pointers kept in mm_struct. */
static size_t read_span(struct guest *guest, const struct guest_task *task, const char *start,
			const char *end, char **ret)
{
	struct guest_space space;
	*ret = NULL;
	if (!guest_task_space(guest, task, &space))
		return 0;
	uint64_t from = guest_load(guest, task->mm, guest_field(guest, start));
	uint64_t to = guest_load(guest, task->mm, guest_field(guest, end));
	if (!from || to <= from)
		return 0;
	size_t length = to - from < ARGS_BYTES_MAX ? (size_t)(to - from) : ARGS_BYTES_MAX;
	AUTO(own_free) char *bytes = malloc(length + 1);
	if (!bytes)
		return 0;
	length = guest_space_read_some(&space, from, bytes, length);
	if (!length)
		return 0;
	bytes[length] = 0;
	*ret = TAKE(bytes);
	return length;
}

size_t guest_task_args(struct guest *guest, const struct guest_task *task, char **ret)
{
	return read_span(guest, task, "mm_struct.arg_start", "mm_struct.arg_end", ret);
}

size_t guest_task_environment(struct guest *guest, const struct guest_task *task, char **ret)
{
	return read_span(guest, task, "mm_struct.env_start", "mm_struct.env_end", ret);
}
