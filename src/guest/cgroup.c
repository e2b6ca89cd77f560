#include "guest/cgroup.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "guest/internal.h"
#include "guest/task.h"

enum { DEPTH_MAX = 64, LINKS_MAX = 1024 };

/* One process in one group. */
struct member {
	uint64_t cgroup;
	int32_t pid;
};

struct cgroup_walk {
	struct guest *guest;
	guest_cgroup_fn *visit;
	void *user;
	struct field self, children, sibling, css_cgroup, kn, kn_name, kn_id;
	VEC(struct member) members; /* sorted by group */
	VEC(int32_t) pids; /* of the group being shown */
	struct guest_cgroup cgroup;
	bool ended;
};

static bool add_membership(struct cgroup_walk *w, uint64_t set, int32_t pid)
{
	struct guest *guest = w->guest;
	struct field links = guest_field(guest, "css_set.cgrp_links");
	struct field link = guest_field(guest, "cgrp_cset_link.cgrp_link");
	struct field group = guest_field(guest, "cgrp_cset_link.cgrp");
	struct guest_list list;
	uint64_t gva;
	if (!links.found || !link.found || !group.found)
		return true;
	guest_list_begin(&list, guest, set + links.offset, link, "a process' control groups");
	for (int i = 0; i < LINKS_MAX && guest_list_next(&list, &gva); i++) {
		struct member member = { guest_load(guest, gva, group), pid };
		if (!VEC_PUSH(&w->members, member))
			return false;
	}
	return true;
}

/* Writes the names from the root down to a node of kernfs. */
static void node_path(struct guest *guest, uint64_t node, char *path, size_t size)
{
	struct field name = guest_field(guest, "kernfs_node.name");
	/* Renamed in 6.15 (633488947ef6). */
	struct field parent = guest_field(guest, "kernfs_node.parent|kernfs_node.__parent");
	char reversed[GUEST_CGROUP_PATH_BYTES], part[256];
	size_t at = sizeof(reversed) - 1;
	reversed[at] = 0;
	for (int depth = 0; node && depth < DEPTH_MAX; depth++) {
		uint64_t above = guest_load(guest, node, parent);
		uint64_t text = guest_load(guest, node, name);
		if (!above)
			break; /* the root has no name */
		size_t length = text ? guest_read_text(guest, text, part, sizeof(part)) : 0;
		if (at < length + 1)
			break;
		at -= length;
		memcpy(reversed + at, part, length);
		reversed[--at] = '/';
		node = above;
	}
	snprintf(path, size, "%s", reversed[at] ? reversed + at : "/");
}

static void deepest_group(struct guest *guest, uint64_t set, char *path, size_t size)
{
	struct field links = guest_field(guest, "css_set.cgrp_links");
	struct field link = guest_field(guest, "cgrp_cset_link.cgrp_link");
	struct field group = guest_field(guest, "cgrp_cset_link.cgrp");
	struct field kn = guest_field(guest, "cgroup.kn");
	char other[GUEST_CGROUP_PATH_BYTES];
	struct guest_list list;
	uint64_t gva;
	if (!links.found || !link.found || !group.found)
		return;
	guest_list_begin(&list, guest, set + links.offset, link, "a process' control groups");
	for (int i = 0; i < LINKS_MAX && guest_list_next(&list, &gva); i++) {
		node_path(guest, guest_load(guest, guest_load(guest, gva, group), kn), other,
			  sizeof(other));
		if (strlen(other) > strlen(path))
			snprintf(path, size, "%s", other);
	}
}

bool guest_task_cgroup(struct guest *guest, uint64_t task_gva, char *path, size_t size)
{
	struct field unified = guest_field(guest, "css_set.dfl_cgrp");
	struct field kn = guest_field(guest, "cgroup.kn");
	uint64_t set = guest_load(guest, task_gva, guest_field(guest, "task_struct.cgroups"));
	uint64_t group = set ? guest_load(guest, set, unified) : 0;
	if (!group || !kn.found)
		return false;
	node_path(guest, guest_load(guest, group, kn), path, size);
	if (!strcmp(path, "/"))
		deepest_group(guest, set, path, size);
	return true;
}

static int compare_members(const void *left, const void *right)
{
	const struct member *a = left, *b = right;
	if (a->cgroup != b->cgroup)
		return a->cgroup < b->cgroup ? -1 : 1;
	return a->pid < b->pid ? -1 : a->pid > b->pid;
}

/* cgrp_links is a list whose links are called cgrp_link in the set and cset_link in the group:
 * a set's list goes through cgrp_link. */
static bool collect_members(struct cgroup_walk *w, const struct guest_tasks *tasks)
{
	struct field set = guest_need_field(w->guest, "task_struct.cgroups");
	for (size_t i = 0; i < tasks->count; i++) {
		uint64_t gva = guest_load(w->guest, tasks->items[i].gva, set);
		if (gva && !add_membership(w, gva, tasks->items[i].pid))
			return false;
	}
	if (w->members.count)
		qsort(w->members.items, w->members.count, sizeof(struct member),
		      compare_members);
	return true;
}

static bool find_pids(struct cgroup_walk *w, uint64_t cgroup)
{
	size_t low = 0, high = w->members.count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (w->members.items[middle].cgroup < cgroup)
			low = middle + 1;
		else
			high = middle;
	}
	w->pids.count = 0;
	for (; low < w->members.count && w->members.items[low].cgroup == cgroup; low++)
		if (!VEC_PUSH(&w->pids, w->members.items[low].pid))
			return false;
	return true;
}

static void show_group(struct cgroup_walk *w, uint64_t cgroup, const char *parent_path,
		       unsigned depth)
{
	struct guest *guest = w->guest;
	char name[256] = "", path[GUEST_CGROUP_PATH_BYTES];
	uint64_t kn = guest_load(guest, cgroup, w->kn);
	uint64_t text = kn ? guest_load(guest, kn, w->kn_name) : 0;
	if (text && depth)
		guest_read_text(guest, text, name, sizeof(name));
	bool below_root = parent_path[0] == '/' && !parent_path[1];
	snprintf(path, sizeof(path), "%s%s%s", below_root ? "" : parent_path, "/", name);
	if (!find_pids(w, cgroup))
		return;
	memcpy(w->cgroup.path, path, sizeof(path));
	w->cgroup.gva = cgroup;
	w->cgroup.depth = depth;
	w->cgroup.id = kn ? guest_load(guest, kn, w->kn_id) : 0;
	w->cgroup.pids = w->pids.items;
	w->cgroup.n_pids = w->pids.count;
	w->ended = !w->visit(w->user, &w->cgroup);
	if (depth >= DEPTH_MAX) {
		guest_add_note(guest, "control groups nest too deep");
		return;
	}
	struct guest_list list;
	uint64_t css;
	guest_list_begin(&list, guest, cgroup + w->self.offset + w->children.offset, w->sibling,
			 "control groups");
	while (!w->ended && guest_list_next(&list, &css))
		show_group(w, guest_load(guest, css, w->css_cgroup), path, depth + 1);
}

static void show_hierarchies(struct cgroup_walk *w)
{
	struct guest *guest = w->guest;
	struct field root_group = guest_need_field(guest, "cgroup_root.cgrp");
	struct field link = guest_field(guest, "cgroup_root.root_list");
	struct field name = guest_field(guest, "cgroup_root.name");
	uint64_t unified = 0, roots, root;
	if (guest_symbol(guest, "cgrp_dfl_root", &unified)) {
		snprintf(w->cgroup.hierarchy, sizeof(w->cgroup.hierarchy), "v2");
		show_group(w, unified + root_group.offset, "/", 0);
	}
	struct guest_list list;
	if (!guest_symbol(guest, "cgroup_roots", &roots) || !link.found) {
		guest_add_note(guest,
			       "where this kernel lists its hierarchies of control groups "
			       "is not known");
		return;
	}
	guest_list_begin(&list, guest, roots, link, "control group hierarchies");
	while (!w->ended && guest_list_next(&list, &root)) {
		if (root == unified)
			continue;
		guest_load_text(guest, root, name, w->cgroup.hierarchy,
				sizeof(w->cgroup.hierarchy));
		show_group(w, root + root_group.offset, "/", 0);
	}
}

struct error *guest_cgroups_each(struct guest *guest, guest_cgroup_fn *visit, void *user)
{
	AUTO(guest_tasks_deinit) struct guest_tasks tasks = { 0 };
	TRY(guest_tasks_read(guest, false, &tasks));
	struct cgroup_walk w = {
		.guest = guest,
		.visit = visit,
		.user = user,
		.self = guest_field(guest, "cgroup.self"),
		.children = guest_field(guest, "cgroup_subsys_state.children"),
		.sibling = guest_field(guest, "cgroup_subsys_state.sibling"),
		.css_cgroup = guest_field(guest, "cgroup_subsys_state.cgroup"),
		.kn = guest_field(guest, "cgroup.kn"),
		.kn_name = guest_field(guest, "kernfs_node.name"),
		.kn_id = guest_field(guest, "kernfs_node.id"),
	};
	struct error *err = NULL;
	if (!w.self.found || !w.children.found)
		err = guest_has_types(guest)
			      ? error_create(ERR_NOT_FOUND, "this kernel has no control groups")
			      : error_create(ERR_UNSUPPORTED,
					     "control groups cannot be read without types");
	else if (!collect_members(&w, &tasks))
		err = error_create(ERR_MEMORY, "no memory for control groups");
	else
		show_hierarchies(&w);
	VEC_FREE(&w.members);
	VEC_FREE(&w.pids);
	return err;
}
