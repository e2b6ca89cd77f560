/* ps, threads, tree. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "box/calls.h"
#include "box/guest_call.h"
#include "guest/guest.h"
#include "guest/hidden.h"
#include "guest/task.h"

static json_t *args_of(struct guest *guest, const struct guest_task *task)
{
	AUTO(own_free) char *args = NULL;
	size_t length = guest_task_args(guest, task, &args);
	return length ? json_guest_words(args, length) : json_null();
}

static json_t *task_row(struct guest *guest, const struct guest_task *task)
{
	char state[2] = { task->state, 0 };
	json_t *row = json_pack("{s:i,s:i,s:i,s:o,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:b,s:o}", "pid",
				task->pid, "tgid", task->tgid, "ppid", task->ppid, "comm",
				json_guest_text(task->comm, sizeof(task->comm)), "state", state,
				"uid", json_number_or_null(task->has_cred, task->uid), "gid",
				json_number_or_null(task->has_cred, task->gid), "task",
				call_hex(task->gva), "cr3",
				json_hex_or_null(task->has_cr3, task->cr3), "rss_pages",
				json_number_or_null(task->has_rss, task->rss_pages), "start_ns",
				json_number_or_null(task->has_start, (int64_t)task->start_ns),
				"kthread", (int)task->kthread, "args", args_of(guest, task));
	if (row)
		call_add_group(guest, task, row);
	return row;
}

static struct error *list_tasks(struct call_context *context, bool threads, json_t **ret)
{
	struct guest *guest = NULL;
	TRY(call_guest(context, &guest));
	AUTO(guest_tasks_deinit) struct guest_tasks tasks = { 0 };
	TRY(guest_tasks_read(guest, threads, &tasks));
	AUTO(own_json) json_t *rows = json_array();
	for (size_t i = 0; i < tasks.count; i++)
		TRY(json_list_add(rows, task_row(guest, &tasks.items[i])));
	*ret = TAKE(rows);
	return NULL;
}

static bool hidden_row(void *user, const struct guest_hidden *hidden)
{
	static const char *const names[] = { "pid map", "cpu", "run queue", "slab" };
	struct call_rows *rows = user;
	json_t *row = task_row(rows->guest, &hidden->task);
	if (row)
		json_object_set_new(row, "found_in", json_bit_names(hidden->views, names, 4));
	return call_rows_add(rows, row);
}

static struct error *list_hidden(struct call_context *context, json_t **ret)
{
	struct guest *guest = NULL;
	TRY(call_guest(context, &guest));
	AUTO(call_rows_deinit)
	struct call_rows rows = { .guest = guest, .list = json_array() };
	TRY(guest_hidden_each(guest, hidden_row, &rows));
	return call_rows_take(&rows, ret);
}

static struct error *run_ps(struct call_context *context, json_t **ret)
{
	if (call_bool(context, "hidden"))
		return list_hidden(context, ret);
	return list_tasks(context, false, ret);
}

static struct error *run_threads(struct call_context *context, json_t **ret)
{
	return list_tasks(context, true, ret);
}

/* --- tree ----------------------------------------------------------------------------- */

enum { DEPTH_MAX = 64 };

struct tree {
	struct guest *guest;
	struct guest_tasks tasks;
	bool *printed; /* owned; breaks circles of parents */
	json_t *rows; /* borrowed */
	bool last_child[DEPTH_MAX];
};

static void tree_deinit(struct tree *tree)
{
	guest_tasks_deinit(&tree->tasks);
	free(tree->printed);
}

static json_t *tree_row(const struct tree *tree, const struct guest_task *task, unsigned depth)
{
	char line[DEPTH_MAX * 12 + GUEST_COMM_BYTES + 4] = "";
	size_t at = 0;
	for (unsigned d = 1; d <= depth; d++) {
		bool last = tree->last_child[d];
		const char *piece = d < depth ? (last ? "   " : "\xe2\x94\x82  ")
					      : (last ? "\xe2\x94\x94\xe2\x94\x80 "
						      : "\xe2\x94\x9c\xe2\x94\x80 ");
		at += (size_t)snprintf(line + at, sizeof(line) - at, "%s", piece);
	}
	snprintf(line + at, sizeof(line) - at, "%s", task->comm);
	return json_pack("{s:i,s:i,s:o,s:i,s:o}", "pid", task->pid, "ppid", task->ppid, "comm",
			 json_guest_text(task->comm, sizeof(task->comm)), "depth", (int)depth,
			 "line", json_guest_text(line, sizeof(line)));
}

static bool is_child(const struct tree *tree, size_t i, int32_t parent)
{
	const struct guest_task *task = &tree->tasks.items[i];
	return !tree->printed[i] && task->ppid == parent && task->pid != parent;
}

static struct error *add_children(struct tree *tree, int32_t parent, unsigned depth)
{
	size_t last = tree->tasks.count;
	for (size_t i = 0; i < tree->tasks.count; i++)
		if (is_child(tree, i, parent))
			last = i;
	for (size_t i = 0;
	     i < tree->tasks.count && depth < DEPTH_MAX && guest_step(tree->guest); i++) {
		if (!is_child(tree, i, parent))
			continue;
		tree->last_child[depth] = i == last;
		tree->printed[i] = true;
		TRY(json_list_add(tree->rows, tree_row(tree, &tree->tasks.items[i], depth)));
		TRY(add_children(tree, tree->tasks.items[i].pid, depth + 1));
	}
	return NULL;
}

static struct error *run_tree(struct call_context *context, json_t **ret)
{
	struct guest *guest = NULL;
	TRY(call_guest(context, &guest));
	AUTO(own_json) json_t *rows = json_array();
	AUTO(tree_deinit) struct tree tree = { .guest = guest, .rows = rows };
	TRY(guest_tasks_read(guest, false, &tree.tasks));
	TRY(error_alloc(tree.tasks.count, sizeof(bool), &tree.printed));
	TRY(add_children(&tree, 0, 0));
	/* Whoever is not below pid 0 has a parent that is not in the list. */
	for (size_t i = 0; i < tree.tasks.count; i++) {
		if (tree.printed[i])
			continue;
		tree.printed[i] = true;
		TRY(json_list_add(rows, tree_row(&tree, &tree.tasks.items[i], 0)));
		TRY(add_children(&tree, tree.tasks.items[i].pid, 1));
	}
	*ret = TAKE(rows);
	return NULL;
}

static const struct call_column task_columns[] = {
	{ "pid", "PID", COLUMN_RIGHT },
	{ "tgid", "TGID", COLUMN_HIDDEN },
	{ "ppid", "PPID", COLUMN_RIGHT },
	{ "state", "S", COLUMN_LEFT },
	{ "uid", "UID", COLUMN_RIGHT },
	{ "gid", "GID", COLUMN_HIDDEN },
	{ "rss_pages", "RSS", COLUMN_RIGHT },
	{ "start_ns", "START", COLUMN_HIDDEN },
	{ "cr3", "CR3", COLUMN_LEFT },
	{ "task", "TASK", COLUMN_LEFT },
	{ "comm", "NAME", COLUMN_LEFT },
	{ "args", "ARGS", COLUMN_LEFT },
	{ 0 },
};

static const struct call_column thread_columns[] = {
	{ "tgid", "PID", COLUMN_RIGHT },  { "pid", "TID", COLUMN_RIGHT },
	{ "ppid", "PPID", COLUMN_RIGHT }, { "state", "S", COLUMN_LEFT },
	{ "uid", "UID", COLUMN_RIGHT },	  { "task", "TASK", COLUMN_LEFT },
	{ "comm", "NAME", COLUMN_LEFT },  { 0 },
};

static const struct call_column tree_columns[] = {
	{ "pid", "PID", COLUMN_RIGHT },
	{ "line", "PROCESS", COLUMN_LEFT },
	{ 0 },
};

static const struct call_param ps_params[] = {
	{ "hidden", CALL_BOOL,
	  .help = "only what other structures of the kernel know and its task list does not" },
	{ 0 },
};

const struct call call_ps = {
	.name = "ps",
	.group = "introspection",
	.summary = "list processes",
	.params = ps_params,
	.examples = "  glassbox ps demo\n  glassbox ps --file memory.raw --json",
	.flags = CALL_TARGET,
	.columns = task_columns,
	.run = run_ps,
};

const struct call call_threads = {
	.name = "threads",
	.group = "introspection",
	.summary = "list threads of all processes",
	.flags = CALL_TARGET,
	.columns = thread_columns,
	.run = run_threads,
};

const struct call call_tree = {
	.name = "tree",
	.group = "introspection",
	.summary = "show processes as a tree",
	.flags = CALL_TARGET,
	.columns = tree_columns,
	.run = run_tree,
};
