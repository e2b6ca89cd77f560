/* credentials: users, groups, capabilities, control group, container and unit of processes. */
#include <string.h>

#include "base/error.h"
#include "box/calls.h"
#include "box/guest_call.h"
#include "guest/cgroup.h"
#include "guest/container.h"
#include "guest/credentials.h"
#include "guest/guest.h"
#include "guest/namespace.h"
#include "guest/task.h"

void call_add_group(struct guest *guest, const struct guest_task *task, json_t *row)
{
	char path[GUEST_CGROUP_PATH_BYTES], name[GUEST_CGROUP_PATH_BYTES];
	bool known = guest_task_cgroup(guest, task->gva, path, sizeof(path));
	json_object_set_new(row, "cgroup",
			    known ? json_guest_text(path, sizeof(path)) : json_null());
	json_object_set_new(row, "container",
			    known && container_of_path(path, name, sizeof(name))
				    ? json_guest_text(name, sizeof(name))
				    : json_null());
	json_object_set_new(row, "unit",
			    known && unit_of_path(path, name, sizeof(name))
				    ? json_guest_text(name, sizeof(name))
				    : json_null());
}

static json_t *capability_names(uint64_t set)
{
	json_t *list = json_array();
	for (unsigned i = 0; i < 64; i++) {
		const char *name = guest_capability_name(i);
		if (set >> i & 1)
			json_array_append_new(list,
					      name ? json_string(name) : json_sprintf("%u", i));
	}
	return list;
}

static json_t *group_list(const struct guest_credentials *c)
{
	json_t *list = json_array();
	for (size_t i = 0; i < c->n_groups && i < GUEST_GROUPS_MAX; i++)
		json_array_append_new(list, json_integer(c->groups[i]));
	return list;
}

static void add_namespaces(struct guest *guest, const struct guest_task *task, json_t *row)
{
	json_t *object = json_object();
	for (int which = 0; which < GUEST_NS_COUNT; which++) {
		enum guest_namespace ns = (enum guest_namespace)which;
		uint32_t number = guest_task_namespace(guest, task, ns);
		json_object_set_new(object, guest_namespace_name(ns),
				    json_number_or_null(number != 0, number));
	}
	json_object_set_new(row, "namespaces", object);
}

static void add_credentials(const struct guest_credentials *c, json_t *row)
{
#define ADD_ID(name) json_object_set_new(row, #name, json_integer(c->name));
	ADD_ID(uid)
	ADD_ID(euid)
	ADD_ID(suid)
	ADD_ID(fsuid)
	ADD_ID(gid)
	ADD_ID(egid)
	ADD_ID(sgid)
	ADD_ID(fsgid)
#undef ADD_ID
	json_object_set_new(row, "groups", group_list(c));
#define ADD_SET(name, path) json_object_set_new(row, #name, call_hex(c->name));
	GUEST_CAPABILITY_SETS(ADD_SET)
#undef ADD_SET
	json_object_set_new(row, "capabilities", capability_names(c->effective));
}

static struct error *add_process(struct guest *guest, const struct guest_task *task,
				 json_t *rows)
{
	struct guest_credentials c;
	json_t *row = json_pack("{s:i,s:o}", "pid", task->pid, "comm",
				json_guest_text(task->comm, sizeof(task->comm)));
	TRY(json_list_add(rows, row));
	if (guest_credentials_read(guest, task->gva, &c))
		add_credentials(&c, row);
	else
		guest_add_note(guest, "the credentials of process %d cannot be read",
			       task->pid);
	call_add_group(guest, task, row);
	add_namespaces(guest, task, row);
	return NULL;
}

static struct error *run_credentials(struct call_context *context, json_t **ret)
{
	struct guest *guest = NULL;
	TRY(call_guest(context, &guest));
	AUTO(guest_tasks_deinit) struct guest_tasks tasks = { 0 };
	TRY(call_tasks(context, guest, &tasks));
	AUTO(own_json) json_t *rows = json_array();
	for (size_t i = 0; i < tasks.count && guest_step(guest); i++)
		TRY(add_process(guest, &tasks.items[i], rows));
	*ret = TAKE(rows);
	return NULL;
}

static const struct call_column credentials_columns[] = {
	{ "pid", "PID", COLUMN_RIGHT },
	{ "uid", "UID", COLUMN_RIGHT },
	{ "euid", "EUID", COLUMN_RIGHT },
	{ "gid", "GID", COLUMN_RIGHT },
	{ "egid", "EGID", COLUMN_RIGHT },
	{ "effective", "EFFECTIVE", COLUMN_LEFT },
	{ "permitted", "PERMITTED", COLUMN_LEFT },
	{ "container", "CONTAINER", COLUMN_LEFT },
	{ "cgroup", "CGROUP", COLUMN_LEFT },
	{ "comm", "NAME", COLUMN_LEFT },
	{ 0 },
};

const struct call call_credentials = {
	.name = "credentials",
	.group = "introspection",
	.summary = "show users, groups, capabilities, container and namespaces of processes",
	.examples = "  glassbox credentials demo\n  glassbox credentials demo 1 --json",
	.flags = CALL_TARGET,
	.params = call_some_pid_params,
	.columns = credentials_columns,
	.run = run_credentials,
};
