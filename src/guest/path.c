#include "guest/path.h"

#include <stdio.h>
#include <string.h>

#include "guest/internal.h"

enum { NAME_BYTES = 256, STEPS_MAX = 1024 };

struct path_fields {
	struct field parent, name, name_length, inode, ops, hash, dname, sb;
	struct field mnt_root, mnt, mnt_parent, mnt_mountpoint, ino, mode;
};

static struct path_fields path_fields(struct guest *guest)
{
	return (struct path_fields){
		.parent = guest_need_field(guest, "dentry.d_parent"),
		.name = guest_need_field(guest, "dentry.d_name.name"),
		.name_length = guest_need_field(guest, "dentry.d_name.len"),
		.inode = guest_field(guest, "dentry.d_inode"),
		.ops = guest_field(guest, "dentry.d_op"),
		.hash = guest_field(guest, "dentry.d_hash.pprev"),
		.dname = guest_field(guest, "dentry_operations.d_dname"),
		.mnt_root = guest_need_field(guest, "vfsmount.mnt_root"),
		.mnt = guest_need_field(guest, "mount.mnt"),
		.mnt_parent = guest_need_field(guest, "mount.mnt_parent"),
		.mnt_mountpoint = guest_need_field(guest, "mount.mnt_mountpoint"),
		.ino = guest_field(guest, "inode.i_ino"),
		.mode = guest_field(guest, "inode.i_mode"),
	};
}

/* A path is built from its end: text[at..] is what there is so far. */
struct builder {
	char text[GUEST_PATH_BYTES];
	size_t at;
};

static bool prepend(struct builder *b, const char *part, size_t length)
{
	if (length + 1 > b->at)
		return false;
	b->at -= length;
	memcpy(b->text + b->at, part, length);
	b->text[--b->at] = '/';
	return true;
}

static size_t read_name(struct guest *guest, const struct path_fields *f, uint64_t dentry,
			char name[NAME_BYTES])
{
	uint64_t gva = guest_load(guest, dentry, f->name);
	uint64_t length = guest_load(guest, dentry, f->name_length);
	if (!gva || length >= NAME_BYTES)
		length = NAME_BYTES - 1;
	if (!gva || !guest_read(guest, gva, name, (size_t)length))
		return 0;
	name[length] = 0;
	return strlen(name);
}

/* Climbs from dentry to the root of the namespace. False when the way does not end. */
static bool climb(struct guest *guest, const struct path_fields *f, uint64_t mount,
		  uint64_t dentry, struct builder *b)
{
	char name[NAME_BYTES];
	for (int step = 0; step < STEPS_MAX && guest_step(guest); step++) {
		uint64_t root = guest_load(guest, mount + f->mnt.offset, f->mnt_root);
		uint64_t parent = guest_load(guest, dentry, f->parent);
		if (dentry == root || dentry == parent) {
			uint64_t above = guest_load(guest, mount, f->mnt_parent);
			if (!above || above == mount)
				return true;
			dentry = guest_load(guest, mount, f->mnt_mountpoint);
			mount = above;
			continue;
		}
		size_t length = read_name(guest, f, dentry, name);
		if (!length || !prepend(b, name, length))
			return false;
		dentry = parent;
	}
	return false;
}

/* How a pseudo filesystem composes names: prefix, then the dentry's name, [inode] or both. */
static const struct pseudo {
	const char *function, *prefix;
	bool with_name, with_ino;
	const char *suffix;
} pseudos[] = {
	{ "pipefs_dname", "pipe:", false, true, "" },
	{ "sockfs_dname", "socket:", false, true, "" },
	{ "anon_inodefs_dname", "anon_inode:", true, false, "" },
	{ "simple_dname", "/", true, false, " (deleted)" },
	{ "dmabuffs_dname", "/dmabuf:", true, false, "" },
};

static const struct pseudo *find_pseudo(struct guest *guest, uint64_t function)
{
	uint64_t address;
	for (size_t i = 0; i < sizeof(pseudos) / sizeof(pseudos[0]); i++)
		if (guest_symbol(guest, pseudos[i].function, &address) && address == function)
			return &pseudos[i];
	return NULL;
}

/* Without symbols the functions have no names; what a pipe and a socket are called is known. */
static const char *pseudo_word(struct guest *guest, const struct path_fields *f, uint64_t inode,
			       const char *name)
{
	enum { MODE_TYPE = 0170000, MODE_PIPE = 0010000, MODE_SOCKET = 0140000 };
	uint64_t type = inode ? guest_load(guest, inode, f->mode) & MODE_TYPE : 0;
	return type == MODE_PIPE ? "pipe" : type == MODE_SOCKET ? "socket" : name;
}

/* What pseudo filesystems call their files; false when dentry is none of theirs. */
static bool pseudo_name(struct guest *guest, const struct path_fields *f, uint64_t dentry,
			char *text, size_t size)
{
	uint64_t ops = guest_load(guest, dentry, f->ops);
	uint64_t function = ops ? guest_load(guest, ops, f->dname) : 0;
	if (!function)
		return false;
	char name[NAME_BYTES] = "", ino_text[32] = "";
	read_name(guest, f, dentry, name);
	uint64_t inode = guest_load(guest, dentry, f->inode);
	snprintf(ino_text, sizeof(ino_text), "[%llu]",
		 (unsigned long long)(inode ? guest_load(guest, inode, f->ino) : 0));
	const struct pseudo *p = find_pseudo(guest, function);
	if (!p)
		snprintf(text, size, "%s:%s", pseudo_word(guest, f, inode, name), ino_text);
	else
		snprintf(text, size, "%s%s%s%s", p->prefix, p->with_name ? name : "",
			 p->with_ino ? ino_text : "", p->suffix);
	return true;
}

void guest_path_text(struct guest *guest, uint64_t vfsmount, uint64_t dentry, char *text,
		     size_t size)
{
	struct path_fields f = path_fields(guest);
	struct builder b = { .at = GUEST_PATH_BYTES - 1 };
	uint64_t root = guest_load(guest, vfsmount, f.mnt_root);
	uint64_t parent = guest_load(guest, dentry, f.parent);
	if ((dentry != root || parent != dentry) && pseudo_name(guest, &f, dentry, text, size))
		return;
	if (!climb(guest, &f, vfsmount - f.mnt.offset, dentry, &b))
		guest_add_note(guest, "a path is incomplete");
	const char *path = b.at < GUEST_PATH_BYTES - 1 ? b.text + b.at : "/";
	bool deleted = parent != dentry && f.hash.found && !guest_load(guest, dentry, f.hash);
	snprintf(text, size, "%s%s", path, deleted ? " (deleted)" : "");
}

void guest_file_path(struct guest *guest, uint64_t file, char *text, size_t size)
{
	uint64_t mnt = guest_load(guest, file, guest_need_field(guest, "file.f_path.mnt"));
	uint64_t dentry =
		guest_load(guest, file, guest_need_field(guest, "file.f_path.dentry"));
	*text = 0;
	if (mnt && dentry)
		guest_path_text(guest, mnt, dentry, text, size);
}

void guest_mount_point(struct guest *guest, uint64_t mount, char *text, size_t size)
{
	struct path_fields f = path_fields(guest);
	struct builder b = { .at = GUEST_PATH_BYTES - 1 };
	uint64_t root = guest_load(guest, mount + f.mnt.offset, f.mnt_root);
	climb(guest, &f, mount, root, &b);
	snprintf(text, size, "%s", b.at < GUEST_PATH_BYTES - 1 ? b.text + b.at : "/");
}

void guest_dentry_path(struct guest *guest, uint64_t dentry, char *text, size_t size)
{
	struct path_fields f = path_fields(guest);
	struct builder b = { .at = GUEST_PATH_BYTES - 1 };
	char name[NAME_BYTES];
	for (int step = 0; step < STEPS_MAX && guest_step(guest); step++) {
		uint64_t parent = guest_load(guest, dentry, f.parent);
		size_t length = 0;
		if (!parent || parent == dentry ||
		    !(length = read_name(guest, &f, dentry, name)) ||
		    !prepend(&b, name, length))
			break;
		dentry = parent;
	}
	snprintf(text, size, "%s", b.at < GUEST_PATH_BYTES - 1 ? b.text + b.at : "/");
}
