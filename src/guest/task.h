/* Processes and threads, as the kernel's own task list has them. Thread: that of the guest. */
#ifndef GUEST_TASK_H
#define GUEST_TASK_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
struct error;
struct guest;
struct guest_space;

enum { GUEST_COMM_BYTES = 64 };

struct guest_task {
	uint64_t gva; /* of its task_struct */
	uint64_t mm; /* its mm_struct, 0 when it has none */
	int32_t pid, tgid, ppid;
	char comm[GUEST_COMM_BYTES]; /* as /proc shows it: workers with what they work for */
	char state; /* letter as in /proc: R S D T t Z X I P; '?' unknown */
	bool kthread;
	bool has_cred, has_cr3, has_rss, has_start;
	uint32_t uid, gid;
	uint64_t cr3; /* physical address of its top page table */
	int64_t rss_pages;
	uint64_t start_ns; /* after boot */
};

struct guest_tasks {
	struct guest_task *items;
	size_t count, capacity;
};
void guest_tasks_deinit(struct guest_tasks *tasks);

/* All processes (thread group leaders), or all threads. What cannot be read ends the list with
 * a note. Fails: ERR_NOT_FOUND when init_task or the types are missing, ERR_MEMORY. */
struct error *guest_tasks_read(struct guest *guest, bool threads, struct guest_tasks *ret);

/* The process, or else the thread, with this pid. ERR_NOT_FOUND. */
struct error *guest_task_find(struct guest *guest, int64_t pid, struct guest_task *ret);

/* One task_struct, without following lists. False when it does not look like one. */
bool guest_task_read(struct guest *guest, uint64_t gva, struct guest_task *ret);

/* The user part of a task's address space. False for kernel threads. */
bool guest_task_space(struct guest *guest, const struct guest_task *task,
		      struct guest_space *ret);

/* Arguments or environment, NUL-separated as in /proc/PID/cmdline; caller owns *ret. Length 0
 * and NULL when there is nothing to be had (kernel thread, swapped out). */
size_t guest_task_args(struct guest *guest, const struct guest_task *task, char **ret);
size_t guest_task_environment(struct guest *guest, const struct guest_task *task, char **ret);
#endif
