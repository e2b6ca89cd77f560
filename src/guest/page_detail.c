#include "guest/page_detail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "guest/field.h"
#include "guest/guest.h"
#include "guest/kernel_area.h"
#include "guest/page_struct.h"
#include "guest/space.h"
#include "guest/space_tables.h"
#include "guest/task.h"

enum { PATH_STEPS_MAX = 64 };

/* Puts "/name" in front of what text holds at its end; false when there is no room. */
static bool prepend(char *text, size_t *at, const char *name)
{
	size_t length = strlen(name);
	if (*at < length + 1)
		return false;
	*at -= length;
	memcpy(text + *at, name, length);
	text[--*at] = '/';
	return true;
}

/* Path inside the file system: from the dentry up to the root, which is its own parent. */
static void dentry_path(struct guest *guest, uint64_t dentry, char *ret, size_t size)
{
	struct field parent = guest_field(guest, "dentry.d_parent");
	struct field name = guest_field(guest, "dentry.d_name.name");
	char text[PAGE_OWNER_BYTES];
	size_t at = sizeof(text) - 1;
	text[at] = 0;
	for (int i = 0; i < PATH_STEPS_MAX && guest_is_kernel_pointer(guest, dentry); i++) {
		uint64_t up = guest_load(guest, dentry, parent);
		char part[256];
		if (up == dentry)
			break;
		guest_read_text(guest, guest_load(guest, dentry, name), part, sizeof(part));
		if (!prepend(text, &at, part))
			break;
		dentry = up;
	}
	snprintf(ret, size, "%s", text + at);
}

static void file_owner(struct guest *guest, const struct page_fields *page,
		       struct page_detail *detail)
{
	struct field alias = guest_field(guest, "dentry.d_u.d_alias|dentry.d_alias");
	uint64_t inode =
		guest_load(guest, page->mapping, guest_field(guest, "address_space.host"));
	if (!guest_is_kernel_pointer(guest, inode) || !alias.found)
		return;
	uint64_t super = guest_load(guest, inode, guest_field(guest, "inode.i_sb"));
	uint64_t type = guest_load(guest, super, guest_field(guest, "super_block.s_type"));
	uint64_t name = guest_load(guest, type, guest_field(guest, "file_system_type.name"));
	if (guest_is_kernel_pointer(guest, name))
		guest_read_text(guest, name, detail->filesystem, sizeof(detail->filesystem));
	uint64_t first = guest_load(guest, inode, guest_field(guest, "inode.i_dentry.first"));
	if (guest_is_kernel_pointer(guest, first))
		dentry_path(guest, first - alias.offset, detail->owner, sizeof(detail->owner));
	detail->file_offset = page->index * PHYS_PAGE_SIZE;
}

static void slab_owner(struct guest *guest, const struct page_fields *page,
		       struct page_detail *detail)
{
	uint64_t name =
		guest_load(guest, page->slab_cache, guest_field(guest, "kmem_cache.name"));
	if (guest_is_kernel_pointer(guest, page->slab_cache) &&
	    guest_is_kernel_pointer(guest, name))
		guest_read_text(guest, name, detail->owner, sizeof(detail->owner));
}

/* The frame whose structure speaks for this one. */
static uint64_t head_frame(const struct page_layout *layout, const struct page_fields *page,
			   uint64_t frame)
{
	if (!(page->compound_head & 1))
		return frame;
	uint64_t head = page_struct_frame(layout, page->compound_head & ~1ull);
	return head < frame ? head : frame;
}

static void program_owner(struct guest *guest, uint32_t pid, const char *prefix,
			  struct page_detail *detail)
{
	struct guest_task task;
	if (!pid)
		return;
	struct error *err = guest_task_find(guest, pid, &task);
	if (err) {
		error_destroy(err);
		snprintf(detail->owner, sizeof(detail->owner), "%s%u", prefix, pid);
		return;
	}
	snprintf(detail->owner, sizeof(detail->owner), "%s%s", prefix, task.comm);
}

static void table_owner(struct guest *guest, struct page_detail *detail)
{
	char prefix[64];
	snprintf(prefix, sizeof(prefix), "level %u of ", detail->level);
	snprintf(detail->owner, sizeof(detail->owner), "%skernel", prefix);
	program_owner(guest, detail->owner_pid, prefix, detail);
}

static void name_owner(struct guest *guest, const struct page_fields *head,
		       struct page_detail *detail)
{
	switch (detail->kind) {
	case PAGE_SLAB:
		slab_owner(guest, head, detail);
		break;
	case PAGE_CACHE:
	case PAGE_SHMEM:
		file_owner(guest, head, detail);
		break;
	case PAGE_TABLE:
		table_owner(guest, detail);
		break;
	case PAGE_KERNEL_TEXT:
	case PAGE_KERNEL_RODATA:
	case PAGE_KERNEL_DATA:
		if (detail->kernel_gva)
			guest_symbol_text(guest, detail->kernel_gva, detail->owner,
					  sizeof(detail->owner));
		break;
	default:
		program_owner(guest, detail->owner_pid, "", detail);
	}
}

/* Address of the frame in the kernel image, else in the direct mapping. Parts of the image that
 * were given back after boot are ordinary memory. */
static uint64_t kernel_address(struct guest *guest, enum page_kind kind, uint64_t gpa)
{
	struct guest_summary summary;
	struct guest_kernel_areas areas;
	guest_summary(guest, &summary);
	if (kind == PAGE_KERNEL_TEXT || kind == PAGE_KERNEL_RODATA || kind == PAGE_KERNEL_DATA)
		return summary.image_gva + (gpa - summary.image_gpa);
	guest_kernel_areas(guest, &areas);
	struct guest_mapping mapping;
	if (guest_space_walk(guest_kernel_space(guest), areas.direct_first + gpa, &mapping) !=
		    GUEST_WALK_OK ||
	    mapping.gpa != gpa)
		return 0;
	return areas.direct_first + gpa;
}

/* Reads the structure of the frame and of the head of its block. */
static void read_struct(struct guest *guest, const struct page_kinds *kinds, uint64_t frame,
			struct page_detail *detail, struct page_fields *head)
{
	struct page_layout layout = *page_kinds_layout(kinds);
	struct page_fields page;
	memset(head, 0, sizeof(*head));
	if (!page_struct_read(&layout, guest, frame, &page))
		return;
	uint64_t first = head_frame(&layout, &page, frame);
	detail->has_struct = true;
	detail->struct_gva = page_struct_gva(&layout, frame);
	detail->flags = page.flags;
	/* Kept one too low; the guest may have written anything there. */
	detail->mapcount = page_type_of(&layout, &page) == PAGE_TYPE_NONE
				   ? (int32_t)((uint32_t)page.mapcount + 1)
				   : 0;
	detail->head_gpa = first * PHYS_PAGE_SIZE;
	if (first == frame || !page_struct_read(&layout, guest, first, head))
		*head = page;
	detail->refcount = head->refcount;
	/* Inside a block the file offset counts on from its head. */
	head->index += frame - first;
}

static void fill_owner(struct guest *guest, const struct page_kinds *kinds, uint64_t frame,
		       struct page_detail *detail)
{
	struct page_table_of_kinds table = page_kinds_get(kinds);
	struct page_fields head;
	detail->gpa = detail->head_gpa = frame * PHYS_PAGE_SIZE;
	detail->kind = table.kind[frame];
	detail->owner_pid = table.owner[frame];
	detail->level = table.level[frame];
	detail->kernel_gva = kernel_address(guest, detail->kind, detail->gpa);
	read_struct(guest, kinds, frame, detail, &head);
	name_owner(guest, &head, detail);
}

struct mapper_search {
	struct page_detail *detail;
	const struct guest_task *task;
};

static bool compare_leaf(void *user, const struct space_leaf *leaf)
{
	struct mapper_search *search = user;
	struct page_detail *detail = search->detail;
	if (detail->gpa < leaf->gpa || detail->gpa - leaf->gpa >= leaf->page_bytes)
		return true;
	if (detail->n_mappers == PAGE_MAPPERS_MAX)
		return false;
	if (detail->n_mappers == detail->room) {
		size_t room = detail->room ? detail->room * 2 : 16;
		struct page_mapper *more = reallocarray(detail->mappers, room, sizeof(*more));
		if (!more)
			return false;
		detail->mappers = more;
		detail->room = room;
	}
	struct page_mapper *mapper = &detail->mappers[detail->n_mappers++];
	*mapper = (struct page_mapper){ .pid = search->task->pid,
					.gva = leaf->gva + (detail->gpa - leaf->gpa),
					.flags = leaf->flags,
					.page_bytes = leaf->page_bytes };
	snprintf(mapper->comm, sizeof(mapper->comm), "%s", search->task->comm);
	return true;
}

/* Every program's tables are walked for mappings of this frame. */
static void find_mappers(struct guest *guest, struct page_detail *detail)
{
	struct guest_tasks tasks = { 0 };
	uint64_t budget = 65536 + phys_mem_end(guest_memory(guest)) / PHYS_PAGE_SIZE / 4;
	struct error *err = guest_tasks_read(guest, false, &tasks);
	if (err) {
		guest_add_note(guest, "who maps the page is not known: %s", error_message(err));
		error_destroy(err);
		return;
	}
	for (size_t i = 0; i < tasks.count; i++) {
		struct guest_space space;
		struct mapper_search search = { detail, &tasks.items[i] };
		struct space_visitor visitor = { .leaf = compare_leaf,
						 .user = &search,
						 .budget = &budget };
		if (guest_task_space(guest, &tasks.items[i], &space))
			guest_space_visit(&space, 0,
					  guest_word_bytes(guest) == 8 ? INT64_MAX : 0xbfffffff,
					  &visitor);
	}
	guest_tasks_deinit(&tasks);
}

struct error *page_detail_read(struct guest *guest, const struct page_kinds *kinds,
			       uint64_t gpa, struct page_detail *ret)
{
	struct page_table_of_kinds table = page_kinds_get(kinds);
	uint64_t frame = gpa / PHYS_PAGE_SIZE;
	memset(ret, 0, sizeof(*ret));
	if (frame >= table.n_frames || table.kind[frame] == PAGE_NOT_RAM)
		return error_hint(error_create(ERR_FAULT, "there is no RAM at %#llx",
					       (unsigned long long)gpa),
				  "RAM ends at %#llx",
				  (unsigned long long)table.n_frames * PHYS_PAGE_SIZE);
	fill_owner(guest, kinds, frame, ret);
	find_mappers(guest, ret);
	return NULL;
}

void page_detail_deinit(struct page_detail *detail)
{
	free(detail->mappers);
	detail->mappers = NULL;
}

size_t page_detail_flags(const struct page_kinds *kinds, const struct page_detail *detail,
			 const char **names, size_t max)
{
	const struct page_layout *layout = page_kinds_layout(kinds);
	size_t n = 0;
	for (int bit = 0; bit < 64 && detail->has_struct; bit++)
		for (int flag = 0; flag < PAGE_N_FLAGS && n < max; flag++)
			if (layout->flag_bit[flag] == bit && (detail->flags >> bit & 1)) {
				names[n++] = page_flag_name(flag);
				break;
			}
	return n;
}

void page_owner_text(struct guest *guest, const struct page_kinds *kinds, uint64_t frame,
		     char *text, size_t size)
{
	struct page_detail detail = { 0 };
	fill_owner(guest, kinds, frame, &detail);
	snprintf(text, size, "%s", detail.owner);
}
