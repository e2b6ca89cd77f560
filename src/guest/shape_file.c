/* Paths, open files and mounts. It starts from the root directory of process 1, which is two
 * words in its fs_struct that prove each other:
 *
 *   path   { mnt, dentry }
 *   mnt -> vfsmount { root = dentry, sb, flags },  inside a mount behind four words
 *   dentry { .., hash.pprev, parent = itself, { hash, length = 1, name -> "/" }, inode, iname }
 *
 * From there: a file's path is two words whose superblocks are the same; its inode is that of
 * its dentry. A mount's device is a text, followed by the list of its namespace; its number is
 * small and its own.
 */
#include <ctype.h>
#include <string.h>

#include "guest/inferred.h"
#include "guest/internal.h"
#include "guest/shape.h"

enum {
	FS_BYTES = 96,
	DENTRY_BYTES = 192,
	FILE_BYTES = 256,
	INODE_BYTES = 192,
	SUPER_BYTES = 128,
	MOUNT_BYTES = 400,
	NS_BYTES = 512,
	NS_NUMBER_REACH = 640, /* a namespace of names keeps its number behind six of them */
	FILES_MAX = 48,
	MOUNTS_MAX = 32,
	DESCRIPTORS_FIRST = 16, /* of each process, for the sample */
	NUMBER_MAX = 1 << 24, /* of a mount */
	DNAME_INDEX = 9, /* of d_dname in dentry_operations since 3.14 */
};

struct paths {
	const struct shape *s;
	uint64_t root_dentry, root_mnt, super;
	uint32_t parent, inode, d_super; /* offsets in a dentry */
	uint64_t files[FILES_MAX], mounts[MOUNTS_MAX];
	size_t n_files, n_mounts;
	uint32_t path; /* f_path in file */
};

static uint64_t field_of(const struct shape *s, const char *path, uint64_t gva)
{
	struct field field;
	return inferred_find(s->guest, path, strlen(path), &field)
		       ? shape_word(s, gva + field.offset)
		       : 0;
}

static bool is_text(const struct shape *s, uint64_t gva, size_t least, char *text, size_t size)
{
	size_t length = guest_space_read_some(&s->guest->kernel, gva, text, size - 1);
	text[length] = 0;
	length = strlen(text);
	for (size_t i = 0; i < length; i++)
		if (!isgraph((unsigned char)text[i]))
			return false;
	return length >= least && length < size - 1;
}

/* --- dentries ------------------------------------------------------------------------------
 */

static bool root_here(struct paths *p, uint64_t mnt, uint64_t dentry)
{
	const struct shape *s = p->s;
	char name[2] = "";
	if (!shape_is_pointer(s, mnt) || shape_word(s, mnt) != dentry)
		return false;
	for (uint32_t at = s->word; at < DENTRY_BYTES; at += s->word) {
		if (shape_word(s, dentry + at) != dentry ||
		    shape_u32(s, dentry + at + s->word + 4) != 1 ||
		    !shape_read(s, shape_word(s, dentry + at + s->word + 8), name, 2) ||
		    memcmp(name, "/", 2))
			continue;
		p->parent = at;
		p->inode = at + 2 * s->word + 8;
		p->root_dentry = dentry;
		p->root_mnt = mnt;
		p->super = shape_word(s, mnt + s->word);
		return true;
	}
	return false;
}

static bool find_root(struct paths *p)
{
	const struct shape *s = p->s;
	const uint64_t tasks[] = { s->init, s->first };
	for (size_t i = 0; i < 2; i++) {
		uint64_t fs = field_of(s, "task_struct.fs", tasks[i]);
		for (uint32_t at = 0; fs && at < FS_BYTES; at += s->word)
			if (root_here(p, shape_word(s, fs + at),
				      shape_word(s, fs + at + s->word)))
				return true;
	}
	return false;
}

static void infer_dentry(struct paths *p)
{
	const struct shape *s = p->s;
	struct guest *guest = s->guest;
	inferred_add(guest, "dentry.d_hash.pprev", p->parent - s->word, s->word);
	inferred_add(guest, "dentry.d_parent", p->parent, s->word);
	inferred_add(guest, "dentry.d_name.len", p->parent + s->word + 4, 4);
	inferred_add(guest, "dentry.d_name.name", p->parent + s->word + 8, s->word);
	inferred_add(guest, "dentry.d_inode", p->inode, s->word);
	inferred_add(guest, "vfsmount.mnt_root", 0, s->word);
	inferred_add(guest, "vfsmount.mnt_sb", s->word, s->word);
	inferred_add(guest, "vfsmount.mnt_flags", 2 * s->word, 4);
	inferred_add(guest, "mount.mnt", 4 * s->word, 3 * s->word);
	inferred_add(guest, "mount.mnt_parent", 2 * s->word, s->word);
	inferred_add(guest, "mount.mnt_mountpoint", 3 * s->word, s->word);
	for (uint32_t at = p->inode + s->word; at < DENTRY_BYTES; at += s->word) {
		if (shape_word(s, p->root_dentry + at) != p->super)
			continue;
		p->d_super = at;
		inferred_add(guest, "dentry.d_op", at - s->word, s->word);
		inferred_add(guest, "dentry_operations.d_dname", DNAME_INDEX * s->word,
			     s->word);
		return;
	}
}

/* --- open files ----------------------------------------------------------------------------
 */

/* The first task's table is the one inside its files_struct, with one word of descriptors. */
static bool infer_table(const struct shape *s, uint32_t *table_ret)
{
	uint64_t files = field_of(s, "task_struct.files", s->first);
	for (uint32_t at = 0; files && at < 256; at += s->word) {
		uint64_t table = shape_word(s, files + at);
		if (table <= files || table >= files + 512 ||
		    shape_u32(s, table) != s->word * 8)
			continue;
		uint64_t array = shape_word(s, table + s->word);
		if (array <= table || array >= files + 1024)
			continue;
		inferred_add(s->guest, "files_struct.fdt", at, s->word);
		inferred_add(s->guest, "fdtable.max_fds", 0, 4);
		inferred_add(s->guest, "fdtable.fd", s->word, s->word);
		*table_ret = at;
		return true;
	}
	return false;
}

static void collect_files(struct paths *p, const struct shape_sample *sample, uint32_t table_at)
{
	const struct shape *s = p->s;
	for (size_t i = 0; i < sample->count; i++) {
		const struct shape_task *task = &sample->tasks[i];
		uint64_t files = task->mm ? field_of(s, "task_struct.files", task->gva) : 0;
		uint64_t table = files ? shape_word(s, files + table_at) : 0;
		uint64_t array = table ? shape_word(s, table + s->word) : 0;
		for (unsigned fd = 0; array && fd < DESCRIPTORS_FIRST; fd++) {
			uint64_t file = shape_word(s, array + fd * s->word);
			if (file && p->n_files < FILES_MAX && shape_is_pointer(s, file))
				p->files[p->n_files++] = file;
		}
	}
}

static bool path_here(const struct paths *p, uint64_t gva)
{
	const struct shape *s = p->s;
	uint64_t mnt = shape_word(s, gva), dentry = shape_word(s, gva + s->word);
	uint64_t super = shape_is_pointer(s, mnt) ? shape_word(s, mnt + s->word) : 0;
	return shape_is_pointer(s, super) && shape_is_pointer(s, dentry) &&
	       shape_word(s, dentry + p->d_super) == super;
}

static uint64_t inode_of(const struct paths *p, uint64_t file)
{
	return shape_word(p->s, shape_word(p->s, file + p->path + p->s->word) + p->inode);
}

/* The first offset at which a rule holds for all files of the sample. */
typedef bool file_rule(const struct paths *p, uint64_t file, uint32_t at);

static uint32_t find_in_files(const struct paths *p, file_rule *rule)
{
	for (uint32_t at = 0; at < FILE_BYTES && p->n_files; at += p->s->word) {
		size_t good = 0;
		while (good < p->n_files && rule(p, p->files[good], at))
			good++;
		if (good == p->n_files)
			return at;
	}
	return UINT32_MAX;
}

static bool rule_path(const struct paths *p, uint64_t file, uint32_t at)
{
	return path_here(p, file + at);
}

static bool rule_inode(const struct paths *p, uint64_t file, uint32_t at)
{
	return shape_word(p->s, file + at) == inode_of(p, file);
}

/* i_sb, i_mapping -> inside the inode, [i_security], i_ino */
static void infer_inode(const struct paths *p)
{
	const struct shape *s = p->s;
	uint64_t inode = shape_word(s, p->root_dentry + p->inode);
	inferred_add(s->guest, "inode.i_mode", 0, 2);
	for (uint32_t at = 0; at < INODE_BYTES; at += s->word) {
		uint64_t mapping = shape_word(s, inode + at + s->word);
		if (shape_word(s, inode + at) != p->super || mapping <= inode ||
		    mapping >= inode + 2048)
			continue;
		uint64_t next = shape_word(s, inode + at + 2 * s->word);
		uint32_t number =
			at +
			(next && !guest_is_kernel_pointer(s->guest, next) ? 2 : 3) * s->word;
		inferred_add(s->guest, "inode.i_sb", at, s->word);
		inferred_add(s->guest, "inode.i_mapping", at + s->word, s->word);
		inferred_add(s->guest, "inode.i_ino", number, s->word);
		return;
	}
}

static void infer_file(struct paths *p)
{
	const struct shape *s = p->s;
	uint32_t at = find_in_files(p, rule_path);
	if (at == UINT32_MAX)
		return;
	p->path = at;
	inferred_add(s->guest, "file.f_path.mnt", at, s->word);
	inferred_add(s->guest, "file.f_path.dentry", at + s->word, s->word);
	at = find_in_files(p, rule_inode);
	if (at == UINT32_MAX)
		return;
	inferred_add(s->guest, "file.f_inode", at, s->word);
	infer_inode(p);
}

/* --- mounts --------------------------------------------------------------------------------
 */

static bool mount_here(const struct paths *p, uint64_t mount)
{
	const struct shape *s = p->s;
	uint64_t root = shape_word(s, mount + 4 * s->word);
	return shape_is_pointer(s, root) &&
	       shape_word(s, root + p->d_super) == shape_word(s, mount + 5 * s->word) &&
	       shape_is_pointer(s, shape_word(s, mount + 2 * s->word));
}

/* Goes along the list that runs through the mounts at this offset; the one element that is no
 * mount is the head. */
static bool collect_mounts(struct paths *p, uint32_t list_at, uint64_t *head_ret)
{
	const struct shape *s = p->s;
	uint64_t first = p->root_mnt - 4 * s->word, mount = first;
	*head_ret = 0;
	p->n_mounts = 0;
	do {
		uint64_t link = shape_word(s, mount + list_at);
		p->mounts[p->n_mounts++] = mount;
		if (shape_word(s, link + s->word) != mount + list_at)
			return false;
		mount = link - list_at;
		if (mount_here(p, mount))
			continue;
		if (*head_ret)
			return false;
		*head_ret = link;
		mount = shape_word(s, link) - list_at;
	} while (mount != first && p->n_mounts < MOUNTS_MAX && mount_here(p, mount));
	return mount == first && *head_ret && p->n_mounts > 1;
}

static bool device_here(const struct paths *p, uint64_t mount, uint32_t at)
{
	char text[256];
	uint64_t device = shape_word(p->s, mount + at);
	return guest_is_kernel_pointer(p->s->guest, device) &&
	       is_text(p->s, device, 1, text, sizeof(text));
}

/* The largest of the numbers at this offset of all mounts; 0 when they cannot be what they
 * must: positive, and of each its own. */
static uint32_t numbers_here(const struct paths *p, uint32_t at)
{
	uint32_t seen[MOUNTS_MAX], largest = 0;
	for (size_t i = 0; i < p->n_mounts; i++) {
		seen[i] = shape_u32(p->s, p->mounts[i] + at);
		if (!seen[i] || seen[i] >= NUMBER_MAX)
			return 0;
		for (size_t k = 0; k < i; k++)
			if (seen[k] == seen[i])
				return 0;
		largest = seen[i] > largest ? seen[i] : largest;
	}
	return largest;
}

/* Numbers are given out densely: of what fits, the smallest. */
static void infer_numbers(const struct paths *p)
{
	uint32_t best = UINT32_MAX, best_at = 0;
	for (uint32_t at = 8 * p->s->word; at < MOUNT_BYTES; at += 4) {
		uint32_t largest = numbers_here(p, at);
		if (!largest || largest >= best)
			continue;
		best = largest;
		best_at = at;
	}
	if (best_at)
		inferred_add(p->s->guest, "mount.mnt_id", best_at, 4);
}

static bool type_here(const struct paths *p, uint32_t at)
{
	const struct shape *s = p->s;
	for (size_t i = 0; i < p->n_mounts; i++) {
		char text[32];
		uint64_t super = shape_word(s, p->mounts[i] + 5 * s->word);
		uint64_t type = shape_word(s, super + at);
		uint64_t name = shape_is_pointer(s, type) ? shape_word(s, type) : 0;
		if (!name || !is_text(s, name, 2, text, sizeof(text)) ||
		    !islower((unsigned char)*text))
			return false;
	}
	return true;
}

static void infer_super(const struct paths *p)
{
	const struct shape *s = p->s;
	inferred_add(s->guest, "super_block.s_list", 0, 2 * s->word);
	inferred_add(s->guest, "super_block.s_dev", 2 * s->word, 4);
	for (uint32_t at = 3 * s->word; at < SUPER_BYTES; at += s->word) {
		if (!type_here(p, at))
			continue;
		inferred_add(s->guest, "super_block.s_type", at, s->word);
		inferred_add(s->guest, "file_system_type.name", 0, s->word);
		return;
	}
}

static uint64_t namespace_of(const struct paths *p, unsigned index)
{
	uint64_t proxy = field_of(p->s, "task_struct.nsproxy", p->s->init);
	return proxy ? shape_word(p->s, proxy + index * p->s->word) : 0;
}

/* Numbers of namespaces are made to be recognised: 0xf0000000 and up, the first ones below. */
static void infer_number(const struct paths *p, unsigned index, const char *pointer,
			 const char *path)
{
	const struct shape *s = p->s;
	uint64_t ns = namespace_of(p, index);
	if (!shape_is_pointer(s, ns))
		return;
	inferred_add(s->guest, pointer, index * s->word, s->word);
	for (uint32_t at = 0; at < NS_NUMBER_REACH; at += 4) {
		uint32_t number = shape_u32(s, ns + at);
		if (number >> 20 != 0xf00 && number >> 4 != 0xeffffff)
			continue;
		inferred_add(s->guest, path, at, 4);
		return;
	}
}

/* struct nsproxy { count, uts, ipc, mnt, pid, net, .. } */
static void infer_proxy(const struct paths *p)
{
	infer_number(p, 1, "nsproxy.uts_ns", "uts_namespace.ns.inum");
	infer_number(p, 2, "nsproxy.ipc_ns", "ipc_namespace.ns.inum");
	infer_number(p, 3, "nsproxy.mnt_ns", "mnt_namespace.ns.inum");
	infer_number(p, 4, "nsproxy.pid_ns_for_children", "pid_namespace.ns.inum");
	infer_number(p, 5, "nsproxy.net_ns", "net.ns.inum");
}

/* Until 6.7: a list whose head lies in the namespace. */
static bool infer_mount_list(struct paths *p, uint32_t device_at)
{
	const struct shape *s = p->s;
	uint64_t head, ns = namespace_of(p, 3);
	uint32_t at = device_at + s->word;
	if (!collect_mounts(p, at, &head) || head <= ns || head >= ns + NS_BYTES)
		return false;
	inferred_add(s->guest, "mount.mnt_list", at, 2 * s->word);
	inferred_add(s->guest, "mnt_namespace.list", head - ns, 2 * s->word);
	return true;
}

/* rb_node { parent and colour, right, left } */
static void collect_tree(struct paths *p, uint64_t node, uint32_t node_at, unsigned depth)
{
	const struct shape *s = p->s;
	if (!node || depth > MOUNTS_MAX || p->n_mounts == MOUNTS_MAX ||
	    !mount_here(p, node - node_at))
		return;
	p->mounts[p->n_mounts++] = node - node_at;
	collect_tree(p, shape_word(s, node + s->word), node_at, depth + 1);
	collect_tree(p, shape_word(s, node + 2 * s->word), node_at, depth + 1);
}

static bool is_tree_root(const struct shape *s, uint64_t node)
{
	uint64_t right = shape_word(s, node + s->word),
		 left = shape_word(s, node + 2 * s->word);
	uint64_t child = right ? right : left;
	return !(shape_word(s, node) & ~3ull) && child && shape_is_pointer(s, child) &&
	       (shape_word(s, child) & ~3ull) == node;
}

/* Since 6.8: a tree whose root lies in the namespace. */
static bool infer_mount_tree(struct paths *p)
{
	const struct shape *s = p->s;
	uint64_t ns = namespace_of(p, 3);
	for (uint32_t at = 0; ns && at < NS_BYTES; at += s->word) {
		uint64_t root = shape_word(s, ns + at);
		if (!shape_is_pointer(s, root) || !is_tree_root(s, root))
			continue;
		for (uint32_t node_at = 0; node_at < MOUNT_BYTES; node_at += s->word) {
			p->n_mounts = 0;
			collect_tree(p, root, node_at, 0);
			if (p->n_mounts < 2)
				continue;
			inferred_add(s->guest, "mnt_namespace.mounts", at, s->word);
			inferred_add(s->guest, "mount.mnt_node", node_at, 3 * s->word);
			inferred_add(s->guest, "rb_root.rb_node", 0, s->word);
			inferred_add(s->guest, "rb_node.rb_right", s->word, s->word);
			inferred_add(s->guest, "rb_node.rb_left", 2 * s->word, s->word);
			return true;
		}
	}
	return false;
}

static bool devices_here(const struct paths *p, uint32_t at)
{
	size_t good = 0;
	while (good < p->n_mounts && device_here(p, p->mounts[good], at))
		good++;
	return p->n_mounts && good == p->n_mounts;
}

static void infer_mounts(struct paths *p)
{
	const struct shape *s = p->s;
	uint64_t root = p->root_mnt - 4 * s->word;
	bool found = false;
	uint32_t at;
	/* The list proves more than the tree, so it comes first. */
	for (at = 8 * s->word; at < MOUNT_BYTES && !found; at += s->word)
		found = device_here(p, root, at) && infer_mount_list(p, at);
	if (!found && infer_mount_tree(p))
		for (at = 8 * s->word; at < MOUNT_BYTES && !found; at += s->word)
			found = devices_here(p, at);
	if (!found)
		return;
	inferred_add(s->guest, "mount.mnt_devname", at - s->word, s->word);
	infer_super(p);
	infer_numbers(p);
}

void shape_infer_files(const struct shape *s, const struct shape_sample *sample)
{
	struct paths p = { .s = s };
	uint32_t table_at;
	if (!find_root(&p))
		return;
	infer_dentry(&p);
	if (infer_table(s, &table_at) && p.d_super) {
		collect_files(&p, sample, table_at);
		infer_file(&p);
	}
	infer_proxy(&p);
	if (p.d_super)
		infer_mounts(&p);
}
