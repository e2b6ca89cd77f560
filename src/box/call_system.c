/* kernel, namespaces, cpus, slabs, timers, cached. */
#include <string.h>

#include "base/error.h"
#include "box/calls.h"
#include "box/guest_call.h"
#include "guest/cpu.h"
#include "guest/guest.h"
#include "guest/kernel_info.h"
#include "guest/namespace.h"
#include "guest/page_cache.h"
#include "guest/run_queue.h"
#include "guest/slab.h"
#include "guest/task.h"
#include "guest/timer.h"

/* Runs a walk that fills rows. */
static struct error *list_of(struct call_context *context,
			     struct error *(*walk)(struct call_rows *rows), json_t **ret)
{
	struct guest *guest = NULL;
	TRY(call_guest(context, &guest));
	AUTO(call_rows_deinit)
	struct call_rows rows = { .guest = guest, .list = json_array() };
	TRY(walk(&rows));
	return call_rows_take(&rows, ret);
}

/* --- kernel --------------------------------------------------------------------------------
 */

static struct error *run_kernel(struct call_context *context, json_t **ret)
{
	struct guest *guest = NULL;
	TRY(call_guest(context, &guest));
	struct guest_summary summary;
	struct guest_kernel_info info;
	guest_summary(guest, &summary);
	guest_kernel_info_read(guest, &info);
	*ret = json_pack(
		"{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:i,s:i,s:o,s:o,s:i}", "banner",
		json_text_or_null(summary.banner), "release",
		json_text_or_null(summary.release), "hostname",
		json_text_or_null(info.hostname), "domainname",
		json_text_or_null(info.domainname), "command_line",
		json_text_or_null(info.command_line), "boot_time",
		json_number_or_null(info.has_boot_time, info.boot_time), "uptime_ns",
		json_number_or_null(info.has_uptime, (int64_t)info.uptime_ns), "cpus_online",
		(int)info.cpus_online, "cpus_possible", (int)info.cpus_possible, "address",
		json_hex_or_null(summary.image_gva != 0, summary.image_gva), "physical",
		json_hex_or_null(summary.image_gpa != 0, summary.image_gpa), "paging_levels",
		(int)summary.paging_levels);
	return *ret ? NULL : error_create(ERR_MEMORY, "no memory for an answer");
}

const struct call call_kernel = {
	.name = "kernel",
	.group = "introspection",
	.summary = "show the kernel: banner, command line, host name, boot time, place",
	.flags = CALL_TARGET,
	.run = run_kernel,
};

/* --- namespaces ------------------------------------------------------------------------------
 */

/* One namespace and who is in it. */
static struct error *add_to_namespace(json_t *index, json_t *list, const char *type,
				      uint32_t number, const struct guest_task *task)
{
	char key[64];
	snprintf(key, sizeof(key), "%s %u", type, number);
	json_t *row = json_object_get(index, key);
	if (!row) {
		json_t *made =
			json_pack("{s:s,s:I,s:i,s:i,s:o}", "type", type, "ns",
				  (json_int_t)number, "processes", 0, "pid", task->pid, "comm",
				  json_guest_text(task->comm, sizeof(task->comm)));
		if (!made || json_object_set_new(index, key, made) ||
		    json_array_append(list, made))
			return error_create(ERR_MEMORY, "no memory for an answer");
		row = made;
	}
	json_t *count = json_object_get(row, "processes");
	json_integer_set(count, json_integer_value(count) + 1);
	return NULL;
}

static struct error *walk_namespaces(struct call_rows *rows)
{
	AUTO(guest_tasks_deinit) struct guest_tasks tasks = { 0 };
	TRY(guest_tasks_read(rows->guest, false, &tasks));
	AUTO(own_json) json_t *index = json_object();
	for (size_t i = 0; i < tasks.count; i++)
		for (int which = 0; which < GUEST_NS_COUNT; which++) {
			enum guest_namespace ns = (enum guest_namespace)which;
			uint32_t number =
				guest_task_namespace(rows->guest, &tasks.items[i], ns);
			if (number)
				TRY(add_to_namespace(index, rows->list,
						     guest_namespace_name(ns), number,
						     &tasks.items[i]));
		}
	return NULL;
}

static struct error *run_namespaces(struct call_context *context, json_t **ret)
{
	return list_of(context, walk_namespaces, ret);
}

static const struct call_column namespaces_columns[] = {
	{ "type", "TYPE", COLUMN_LEFT },	{ "ns", "NAMESPACE", COLUMN_RIGHT },
	{ "processes", "PROCS", COLUMN_RIGHT }, { "pid", "FIRST", COLUMN_RIGHT },
	{ "comm", "NAME", COLUMN_LEFT },	{ 0 },
};

const struct call call_namespaces = {
	.name = "namespaces",
	.group = "introspection",
	.summary = "list namespaces and how many processes are in each",
	.flags = CALL_TARGET,
	.columns = namespaces_columns,
	.run = run_namespaces,
};

/* --- cpus ------------------------------------------------------------------------------------
 */

struct runnable_rows {
	struct guest *guest;
	json_t *tasks; /* owned by the row it goes into */
	char names[256]; /* for people: "sh[12] sleep[14]" */
};

static bool runnable_row(void *user, uint64_t gva, const char *class)
{
	struct runnable_rows *rows = user;
	struct guest_task task;
	size_t used = strlen(rows->names);
	if (!guest_task_read(rows->guest, gva, &task))
		return true;
	snprintf(rows->names + used, sizeof(rows->names) - used, "%s%s[%d]", used ? " " : "",
		 task.comm, task.pid);
	return !json_array_append_new(rows->tasks,
				      json_pack("{s:i,s:i,s:o,s:s,s:o}", "pid", task.pid,
						"tgid", task.tgid, "comm",
						json_guest_text(task.comm, sizeof(task.comm)),
						"class", class, "task", call_hex(gva)));
}

static bool cpu_row(void *user, const struct guest_cpu *cpu)
{
	struct call_rows *rows = user;
	struct guest_task task = { .pid = -1 };
	struct runnable_rows runnable = { .guest = rows->guest, .tasks = json_array() };
	bool known = guest_task_read(rows->guest, cpu->current, &task);
	guest_runnable_each(rows->guest, cpu, runnable_row, &runnable);
	json_t *names = json_guest_text(runnable.names, sizeof(runnable.names));
	return call_rows_add(
		rows,
		json_pack("{s:i,s:o,s:o,s:b,s:o,s:o,s:o,s:o,s:o}", "cpu", (int)cpu->cpu, "pid",
			  json_number_or_null(known, task.pid), "comm",
			  known ? json_guest_text(task.comm, sizeof(task.comm)) : json_null(),
			  "idle", cpu->current == cpu->idle, "running",
			  json_number_or_null(cpu->has_running, cpu->n_running), "task",
			  call_hex(cpu->current), "runqueue", call_hex(cpu->runqueue),
			  "runnable", names, "tasks", runnable.tasks));
}

static struct error *walk_cpus(struct call_rows *rows)
{
	guest_cpus_each(rows->guest, cpu_row, rows);
	return NULL;
}

static struct error *run_cpus(struct call_context *context, json_t **ret)
{
	return list_of(context, walk_cpus, ret);
}

static const struct call_column cpus_columns[] = {
	{ "cpu", "CPU", COLUMN_RIGHT },
	{ "running", "RUNNABLE", COLUMN_RIGHT },
	{ "pid", "PID", COLUMN_RIGHT },
	{ "idle", "IDLE", COLUMN_LEFT },
	{ "comm", "NAME", COLUMN_LEFT },
	{ "runnable", "RUN OR WAIT", COLUMN_LEFT },
	{ 0 },
};

const struct call call_cpus = {
	.name = "cpus",
	.group = "introspection",
	.summary = "show what each CPU runs and what waits for it",
	.flags = CALL_TARGET,
	.columns = cpus_columns,
	.run = run_cpus,
};

/* --- slabs
 * ------------------------------------------------------------------------------------ */

static bool slab_row(void *user, const struct guest_slab_cache *cache)
{
	return call_rows_add(user, json_pack("{s:o,s:I,s:I,s:I,s:I,s:I,s:o}", "name",
					     json_guest_text(cache->name, sizeof(cache->name)),
					     "active", (json_int_t)cache->active, "objects",
					     (json_int_t)cache->objects, "object_size",
					     (json_int_t)cache->object_size, "size",
					     (json_int_t)cache->size, "slabs",
					     (json_int_t)cache->slabs, "cache",
					     call_hex(cache->gva)));
}

static struct error *walk_slabs(struct call_rows *rows)
{
	guest_slabs_each(rows->guest, slab_row, rows);
	return NULL;
}

static struct error *run_slabs(struct call_context *context, json_t **ret)
{
	return list_of(context, walk_slabs, ret);
}

static const struct call_column slabs_columns[] = {
	{ "active", "ACTIVE", COLUMN_RIGHT },	  { "objects", "OBJECTS", COLUMN_RIGHT },
	{ "object_size", "BYTES", COLUMN_RIGHT }, { "slabs", "SLABS", COLUMN_RIGHT },
	{ "name", "NAME", COLUMN_LEFT },	  { 0 },
};

const struct call call_slabs = {
	.name = "slabs",
	.group = "introspection",
	.summary = "list caches of kernel objects and their use",
	.flags = CALL_TARGET,
	.columns = slabs_columns,
	.run = run_slabs,
};

/* --- timers
 * ------------------------------------------------------------------------------------ */

static bool timer_row(void *user, const struct guest_timer *timer)
{
	struct call_rows *rows = user;
	char symbol[256];
	guest_symbol_text(rows->guest, timer->function, symbol, sizeof(symbol));
	return call_rows_add(
		rows, json_pack("{s:i,s:i,s:s,s:o,s:o,s:o,s:o}", "cpu", (int)timer->cpu,
				"clock", (int)timer->clock, "kind",
				timer->is_wheel ? "wheel" : "hrtimer", "expires_ns",
				json_number_or_null(!timer->is_wheel, timer->expires_ns),
				"jiffies_left",
				json_number_or_null(timer->is_wheel, timer->jiffies_left),
				"function", json_guest_text(symbol, sizeof(symbol)), "timer",
				call_hex(timer->gva)));
}

static struct error *walk_timers(struct call_rows *rows)
{
	guest_timers_each(rows->guest, timer_row, rows);
	return NULL;
}

static struct error *run_timers(struct call_context *context, json_t **ret)
{
	return list_of(context, walk_timers, ret);
}

static const struct call_column timers_columns[] = {
	{ "cpu", "CPU", COLUMN_RIGHT },
	{ "kind", "KIND", COLUMN_LEFT },
	{ "clock", "CLOCK", COLUMN_RIGHT },
	{ "jiffies_left", "JIFFIES LEFT", COLUMN_RIGHT },
	{ "expires_ns", "EXPIRES_NS", COLUMN_RIGHT },
	{ "function", "FUNCTION", COLUMN_LEFT },
	{ 0 },
};

const struct call call_timers = {
	.name = "timers",
	.group = "introspection",
	.summary = "list running timers",
	.flags = CALL_TARGET,
	.columns = timers_columns,
	.run = run_timers,
};

/* --- cached
 * -------------------------------------------------------------------------------------- */

static bool cached_row(void *user, const struct guest_cached_file *file)
{
	return call_rows_add(user, json_pack("{s:I,s:I,s:o,s:I,s:o}", "pages",
					     (json_int_t)file->pages, "size",
					     (json_int_t)file->size_bytes, "fstype",
					     json_text_or_null(file->fstype), "inode",
					     (json_int_t)file->inode, "path",
					     json_text_or_null(file->path)));
}

static struct error *walk_cached(struct call_rows *rows)
{
	guest_page_cache_each(rows->guest, cached_row, rows);
	return NULL;
}

static struct error *run_cached(struct call_context *context, json_t **ret)
{
	return list_of(context, walk_cached, ret);
}

static const struct call_column cached_columns[] = {
	{ "pages", "PAGES", COLUMN_RIGHT },
	{ "size", "SIZE", COLUMN_BYTES },
	{ "fstype", "TYPE", COLUMN_LEFT },
	{ "path", "PATH", COLUMN_LEFT },
	{ 0 },
};

const struct call call_cached = {
	.name = "cached",
	.group = "introspection",
	.summary = "list files that have pages in memory",
	.flags = CALL_TARGET,
	.columns = cached_columns,
	.run = run_cached,
};
