#include "guest/vma.h"

#include <stdio.h>
#include <string.h>

#include "guest/internal.h"
#include "guest/task.h"
#include "guest/tree.h"

enum {
	VM_READ = 1,
	VM_WRITE = 2,
	VM_EXEC = 4,
	VM_MAYSHARE = 0x80,
	AREAS_MAX = 1 << 20,
};

struct vma_walk {
	struct guest *guest;
	guest_vma_fn *visit;
	void *user;
	struct field start, end, flags, pgoff, file, ops, private_data, next, anon_name;
	uint64_t start_brk, brk, start_stack, special_ops, special_ops_old;
	struct guest_vma vma; /* large: one for the whole walk */
};

static void set_kind(struct vma_walk *w, const char *kind, const char *path)
{
	w->vma.kind = kind;
	snprintf(w->vma.path, sizeof(w->vma.path), "%s", path);
}

/* Areas that the kernel installs itself carry their name in what they are made from. */
static bool name_special(struct vma_walk *w, uint64_t vma)
{
	uint64_t ops = guest_load(w->guest, vma, w->ops);
	if (!ops || (ops != w->special_ops && ops != w->special_ops_old))
		return false;
	uint64_t mapping = guest_load(w->guest, vma, w->private_data);
	struct field name = guest_field(w->guest, "vm_special_mapping.name");
	uint64_t text = mapping ? guest_load(w->guest, mapping, name) : 0;
	if (text)
		guest_read_text(w->guest, text, w->vma.path, sizeof(w->vma.path));
	w->vma.kind = strstr(w->vma.path, "vdso") ? "vdso" : "vvar";
	return true;
}

static void name_anonymous(struct vma_walk *w, uint64_t vma)
{
	const struct guest_vma *v = &w->vma;
	uint64_t name = guest_load(w->guest, vma, w->anon_name);
	if (v->start <= w->brk && v->end >= w->start_brk && w->start_brk) {
		set_kind(w, "heap", "[heap]");
	} else if (v->start <= w->start_stack && v->end >= w->start_stack) {
		set_kind(w, "stack", "[stack]");
	} else if (name) {
		char text[256];
		struct field field = guest_field(w->guest, "anon_vma_name.name");
		guest_read_text(w->guest, name + field.offset, text, sizeof(text));
		char path[300];
		snprintf(path, sizeof(path), "[anon:%s]", text);
		set_kind(w, "anonymous", path);
	} else {
		set_kind(w, "anonymous", "");
	}
}

static bool show_vma(struct vma_walk *w, uint64_t gva)
{
	struct guest *guest = w->guest;
	struct guest_vma *v = &w->vma;
	uint64_t flags = guest_load(guest, gva, w->flags);
	v->gva = gva;
	v->start = guest_load(guest, gva, w->start);
	v->end = guest_load(guest, gva, w->end);
	v->file = guest_load(guest, gva, w->file);
	v->offset = v->file ? guest_load(guest, gva, w->pgoff) << 12 : 0;
	snprintf(v->perms, sizeof(v->perms), "%c%c%c%c", flags & VM_READ ? 'r' : '-',
		 flags & VM_WRITE ? 'w' : '-', flags & VM_EXEC ? 'x' : '-',
		 flags & VM_MAYSHARE ? 's' : 'p');
	*v->path = 0;
	if (v->file) {
		v->kind = "file";
		guest_file_path(guest, v->file, v->path, sizeof(v->path));
	} else if (!name_special(w, gva)) {
		name_anonymous(w, gva);
	}
	if (v->end <= v->start) {
		guest_add_note(guest, "the memory area at 0x%llx makes no sense",
			       (unsigned long long)gva);
		return true;
	}
	return w->visit(w->user, v);
}

static bool show_entry(void *user, uint64_t index, uint64_t entry)
{
	return show_vma(user, entry);
}

static void walk_list(struct vma_walk *w, uint64_t first)
{
	uint64_t above = 0;
	for (uint64_t vma = first; vma && guest_step(w->guest);) {
		uint64_t start = guest_load(w->guest, vma, w->start);
		/* Addresses grow along the list: a circle cannot. */
		if (start < above || (above && start == above - 1)) {
			guest_add_note(w->guest, "the list of memory areas runs in circles");
			return;
		}
		above = start + 1;
		if (!show_vma(w, vma))
			return;
		vma = guest_load(w->guest, vma, w->next);
	}
}

/* The page of old system calls, mapped in every process but in no list. */
static void show_vsyscall(struct vma_walk *w)
{
	uint64_t mode_gva, gate;
	enum { VSYSCALL_NONE = 2 };
	if (w->guest->word_bytes != 8 || !guest_symbol(w->guest, "gate_vma", &gate) ||
	    !guest_symbol(w->guest, "vsyscall_mode", &mode_gva) ||
	    guest_read_u32(w->guest, mode_gva) == VSYSCALL_NONE)
		return;
	struct guest_vma *v = &w->vma;
	uint64_t flags = guest_load(w->guest, gate, w->flags);
	*v = (struct guest_vma){ .gva = gate,
				 .start = guest_load(w->guest, gate, w->start),
				 .end = guest_load(w->guest, gate, w->end),
				 .kind = "vsyscall",
				 .path = "[vsyscall]" };
	snprintf(v->perms, sizeof(v->perms), "%c-%cp", flags & VM_READ ? 'r' : '-',
		 flags & VM_EXEC ? 'x' : '-');
	if (v->end > v->start)
		w->visit(w->user, v);
}

static void find_fields(struct vma_walk *w, const struct guest_task *task)
{
	struct guest *guest = w->guest;
	w->start = guest_need_field(guest, "vm_area_struct.vm_start");
	w->end = guest_need_field(guest, "vm_area_struct.vm_end");
	w->flags = guest_need_field(guest, "vm_area_struct.vm_flags");
	w->pgoff = guest_field(guest, "vm_area_struct.vm_pgoff");
	w->file = guest_need_field(guest, "vm_area_struct.vm_file");
	w->ops = guest_field(guest, "vm_area_struct.vm_ops");
	w->private_data = guest_field(guest, "vm_area_struct.vm_private_data");
	w->next = guest_field(guest, "vm_area_struct.vm_next");
	w->anon_name = guest_field(guest, "vm_area_struct.anon_name");
	w->start_brk = guest_load(guest, task->mm, guest_field(guest, "mm_struct.start_brk"));
	w->brk = guest_load(guest, task->mm, guest_field(guest, "mm_struct.brk"));
	w->start_stack =
		guest_load(guest, task->mm, guest_field(guest, "mm_struct.start_stack"));
	guest_symbol(guest, "special_mapping_vmops", &w->special_ops);
	guest_symbol(guest, "legacy_special_mapping_vmops", &w->special_ops_old);
}

void guest_vmas_each(struct guest *guest, const struct guest_task *task, guest_vma_fn *visit,
		     void *user)
{
	if (!task->mm)
		return;
	struct vma_walk w = { .guest = guest, .visit = visit, .user = user };
	find_fields(&w, task);
	/* A list until 6.1 (763ecb035029), a maple tree since. */
	struct field list = guest_field(guest, "mm_struct.mmap");
	struct field tree = guest_field(guest, "mm_struct.mm_mt");
	if (tree.found)
		guest_maple_each(guest, task->mm + tree.offset, show_entry, &w);
	else if (list.found && w.next.found)
		walk_list(&w, guest_load(guest, task->mm, list));
	else
		guest_add_note(guest, "this kernel's types tell nothing of memory areas");
	show_vsyscall(&w);
}
