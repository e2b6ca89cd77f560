#include "guest/page_cache.h"

#include <string.h>

#include "guest/internal.h"

struct cache_walk {
	struct guest *guest;
	guest_cached_fn *visit;
	void *user;
	struct field sb_link, sb_type, fs_name, inodes, link, mapping, pages, ino, size,
		aliases, alias;
	struct guest_cached_file file; /* large: one for the whole walk */
	bool ended;
};

static void show_inode(struct cache_walk *w, uint64_t inode)
{
	struct guest *guest = w->guest;
	struct guest_cached_file *f = &w->file;
	f->pages = guest_load(guest, inode + w->mapping.offset, w->pages);
	if (!f->pages)
		return;
	f->inode_gva = inode;
	f->inode = guest_load(guest, inode, w->ino);
	f->size_bytes = guest_load(guest, inode, w->size);
	*f->path = 0;
	/* The first dentry that names it. */
	uint64_t alias = guest_load(guest, inode, w->aliases);
	if (alias && w->alias.found)
		guest_dentry_path(guest, alias - w->alias.offset, f->path, sizeof(f->path));
	w->ended = !w->visit(w->user, f);
}

static void show_filesystem(struct cache_walk *w, uint64_t sb)
{
	struct guest *guest = w->guest;
	struct guest_list list;
	uint64_t inode, type = guest_load(guest, sb, w->sb_type);
	uint64_t name = type ? guest_load(guest, type, w->fs_name) : 0;
	*w->file.fstype = 0;
	if (name)
		guest_read_text(guest, name, w->file.fstype, sizeof(w->file.fstype));
	guest_list_begin(&list, guest, sb + w->inodes.offset, w->link, "inodes");
	while (!w->ended && guest_list_next(&list, &inode))
		show_inode(w, inode);
}

void guest_page_cache_each(struct guest *guest, guest_cached_fn *visit, void *user)
{
	struct cache_walk w = {
		.guest = guest,
		.visit = visit,
		.user = user,
		.sb_link = guest_need_field(guest, "super_block.s_list"),
		.sb_type = guest_field(guest, "super_block.s_type"),
		.fs_name = guest_field(guest, "file_system_type.name"),
		.inodes = guest_need_field(guest, "super_block.s_inodes"),
		.link = guest_need_field(guest, "inode.i_sb_list"),
		.mapping = guest_need_field(guest, "inode.i_data"),
		.pages = guest_need_field(guest, "address_space.nrpages"),
		.ino = guest_field(guest, "inode.i_ino"),
		.size = guest_field(guest, "inode.i_size"),
		.aliases = guest_field(guest, "inode.i_dentry.first"),
		.alias = guest_field(guest, "dentry.d_u.d_alias|dentry.d_alias"),
	};
	struct guest_list list;
	uint64_t head, sb;
	if (!guest_symbol(guest, "super_blocks", &head) || !w.inodes.found || !w.link.found ||
	    !w.pages.found) {
		guest_add_note(guest, "where this kernel lists its filesystems is not known");
		return;
	}
	guest_list_begin(&list, guest, head, w.sb_link, "filesystems");
	while (!w.ended && guest_list_next(&list, &sb))
		show_filesystem(&w, sb);
}
