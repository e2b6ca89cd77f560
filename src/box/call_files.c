/* maps, env, files, sockets, mounts, lsmod. */
#include <string.h>

#include "base/error.h"
#include "box/calls.h"
#include "box/guest_call.h"
#include "guest/file.h"
#include "guest/guest.h"
#include "guest/hidden.h"
#include "guest/module.h"
#include "guest/mount.h"
#include "guest/socket.h"
#include "guest/task.h"
#include "guest/vma.h"

/* --- maps --------------------------------------------------------------------------------- */

static bool map_row(void *user, const struct guest_vma *vma)
{
	return call_rows_add(user,
			     json_pack("{s:o,s:o,s:s,s:o,s:o,s:s}", "start",
				       call_hex(vma->start), "end", call_hex(vma->end), "perms",
				       vma->perms, "offset", call_hex(vma->offset), "path",
				       json_text_or_null(vma->path), "kind", vma->kind));
}

static struct error *run_maps(struct call_context *context, json_t **ret)
{
	struct guest *guest = NULL;
	struct guest_task task;
	TRY(call_guest(context, &guest));
	TRY(call_task(context, guest, &task));
	AUTO(call_rows_deinit)
	struct call_rows rows = { .guest = guest, .list = json_array() };
	guest_vmas_each(guest, &task, map_row, &rows);
	return call_rows_take(&rows, ret);
}

static const struct call_param pid_params[] = {
	{ "pid", CALL_INTEGER, .positional = true, .required = true, .placeholder = "PID",
	  .help = "process, as `ps` numbers it" },
	{ 0 },
};

static const struct call_column maps_columns[] = {
	{ "start", "START", COLUMN_LEFT },
	{ "end", "END", COLUMN_LEFT },
	{ "perms", "PERMS", COLUMN_LEFT },
	{ "offset", "OFFSET", COLUMN_LEFT },
	{ "kind", "KIND", COLUMN_LEFT },
	{ "path", "PATH", COLUMN_LEFT },
	{ 0 },
};

const struct call call_maps = {
	.name = "maps",
	.group = "introspection",
	.summary = "list the memory areas of a process",
	.examples = "  glassbox maps demo 1",
	.flags = CALL_TARGET,
	.params = pid_params,
	.columns = maps_columns,
	.run = run_maps,
};

/* --- env ---------------------------------------------------------------------------------- */

static struct error *add_variables(const char *bytes, size_t length, json_t *list)
{
	for (size_t at = 0; at < length;) {
		size_t part = strnlen(bytes + at, length - at);
		size_t name = strcspn(bytes + at, "=");
		bool has_value = name < part;
		if (part)
			TRY(json_list_add(
				list,
				json_pack("{s:o,s:o}", "name",
					  json_guest_text(bytes + at, has_value ? name : part),
					  "value",
					  has_value ? json_guest_text(bytes + at + name + 1,
								      part - name - 1)
						    : json_null())));
		at += part + 1;
	}
	return NULL;
}

static struct error *run_env(struct call_context *context, json_t **ret)
{
	struct guest *guest = NULL;
	struct guest_task task;
	TRY(call_guest(context, &guest));
	TRY(call_task(context, guest, &task));
	AUTO(own_free) char *bytes = NULL;
	AUTO(own_json) json_t *list = json_array();
	size_t length = guest_task_environment(guest, &task, &bytes);
	if (!length && task.mm)
		guest_add_note(guest, "the environment of process %d is empty or not in RAM",
			       task.pid);
	TRY(add_variables(bytes, length, list));
	*ret = TAKE(list);
	return NULL;
}

static const struct call_column env_columns[] = {
	{ "name", "NAME", COLUMN_LEFT },
	{ "value", "VALUE", COLUMN_LEFT },
	{ 0 },
};

const struct call call_env = {
	.name = "env",
	.group = "introspection",
	.summary = "show the environment of a process",
	.flags = CALL_TARGET,
	.params = pid_params,
	.columns = env_columns,
	.run = run_env,
};

/* --- files and sockets ----------------------------------------------------------------------
 */

static bool file_row(void *user, const struct guest_file *file)
{
	struct call_rows *rows = user;
	char path[GUEST_PATH_BYTES];
	guest_file_path(rows->guest, file->gva, path, sizeof(path));
	const char *type = file->type;
	if (!strncmp(path, "anon_inode:", 11))
		type = "anonymous";
	json_t *position = json_number_or_null(file->has_position, (int64_t)file->position);
	return call_rows_add(rows,
			     json_pack("{s:i,s:i,s:o,s:s,s:o,s:o}", "pid", rows->task->pid,
				       "fd", (int)file->fd, "path", json_text_or_null(path),
				       "type", type, "position", position, "flags",
				       json_hex_or_null(file->has_flags, file->flags)));
}

static struct error *run_files(struct call_context *context, json_t **ret)
{
	struct guest *guest = NULL;
	TRY(call_guest(context, &guest));
	AUTO(guest_tasks_deinit) struct guest_tasks tasks = { 0 };
	TRY(call_tasks(context, guest, &tasks));
	AUTO(call_rows_deinit)
	struct call_rows rows = { .guest = guest, .list = json_array() };
	for (size_t i = 0; i < tasks.count && !rows.err; i++) {
		rows.task = &tasks.items[i];
		guest_files_each(guest, rows.task, file_row, &rows);
	}
	return call_rows_take(&rows, ret);
}

static bool socket_row(void *user, const struct guest_socket *s)
{
	bool held = s->pid >= 0;
	return call_rows_add(
		user,
		json_pack("{s:o,s:o,s:s,s:s,s:s,s:o,s:o,s:s,s:o,s:o,s:o,s:o,s:o,s:o}", "pid",
			  json_number_or_null(held, s->pid), "fd",
			  json_number_or_null(held, s->fd), "family",
			  s->family ? s->family : s->family_text, "type",
			  s->type ? s->type : s->type_text, "proto", s->proto, "local",
			  json_text_or_null(s->local), "remote", json_text_or_null(s->remote),
			  "state", s->state, "receive_queue",
			  json_number_or_null(s->has_queues, s->receive_queue), "send_queue",
			  json_number_or_null(s->has_queues, s->send_queue), "inode",
			  json_number_or_null(s->inode != 0, (int64_t)s->inode), "uid",
			  json_number_or_null(s->has_uid, s->uid), "ns",
			  json_number_or_null(s->net_ns != 0, s->net_ns), "sock",
			  call_hex(s->gva)));
}

static struct error *run_sockets(struct call_context *context, json_t **ret)
{
	struct guest *guest = NULL;
	TRY(call_guest(context, &guest));
	AUTO(guest_tasks_deinit) struct guest_tasks tasks = { 0 };
	TRY(call_tasks(context, guest, &tasks));
	AUTO(call_rows_deinit)
	struct call_rows rows = { .guest = guest, .list = json_array() };
	TRY(guest_sockets_each(guest, &tasks, call_has(context, "pid"), socket_row, &rows));
	return call_rows_take(&rows, ret);
}

static const struct call_column files_columns[] = {
	{ "pid", "PID", COLUMN_RIGHT },
	{ "fd", "FD", COLUMN_RIGHT },
	{ "type", "TYPE", COLUMN_LEFT },
	{ "path", "PATH", COLUMN_LEFT },
	{ 0 },
};

const struct call call_files = {
	.name = "files",
	.group = "introspection",
	.summary = "list open files",
	.flags = CALL_TARGET,
	.params = call_some_pid_params,
	.columns = files_columns,
	.run = run_files,
};

static const struct call_column sockets_columns[] = {
	{ "pid", "PID", COLUMN_RIGHT },
	{ "fd", "FD", COLUMN_RIGHT },
	{ "family", "FAMILY", COLUMN_LEFT },
	{ "type", "TYPE", COLUMN_LEFT },
	{ "proto", "PROTO", COLUMN_LEFT },
	{ "state", "STATE", COLUMN_LEFT },
	{ "receive_queue", "RECV-Q", COLUMN_RIGHT },
	{ "send_queue", "SEND-Q", COLUMN_RIGHT },
	{ "local", "LOCAL", COLUMN_LEFT },
	{ "remote", "REMOTE", COLUMN_LEFT },
	{ 0 },
};

const struct call call_sockets = {
	.name = "sockets",
	.group = "introspection",
	.summary = "list sockets and who holds them",
	.details =
		"Also those that no process holds: connections in TIME_WAIT, sockets of the\n"
		"kernel. Their PID is unknown.",
	.flags = CALL_TARGET,
	.params = call_some_pid_params,
	.columns = sockets_columns,
	.run = run_sockets,
};

/* --- lsmod and mounts -----------------------------------------------------------------------
 */

static json_t *module_object(const struct guest_module *module)
{
	return json_pack("{s:o,s:o,s:I,s:i,s:s,s:o}", "name",
			 json_guest_text(module->name, sizeof(module->name)), "address",
			 call_hex(module->address), "size", (json_int_t)module->size_bytes,
			 "refcount", module->refcount, "state", module->state, "used_by",
			 json_text_or_null(module->used_by));
}

static bool module_row(void *user, const struct guest_module *module)
{
	return call_rows_add(user, module_object(module));
}

static bool hidden_module_row(void *user, const struct guest_module *module, unsigned views)
{
	static const char *const names[] = { "sysfs", "address tree", "memory" };
	json_t *row = module_object(module);
	if (row)
		json_object_set_new(row, "found_in", json_bit_names(views, names, 3));
	return call_rows_add(user, row);
}

static struct error *run_lsmod(struct call_context *context, json_t **ret)
{
	struct guest *guest = NULL;
	TRY(call_guest(context, &guest));
	AUTO(call_rows_deinit)
	struct call_rows rows = { .guest = guest, .list = json_array() };
	if (call_bool(context, "hidden"))
		TRY(guest_hidden_modules_each(guest, hidden_module_row, &rows));
	else
		guest_modules_each(guest, module_row, &rows);
	return call_rows_take(&rows, ret);
}

static const struct call_param lsmod_params[] = {
	{ "hidden", CALL_BOOL,
	  .help = "only what other structures of the kernel know and its list of modules does "
		  "not" },
	{ 0 },
};

static const struct call_column lsmod_columns[] = {
	{ "name", "NAME", COLUMN_LEFT },
	{ "address", "ADDRESS", COLUMN_LEFT },
	{ "size", "SIZE", COLUMN_RIGHT },
	{ "refcount", "USED", COLUMN_RIGHT },
	{ "state", "STATE", COLUMN_LEFT },
	{ "used_by", "BY", COLUMN_LEFT },
	{ 0 },
};

const struct call call_lsmod = {
	.name = "lsmod",
	.group = "introspection",
	.summary = "list kernel modules",
	.flags = CALL_TARGET,
	.params = lsmod_params,
	.columns = lsmod_columns,
	.run = run_lsmod,
};

static bool mount_row(void *user, const struct guest_mount *mount)
{
	char numbers[32];
	snprintf(numbers, sizeof(numbers), "%u:%u", mount->major, mount->minor);
	return call_rows_add(
		user, json_pack("{s:i,s:i,s:o,s:o,s:o,s:s,s:I,s:s}", "id", mount->id, "parent",
				mount->parent, "device", json_text_or_null(mount->device),
				"mountpoint", json_text_or_null(mount->mountpoint), "fstype",
				json_text_or_null(mount->fstype), "options", mount->options,
				"ns", (json_int_t)mount->ns, "device_number", numbers));
}

static struct error *run_mounts(struct call_context *context, json_t **ret)
{
	struct guest *guest = NULL;
	TRY(call_guest(context, &guest));
	AUTO(call_rows_deinit)
	struct call_rows rows = { .guest = guest, .list = json_array() };
	TRY(guest_mounts_each(guest, mount_row, &rows));
	return call_rows_take(&rows, ret);
}

static const struct call_column mounts_columns[] = {
	{ "ns", "NAMESPACE", COLUMN_RIGHT },	     { "id", "ID", COLUMN_RIGHT },
	{ "parent", "PARENT", COLUMN_RIGHT },	     { "fstype", "TYPE", COLUMN_LEFT },
	{ "device", "DEVICE", COLUMN_LEFT },	     { "options", "OPTIONS", COLUMN_LEFT },
	{ "mountpoint", "MOUNTPOINT", COLUMN_LEFT }, { 0 },
};

const struct call call_mounts = {
	.name = "mounts",
	.group = "introspection",
	.summary = "list mounted filesystems of every namespace",
	.flags = CALL_TARGET,
	.columns = mounts_columns,
	.run = run_mounts,
};
