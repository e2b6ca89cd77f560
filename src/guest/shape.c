/* The part of task_struct that all this hangs on has had one form since 2.6:
 *
 *   int pid, tgid;  [unsigned long stack_canary;]
 *   task *real_parent, *parent;      q[0] q[1]
 *   list_head children;              q[2] q[3]
 *   list_head sibling;               q[4] q[5]
 *   task *group_leader;              q[6]
 *
 * 1. The first task is its own parent and leader and has no siblings, so q[0] = q[1] = q[6] =
 * V, its address, and q[4] = q[5] = S, the address of q[4] itself. S - V is then the offset of
 *    sibling, and S against where q[4] lies gives virtual - physical for the kernel image.
 * 2. Its name "swapper" within the struct gives the offset of comm.
 * 3. kthreadd is its last child: "kthreadd" found in RAM with q[0] = V, and q[3] of the first
 *    task points to its sibling, which gives the start of the direct mapping.
 * 4. pid and tgid of kthreadd are 2 and 2, right in front of its parents.
 * 5. The ring of all processes is the pair of words of the first task that point to the same
 *    place in process 1, and back.
 * 6. mm and active_mm: 0 and something in kthreadd, twice the same in process 1. pgd: the word
 * of mm that points to a page whose upper half is like that of the other programs.
 */
#include "guest/shape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/phys_mem.h"
#include "guest/internal.h"
#include "guest/scan.h"
#include "guest/task.h"

enum { TASK_BYTES = 16384, MM_BYTES = 2048, TASKS_MAX = 1 << 16, FAMILY_BYTES = 56 };
#define IMAGE_FIRST 0xffffffff80000000ull

struct shape {
	struct guest *guest;
	struct phys_mem *mem;
	uint64_t first_gva, first_gpa; /* the first task */
	uint64_t image_delta; /* gva - gpa of the image */
	uint64_t direct; /* gva of physical address 0 */
	uint32_t parent, comm, pid, tasks, mm, pgd; /* offsets */
	uint64_t kthreadd_gpa, init_gpa;
	bool found;
};

static uint64_t word_at(const uint8_t *bytes, size_t i)
{
	return load_u64(bytes + 8 * i);
}

/* Copies a task as far as there is RAM behind it; zeros after that. */
static void read_task(const struct shape *s, uint64_t gpa, uint8_t *copy)
{
	memset(copy, 0, TASK_BYTES);
	for (size_t at = 0; at < TASK_BYTES; at += 512)
		if (!phys_mem_read(s->mem, gpa + at, copy + at, 512))
			return;
}

static bool find_name(struct shape *s, const uint8_t *task)
{
	for (uint32_t at = s->parent; at + 16 <= TASK_BYTES; at += 4) {
		if (memcmp(task + at, "swapper", 7))
			continue;
		if (task[at + 7] == 0 || !memcmp(task + at + 7, "/0", 3)) {
			s->comm = at;
			return true;
		}
	}
	return false;
}

/* Rule 1 at one place in RAM. */
static bool is_first_family(const uint8_t *q)
{
	uint64_t v = word_at(q, 0), sibling = word_at(q, 4);
	return v == word_at(q, 1) && v >= IMAGE_FIRST && v % 16 == 0 && word_at(q, 6) == v &&
	       word_at(q, 5) == sibling && sibling > v && sibling - v < TASK_BYTES;
}

static bool try_first(struct shape *s, uint64_t gpa, const uint8_t *q)
{
	AUTO(own_free) uint8_t *task = malloc(TASK_BYTES);
	uint64_t v = word_at(q, 0), sibling = word_at(q, 4);
	uint64_t offset = sibling - v;
	if (!task || offset < 32 + 16 || gpa + 32 < offset)
		return false;
	s->first_gva = v;
	s->first_gpa = gpa + 32 - offset;
	s->parent = (uint32_t)(offset - 32);
	s->image_delta = sibling - (gpa + 32);
	read_task(s, s->first_gpa, task);
	return s->image_delta % PHYS_PAGE_SIZE == 0 && find_name(s, task);
}

static bool look_for_first(void *user, uint64_t gpa, const uint8_t *bytes, size_t length)
{
	struct shape *s = user;
	for (size_t at = 0; at + FAMILY_BYTES <= length && !s->found; at += 8)
		if (is_first_family(bytes + at))
			s->found = try_first(s, gpa + at, bytes + at);
	return !s->found;
}

/* Rules 3 and 4 for a task that is called kthreadd. */
static bool try_kthreadd(struct shape *s, uint64_t comm_gpa)
{
	uint8_t first[FAMILY_BYTES], ids[16], family[FAMILY_BYTES];
	if (comm_gpa < s->comm)
		return false;
	uint64_t gpa = comm_gpa - s->comm;
	if (!phys_mem_read(s->mem, gpa + s->parent, family, sizeof(family)) ||
	    !phys_mem_read(s->mem, gpa + s->parent - 16, ids, sizeof(ids)) ||
	    !phys_mem_read(s->mem, s->first_gpa + s->parent, first, sizeof(first)) ||
	    word_at(family, 0) != s->first_gva)
		return false;
	if (load_u32(ids + 8) == 2 && load_u32(ids + 12) == 2)
		s->pid = s->parent - 8;
	else if (load_u32(ids) == 2 && load_u32(ids + 4) == 2)
		s->pid = s->parent - 16;
	else
		return false;
	uint64_t sibling_gpa = gpa + s->parent + 32;
	s->direct = word_at(first, 3) - sibling_gpa;
	s->kthreadd_gpa = gpa;
	return s->direct % (1 << 21) == 0 && s->direct >> 56 == 0xff;
}

static bool look_for_kthreadd(void *user, uint64_t gpa, const uint8_t *bytes, size_t length)
{
	struct shape *s = user;
	static const char name[16] = "kthreadd";
	for (size_t at = 0; at + 16 <= length && !s->found; at += 8)
		if (!memcmp(bytes + at, name, 9))
			s->found = try_kthreadd(s, gpa + at);
	return !s->found;
}

/* Physical address of a pointer into the image or the direct mapping; false for others. */
static bool to_gpa(const struct shape *s, uint64_t gva, uint64_t *ret)
{
	uint64_t gpa = gva >= IMAGE_FIRST ? gva - s->image_delta : gva - s->direct;
	*ret = gpa;
	return phys_mem_segment(s->mem, gpa) != NULL;
}

static uint64_t word_of(const struct shape *s, uint64_t gpa)
{
	uint64_t value = 0;
	phys_mem_read(s->mem, gpa, &value, 8);
	return value;
}

/* Process 1 is the first child. */
static bool find_init(struct shape *s)
{
	uint64_t child = word_of(s, s->first_gpa + s->parent + 16);
	uint32_t pid = 0;
	if (!to_gpa(s, child - s->parent - 32, &s->init_gpa))
		return false;
	phys_mem_read(s->mem, s->init_gpa + s->pid, &pid, 4);
	return pid == 1;
}

/* Rule 5. */
static bool find_ring(struct shape *s)
{
	uint64_t init_gva = s->init_gpa + s->direct;
	for (uint32_t at = 0; at < s->parent; at += 8) {
		if (word_of(s, s->first_gpa + at) != init_gva + at ||
		    word_of(s, s->init_gpa + at + 8) != s->first_gva + at)
			continue;
		s->tasks = at;
		return true;
	}
	return false;
}

static bool is_direct_pointer(const struct shape *s, uint64_t gva)
{
	uint64_t gpa;
	return gva >> 56 == 0xff && gva < IMAGE_FIRST && to_gpa(s, gva, &gpa);
}

/* Rule 6, first half. Behind the ring of processes, before the ids. */
static void find_mm(struct shape *s)
{
	for (uint32_t at = s->tasks + 16; at < s->parent; at += 8) {
		uint64_t mm = word_of(s, s->init_gpa + at);
		if (!is_direct_pointer(s, mm) || mm != word_of(s, s->init_gpa + at + 8) ||
		    mm == s->init_gpa + s->direct || word_of(s, s->kthreadd_gpa + at))
			continue;
		s->mm = at;
		return;
	}
}

/* Rule 6, second half: a page of entries whose last one, for the kernel image, is present. */
static void find_pgd(struct shape *s)
{
	uint64_t mm_gpa, page;
	if (!s->mm || !to_gpa(s, word_of(s, s->init_gpa + s->mm), &mm_gpa))
		return;
	for (uint32_t at = 0; at < MM_BYTES; at += 8) {
		uint64_t pgd = word_of(s, mm_gpa + at);
		if (pgd % PHYS_PAGE_SIZE || !is_direct_pointer(s, pgd) ||
		    !to_gpa(s, pgd, &page))
			continue;
		uint64_t last = word_of(s, page + 511 * 8);
		if ((last & 1) && !(last & GUEST_PTE_LARGE) &&
		    phys_mem_segment(s->mem, last & 0x000ffffffffff000)) {
			s->pgd = at;
			return;
		}
	}
}

static void read_one(const struct shape *s, uint64_t gva, uint64_t gpa, struct guest_task *task)
{
	uint64_t parent_gpa, mm_gpa, pgd_gpa;
	memset(task, 0, sizeof(*task));
	task->gva = gva;
	task->state = '?';
	phys_mem_read(s->mem, gpa + s->pid, &task->pid, 4);
	phys_mem_read(s->mem, gpa + s->pid + 4, &task->tgid, 4);
	phys_mem_read(s->mem, gpa + s->comm, task->comm, 15);
	if (to_gpa(s, word_of(s, gpa + s->parent), &parent_gpa))
		phys_mem_read(s->mem, parent_gpa + s->pid, &task->ppid, 4);
	task->mm = s->mm ? word_of(s, gpa + s->mm) : 0;
	task->kthread = s->mm && !task->mm;
	if (s->pgd && task->mm && to_gpa(s, task->mm, &mm_gpa) &&
	    to_gpa(s, word_of(s, mm_gpa + s->pgd), &pgd_gpa)) {
		task->cr3 = pgd_gpa;
		task->has_cr3 = true;
	}
}

static struct error *add_task(struct guest_tasks *tasks, const struct guest_task *task)
{
	if (tasks->count == tasks->capacity) {
		size_t room = tasks->capacity ? tasks->capacity * 2 : 64;
		struct guest_task *more = reallocarray(tasks->items, room, sizeof(*more));
		if (!more)
			return error_create(ERR_MEMORY, "no memory for a list of processes");
		tasks->items = more;
		tasks->capacity = room;
	}
	tasks->items[tasks->count++] = *task;
	return NULL;
}

static struct error *walk(const struct shape *s, struct guest_tasks *ret)
{
	uint64_t at = word_of(s, s->first_gpa + s->tasks), end = s->first_gva + s->tasks, gpa;
	uint64_t before = end;
	for (size_t i = 0; at != end; i++) {
		struct guest_task task;
		if (i == TASKS_MAX || !guest_step(s->guest) ||
		    !to_gpa(s, at - s->tasks, &gpa) ||
		    word_of(s, gpa + s->tasks + 8) != before) {
			guest_add_note(s->guest, "the ring of processes breaks after %zu", i);
			break;
		}
		read_one(s, at - s->tasks, gpa, &task);
		TRY(add_task(ret, &task));
		before = at;
		at = word_of(s, gpa + s->tasks);
	}
	return NULL;
}

static bool recognise(struct shape *s)
{
	scan_data(s->mem, 0, UINT64_MAX, FAMILY_BYTES, look_for_first, s);
	if (!s->found)
		return false;
	s->found = false;
	scan_data(s->mem, 0, UINT64_MAX, 16, look_for_kthreadd, s);
	if (!s->found || !find_init(s) || !find_ring(s))
		return false;
	find_mm(s);
	find_pgd(s);
	return true;
}

struct error *shape_tasks_read(struct guest *guest, struct guest_tasks *ret)
{
	struct shape s = { .guest = guest, .mem = guest_memory(guest) };
	if (!recognise(&s))
		return error_hint(
			error_create(
				ERR_NOT_FOUND,
				"the kernel carries no types, and nothing in memory has the "
				"shape of its first task"),
			"give symbols and types with --symbols FILE");
	guest_add_note(guest,
		       "the kernel carries no types: processes were found by the shape of "
		       "its first task, and only ids, names and page tables are known");
	struct error *err = walk(&s, ret);
	if (err)
		guest_tasks_deinit(ret);
	return err;
}

/* Process 1's tables map the kernel as well. */
static bool find_paging(const struct shape *s)
{
	static const enum guest_paging modes[] = { GUEST_PAGING_4LEVEL, GUEST_PAGING_5LEVEL };
	struct guest *guest = s->guest;
	struct guest_mapping mapping;
	struct guest_task init;
	read_one(s, s->init_gpa + s->direct, s->init_gpa, &init);
	for (size_t i = 0; init.has_cr3 && i < 2; i++) {
		guest_space_init(&guest->kernel, guest->mem, init.cr3, modes[i]);
		if (guest_space_walk(&guest->kernel, s->first_gva, &mapping) != GUEST_WALK_OK ||
		    mapping.gpa != s->first_gpa)
			continue;
		guest->paging = modes[i];
		return true;
	}
	return false;
}

static bool look_for_banner(void *user, uint64_t gpa, const uint8_t *bytes, size_t length)
{
	static const char start[] = "Linux version ";
	const uint8_t *end = bytes + length, *at = bytes;
	while ((at = memmem(at, (size_t)(end - at), start, sizeof(start) - 1))) {
		if (guest_read_banner(user, gpa + (uint64_t)(at - bytes)))
			return false;
		at++;
	}
	return true;
}

bool shape_settle(struct guest *guest)
{
	struct shape s = { .guest = guest, .mem = guest->mem };
	if (!recognise(&s))
		return false;
	guest->image_delta = -s.image_delta;
	guest->has_delta = true;
	guest->has_kernel_space = find_paging(&s);
	if (!*guest->banner)
		scan_data(guest->mem, 0, UINT64_MAX, 512, look_for_banner, guest);
	snprintf(guest->kaslr_source, sizeof(guest->kaslr_source), "shape of the first task");
	guest_add_doubt(guest,
			"the kernel's symbols were not found; what little is known comes "
			"from the shape of its first task");
	return true;
}
