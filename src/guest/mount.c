#include "guest/mount.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "guest/internal.h"
#include "guest/task.h"
#include "guest/tree.h"

enum { NAMESPACES_MAX = 65536 };

struct mount_walk {
	struct guest *guest;
	guest_mount_fn *visit;
	void *user;
	struct field id, parent, flags, sb, device, sb_flags, sb_type, sb_dev, subtype, fs_name,
		mnt, node;
	uint32_t ns;
	bool ended;
	struct guest_mount mount; /* large: one for the whole walk */
};

static void add_option(char *options, size_t size, bool is_set, const char *name)
{
	size_t length = strlen(options);
	if (is_set)
		snprintf(options + length, size - length, ",%s", name);
}

static void format_options(struct mount_walk *w, uint64_t flags, uint64_t sb_flags)
{
	static const struct {
		uint64_t bit;
		const char *name;
	} mount_options[] = { { 1, "nosuid" },	     { 2, "nodev" },	   { 4, "noexec" },
			      { 8, "noatime" },	     { 16, "nodiratime" }, { 32, "relatime" },
			      { 128, "nosymfollow" } },
	  sb_options[] = { { 16, "sync" }, { 128, "dirsync" }, { 1 << 25, "lazytime" } };
	enum { MOUNT_READONLY = 64, SB_READONLY = 1 };
	char *options = w->mount.options;
	size_t size = sizeof(w->mount.options);
	bool readonly = (flags & MOUNT_READONLY) || (sb_flags & SB_READONLY);
	snprintf(options, size, "%s", readonly ? "ro" : "rw");
	for (size_t i = 0; i < sizeof(mount_options) / sizeof(mount_options[0]); i++)
		add_option(options, size, flags & mount_options[i].bit, mount_options[i].name);
	for (size_t i = 0; i < sizeof(sb_options) / sizeof(sb_options[0]); i++)
		add_option(options, size, sb_flags & sb_options[i].bit, sb_options[i].name);
}

static void read_fstype(struct mount_walk *w, uint64_t sb)
{
	struct guest *guest = w->guest;
	char name[32] = "", subtype[32] = "";
	uint64_t type = guest_load(guest, sb, w->sb_type);
	uint64_t text = type ? guest_load(guest, type, w->fs_name) : 0;
	if (text)
		guest_read_text(guest, text, name, sizeof(name));
	text = guest_load(guest, sb, w->subtype);
	if (text)
		guest_read_text(guest, text, subtype, sizeof(subtype));
	snprintf(w->mount.fstype, sizeof(w->mount.fstype), "%s%s%s", name, *subtype ? "." : "",
		 subtype);
}

static bool show_mount(struct mount_walk *w, uint64_t gva)
{
	struct guest *guest = w->guest;
	w->mount = (struct guest_mount){ .gva = gva, .ns = w->ns };
	w->mount.id = (int32_t)guest_load(guest, gva, w->id);
	uint64_t parent = guest_load(guest, gva, w->parent);
	w->mount.parent = (int32_t)guest_load(guest, parent, w->id);
	uint64_t device = guest_load(guest, gva, w->device);
	if (device)
		guest_read_text(guest, device, w->mount.device, sizeof(w->mount.device));
	uint64_t sb = guest_load(guest, gva + w->mnt.offset, w->sb);
	if (!guest_is_kernel_pointer(guest, sb)) {
		guest_add_note(guest, "the mount at 0x%llx has no filesystem",
			       (unsigned long long)gva);
		return true;
	}
	uint32_t dev = (uint32_t)guest_load(guest, sb, w->sb_dev);
	w->mount.major = dev >> 20;
	w->mount.minor = dev & 0xfffff;
	read_fstype(w, sb);
	format_options(w, guest_load(guest, gva + w->mnt.offset, w->flags),
		       guest_load(guest, sb, w->sb_flags));
	guest_mount_point(guest, gva, w->mount.mountpoint, sizeof(w->mount.mountpoint));
	w->ended = !w->visit(w->user, &w->mount);
	return !w->ended;
}

static bool show_node(void *user, uint64_t index, uint64_t node)
{
	struct mount_walk *w = user;
	return show_mount(w, node - w->node.offset);
}

/* A list until 6.7; a red-black tree since 6.8 (2eea9ce4310d). */
static void show_namespace(struct mount_walk *w, uint64_t ns)
{
	struct guest *guest = w->guest;
	struct field tree = guest_field(guest, "mnt_namespace.mounts");
	struct field list = guest_field(guest, "mnt_namespace.list");
	struct field link = guest_field(guest, "mount.mnt_list");
	w->ns = (uint32_t)guest_load(guest, ns,
				     guest_need_field(guest, "mnt_namespace.ns.inum"));
	/* In 5.10 "mounts" is a count, beside the list. */
	if (!list.found && tree.found && w->node.found) {
		guest_rbtree_each(guest, ns + tree.offset, show_node, w);
		return;
	}
	struct guest_list walk;
	uint64_t gva;
	if (!list.found || !link.found) {
		guest_add_note(guest, "this kernel's types tell nothing of mounts");
		return;
	}
	/* Cursors of readers of /proc/mounts hang in the list too: they have no filesystem. */
	guest_list_begin(&walk, guest, ns + list.offset, link, "mounts");
	while (guest_list_next(&walk, &gva) && show_mount(w, gva))
		;
}

struct addresses {
	uint64_t *items;
	size_t count, capacity;
};

static bool collect_namespaces(struct guest *guest, const struct guest_tasks *tasks,
			       struct addresses *ret)
{
	struct field nsproxy = guest_need_field(guest, "task_struct.nsproxy");
	struct field mnt_ns = guest_need_field(guest, "nsproxy.mnt_ns");
	for (size_t i = 0; i < tasks->count && ret->count < NAMESPACES_MAX; i++) {
		uint64_t proxy = guest_load(guest, tasks->items[i].gva, nsproxy);
		uint64_t ns = proxy ? guest_load(guest, proxy, mnt_ns) : 0;
		bool known = !ns;
		for (size_t n = 0; n < ret->count && !known && guest_step(guest); n++)
			known = ret->items[n] == ns;
		if (!known && !VEC_PUSH(ret, ns))
			return false;
	}
	return true;
}

static void find_fields(struct mount_walk *w)
{
	struct guest *guest = w->guest;
	w->id = guest_need_field(guest, "mount.mnt_id");
	w->parent = guest_need_field(guest, "mount.mnt_parent");
	w->device = guest_need_field(guest, "mount.mnt_devname");
	w->mnt = guest_need_field(guest, "mount.mnt");
	w->node = guest_field(guest, "mount.mnt_node");
	w->flags = guest_field(guest, "vfsmount.mnt_flags");
	w->sb = guest_need_field(guest, "vfsmount.mnt_sb");
	w->sb_flags = guest_field(guest, "super_block.s_flags");
	w->sb_type = guest_field(guest, "super_block.s_type");
	w->sb_dev = guest_field(guest, "super_block.s_dev");
	w->subtype = guest_field(guest, "super_block.s_subtype");
	w->fs_name = guest_field(guest, "file_system_type.name");
}

struct error *guest_mounts_each(struct guest *guest, guest_mount_fn *visit, void *user)
{
	AUTO(guest_tasks_deinit) struct guest_tasks tasks = { 0 };
	TRY(guest_tasks_read(guest, false, &tasks));
	struct addresses namespaces = { 0 };
	struct mount_walk w = { .guest = guest, .visit = visit, .user = user };
	find_fields(&w);
	bool good = collect_namespaces(guest, &tasks, &namespaces);
	for (size_t i = 0; i < namespaces.count && !w.ended; i++)
		show_namespace(&w, namespaces.items[i]);
	VEC_FREE(&namespaces);
	return good ? NULL : error_create(ERR_MEMORY, "no memory for namespaces");
}
