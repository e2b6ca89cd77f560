#include "guest/page_owner.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/phys_mem.h"
#include "base/vec.h"
#include "guest/field.h"
#include "guest/guest.h"
#include "guest/kernel_area.h"
#include "guest/page_kind.h"
#include "guest/space.h"
#include "guest/space_tables.h"
#include "guest/task.h"

/* A frame of a file that several programs map belongs to none of them. While owners are found
 * it has this mark. */
#define OWNER_SHARED UINT32_MAX

enum { STACK_NEAR_BYTES = 8 << 20 };

/* A program's address space, and where in it heap and stack are. */
struct program {
	uint64_t mm;
	uint32_t pid;
	struct guest_space space;
	uint64_t heap_first, heap_end, stack_first, stack_end;
};

struct finder {
	struct guest *guest;
	const struct page_owners *owners;
	uint64_t budget;
	struct guest_kernel_areas areas;
	const struct program *program; /* while a program's tables are walked */
};

/* What the kernel holds without saying for what. */
static bool is_open(uint8_t kind)
{
	return kind == PAGE_KERNEL_OTHER || kind == PAGE_UNSETTLED;
}

static void mark_table(struct finder *f, uint64_t gpa, unsigned level, uint32_t owner)
{
	uint64_t frame = gpa / PHYS_PAGE_SIZE;
	const struct page_owners *owners = f->owners;
	if (frame >= owners->n_frames)
		return;
	uint8_t kind = owners->kind[frame];
	/* Tables in the kernel image stay what they are in the image: data; so do wild ones. */
	if (!is_open(kind) && kind != PAGE_TABLE && kind != PAGE_RESERVED)
		return;
	owners->kind[frame] = PAGE_TABLE;
	owners->level[frame] = (uint8_t)level;
	if (!owners->owner[frame])
		owners->owner[frame] = owner;
}

static bool kernel_table(void *user, uint64_t gpa, unsigned level, uint64_t gva)
{
	mark_table(user, gpa, level, 0);
	return true;
}

static bool kernel_leaf(void *user, const struct space_leaf *leaf)
{
	struct finder *f = user;
	enum page_kind kind;
	if (leaf->gva >= f->areas.vmalloc_first && leaf->gva < f->areas.vmalloc_end)
		kind = PAGE_VMALLOC;
	else if (leaf->gva >= f->areas.modules_first && leaf->gva < f->areas.modules_end)
		kind = PAGE_MODULE;
	else
		return true;
	uint64_t first = leaf->gpa / PHYS_PAGE_SIZE, n = leaf->page_bytes / PHYS_PAGE_SIZE;
	for (uint64_t i = first; i < first + n && i < f->owners->n_frames; i++)
		if (is_open(f->owners->kind[i]))
			f->owners->kind[i] = (uint8_t)kind;
	return true;
}

static void walk_kernel(struct finder *f)
{
	struct guest_space *space = guest_kernel_space(f->guest);
	struct space_visitor visitor = {
		.table = kernel_table, .leaf = kernel_leaf, .user = f, .budget = &f->budget
	};
	guest_kernel_areas(f->guest, &f->areas);
	if (guest_word_bytes(f->guest) == 4)
		guest_space_visit(space, 0xc0000000, UINT32_MAX, &visitor);
	else
		guest_space_visit(space, 1ull << 63, UINT64_MAX, &visitor);
}

/* A task's stack, page by page: it lies in vmalloc or, in older kernels, in plain pages. */
static void mark_stack(struct finder *f, const struct guest_task *task, struct field stack,
		       uint64_t stack_bytes)
{
	uint64_t gva = guest_load(f->guest, task->gva, stack);
	struct guest_mapping mapping;
	if (!guest_is_kernel_pointer(f->guest, gva))
		return;
	for (uint64_t at = 0; at < stack_bytes; at += PHYS_PAGE_SIZE) {
		if (guest_space_walk(guest_kernel_space(f->guest), gva + at, &mapping) !=
		    GUEST_WALK_OK)
			continue;
		uint64_t frame = mapping.gpa / PHYS_PAGE_SIZE;
		if (frame >= f->owners->n_frames)
			continue;
		uint8_t *kind = &f->owners->kind[frame];
		if (is_open(*kind) || *kind == PAGE_VMALLOC || *kind == PAGE_SLAB ||
		    *kind == PAGE_KERNEL_DATA) {
			*kind = PAGE_KERNEL_STACK;
			f->owners->owner[frame] = (uint32_t)task->pid;
		}
	}
}

static void mark_stacks(struct finder *f, const struct guest_tasks *threads)
{
	struct field stack = guest_need_field(f->guest, "task_struct.stack");
	uint64_t bytes = guest_sizeof(f->guest, "thread_union");
	if (bytes < 4096 || bytes > 65536)
		bytes = guest_word_bytes(f->guest) == 8 ? 16384 : 8192;
	for (size_t i = 0; stack.found && i < threads->count; i++)
		mark_stack(f, &threads->items[i], stack, bytes);
}

static bool program_table(void *user, uint64_t gpa, unsigned level, uint64_t gva)
{
	struct finder *f = user;
	mark_table(f, gpa, level, f->program->pid);
	return true;
}

static enum page_kind anonymous_kind(const struct program *program, uint64_t gva)
{
	if (gva >= program->heap_first && gva < program->heap_end)
		return PAGE_ANON_HEAP;
	if (gva >= program->stack_first && gva < program->stack_end)
		return PAGE_ANON_STACK;
	return PAGE_ANON_MMAP;
}

static void claim(struct finder *f, uint64_t frame, uint64_t gva, uint64_t flags)
{
	const struct page_owners *owners = f->owners;
	uint32_t pid = f->program->pid, *owner = &owners->owner[frame];
	/* Without page structures: pages that a program has written are its own. */
	if (!owners->has_structs && owners->kind[frame] == PAGE_KERNEL_OTHER)
		owners->kind[frame] = flags & GUEST_PTE_DIRTY ? PAGE_ANON_MMAP : PAGE_CACHE;
	switch (owners->kind[frame]) {
	case PAGE_ANON_MMAP:
		owners->kind[frame] = (uint8_t)anonymous_kind(f->program, gva);
		if (!*owner)
			*owner = pid;
		break;
	case PAGE_CACHE:
	case PAGE_SHMEM:
	case PAGE_HUGE:
		*owner = *owner && *owner != pid ? OWNER_SHARED : pid;
		break;
	}
}

static bool program_leaf(void *user, const struct space_leaf *leaf)
{
	struct finder *f = user;
	uint64_t first = leaf->gpa / PHYS_PAGE_SIZE, n = leaf->page_bytes / PHYS_PAGE_SIZE;
	for (uint64_t i = 0; i < n && first + i < f->owners->n_frames; i++)
		claim(f, first + i, leaf->gva + i * PHYS_PAGE_SIZE, leaf->flags);
	return true;
}

/* With page table isolation a program has a second top table, right behind the first, for the
 * time it runs: the same lower half, but for the rights. */
static void mark_isolated_root(struct finder *f, const struct program *program)
{
	uint8_t kernel[4096], user[4096];
	uint64_t root = program->space.root_gpa;
	if (guest_word_bytes(f->guest) != 8 || (root & PHYS_PAGE_SIZE) ||
	    !phys_mem_read(guest_memory(f->guest), root, kernel, 4096) ||
	    !phys_mem_read(guest_memory(f->guest), root + PHYS_PAGE_SIZE, user, 4096))
		return;
	size_t same = 0;
	for (size_t i = 0; i < 256 * 8; i += 8) {
		uint64_t a = load_u64(kernel + i) & 0x000ffffffffff000;
		uint64_t b = load_u64(user + i) & 0x000ffffffffff000;
		if (a != b)
			return;
		same += a != 0;
	}
	if (same)
		mark_table(f, root + PHYS_PAGE_SIZE,
			   guest_space_format(program->space.paging)->levels, program->pid);
}

static void walk_program(struct finder *f, const struct program *program)
{
	struct space_visitor visitor = {
		.table = program_table, .leaf = program_leaf, .user = f, .budget = &f->budget
	};
	uint64_t last = guest_word_bytes(f->guest) == 8 ? INT64_MAX : 0xbfffffff;
	f->program = program;
	guest_space_visit(&program->space, 0, last, &visitor);
	mark_isolated_root(f, program);
}

/* The stack's mapping ends right above the name of the program, which is above the environment;
 * its length is counted in stack_vm. Where that is not known: other mappings stay away from it
 * by at least 128 MiB, so what is near is the stack. */
static void find_heap_and_stack(struct guest *guest, struct program *program)
{
	uint64_t env_end =
		guest_load(guest, program->mm, guest_field(guest, "mm_struct.env_end"));
	struct field stack_vm = guest_field(guest, "mm_struct.stack_vm");
	uint64_t pages = stack_vm.found ? guest_load(guest, program->mm, stack_vm)
					: STACK_NEAR_BYTES / PHYS_PAGE_SIZE;
	program->heap_first =
		guest_load(guest, program->mm, guest_field(guest, "mm_struct.start_brk"));
	program->heap_end =
		align_up(guest_load(guest, program->mm, guest_field(guest, "mm_struct.brk")),
			 PHYS_PAGE_SIZE);
	program->stack_end = align_up(env_end + 1, PHYS_PAGE_SIZE);
	if (pages < 1u << 24 && pages * PHYS_PAGE_SIZE < program->stack_end)
		program->stack_first = program->stack_end - pages * PHYS_PAGE_SIZE;
}

static bool same_mm_before(const struct guest_tasks *tasks, size_t index)
{
	for (size_t i = index; i-- > 0;)
		if (tasks->items[i].mm == tasks->items[index].mm)
			return true;
	return false;
}

static void walk_programs(struct finder *f, const struct guest_tasks *tasks)
{
	for (size_t i = 0; i < tasks->count; i++) {
		const struct guest_task *task = &tasks->items[i];
		struct program program = { .mm = task->mm, .pid = (uint32_t)task->pid };
		if (!task->mm || task->pid <= 0 || same_mm_before(tasks, i) ||
		    !guest_task_space(f->guest, task, &program.space))
			continue;
		find_heap_and_stack(f->guest, &program);
		walk_program(f, &program);
	}
	if (!f->budget)
		guest_add_note(f->guest, "there are more page tables than memory can hold: "
					 "owners of pages are incomplete");
}

/* Takes back what has a meaning only during the search. */
static void settle(const struct page_owners *owners)
{
	for (size_t i = 0; i < owners->n_frames; i++) {
		if (owners->owner[i] == OWNER_SHARED)
			owners->owner[i] = 0;
		if (owners->kind[i] == PAGE_UNSETTLED)
			owners->kind[i] = PAGE_FREE;
	}
}

static void with_tasks(struct finder *f, bool threads,
		       void (*use)(struct finder *, const struct guest_tasks *))
{
	struct guest_tasks tasks = { 0 };
	struct error *err = guest_tasks_read(f->guest, threads, &tasks);
	if (err) {
		guest_add_note(f->guest, "owners of pages are not known: %s",
			       error_message(err));
		error_destroy(err);
		return;
	}
	use(f, &tasks);
	guest_tasks_deinit(&tasks);
}

void page_owners_find(struct guest *guest, const struct page_owners *owners)
{
	struct finder f = { .guest = guest,
			    .owners = owners,
			    .budget = 65536 + owners->n_frames / 4 };
	walk_kernel(&f);
	with_tasks(&f, true, mark_stacks);
	with_tasks(&f, false, walk_programs);
	settle(owners);
}
