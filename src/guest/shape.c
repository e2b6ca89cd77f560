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
 * 3. kthreadd is its last child: q[3] of the first task points to its sibling. Without page
 *    tables "kthreadd" is looked for in RAM; the two together give the direct mapping.
 * 4. pid and tgid of kthreadd are 2 and 2, right in front of its parents.
 * 5. The ring of all processes is the pair of words of the first task that point to the same
 *    place in process 1, and back.
 * 6. mm and active_mm: 0 and something in kthreadd, twice the same in process 1. pgd: the word
 *    of mm whose page tables lead from the first task's address to where it lies.
 */
#include "guest/shape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/phys_mem.h"
#include "guest/inferred.h"
#include "guest/internal.h"
#include "guest/scan.h"

enum {
	MM_BYTES = 2048,
	FAMILY_WORDS = 7,
	NAME_BYTES = 16,
	/* The split of a 32-bit address space is a multiple of this. */
	SPLIT_ALIGN = 1 << 27,
	DIRECT_ALIGN = 1 << 21,
};
#define IMAGE_FIRST 0xffffffff80000000ull

/* --- reading ----------------------------------------------------------------------------- */

static uint64_t load_word(const struct shape *s, const uint8_t *from)
{
	return s->word == 8 ? load_u64(from) : load_u32(from);
}

static uint64_t wrap(const struct shape *s, uint64_t gva)
{
	return s->word == 8 ? gva : gva & UINT32_MAX;
}

static bool in_image_range(const struct shape *s, uint64_t gva)
{
	return s->word == 8 ? gva >= IMAGE_FIRST : gva >= 0x40000000;
}

/* By the two fixed mappings. */
static bool to_gpa(const struct shape *s, uint64_t gva, uint64_t *ret)
{
	uint64_t delta = in_image_range(s, gva) ? s->image_delta : s->direct;
	*ret = wrap(s, gva - delta);
	return phys_mem_segment(s->guest->mem, *ret) != NULL;
}

bool shape_read(const struct shape *s, uint64_t gva, void *to, size_t length_bytes)
{
	uint64_t gpa;
	if (s->guest->has_kernel_space)
		return guest_space_read(&s->guest->kernel, gva, to, length_bytes);
	return to_gpa(s, gva, &gpa) && phys_mem_read(s->guest->mem, gpa, to, length_bytes);
}

uint64_t shape_word(const struct shape *s, uint64_t gva)
{
	uint64_t value = 0;
	return shape_read(s, gva, &value, s->word) ? value : 0;
}

uint32_t shape_u32(const struct shape *s, uint64_t gva)
{
	uint32_t value = 0;
	return shape_read(s, gva, &value, 4) ? value : 0;
}

bool shape_is_pointer(const struct shape *s, uint64_t gva)
{
	uint8_t byte;
	return guest_is_kernel_pointer(s->guest, gva) && shape_read(s, gva, &byte, 1);
}

bool shape_is_image(const struct shape *s, uint64_t gva)
{
	/* On 32 bits the image is part of the direct mapping: what is near the first task. */
	if (s->word == 8)
		return in_image_range(s, gva);
	return gva >= s->first - (32 << 20) && gva < s->first + (32 << 20);
}

uint64_t shape_of(const struct shape *s, const struct shape_task *task, size_t offset)
{
	return offset + s->word <= SHAPE_TASK_BYTES ? load_word(s, task->bytes + offset) : 0;
}

/* --- the first task ------------------------------------------------------------------------
 */

static bool find_name(struct shape *s, const uint8_t *task)
{
	for (uint32_t at = s->parent; at + NAME_BYTES <= SHAPE_TASK_BYTES; at += 4) {
		if (memcmp(task + at, "swapper", 7))
			continue;
		if (task[at + 7] == 0 || !memcmp(task + at + 7, "/0", 3)) {
			s->comm = at;
			return true;
		}
	}
	return false;
}

/* Rule 1 for seven words that are claimed to start at address gva, 0 if that is not known. */
static bool is_first_family(const struct shape *s, const uint8_t *bytes)
{
	uint64_t q[FAMILY_WORDS];
	for (unsigned i = 0; i < FAMILY_WORDS; i++)
		q[i] = load_word(s, bytes + i * s->word);
	return q[0] == q[1] && q[0] % 16 == 0 && in_image_range(s, q[0]) && q[6] == q[0] &&
	       q[5] == q[4] && q[4] > q[0] && q[4] - q[0] < SHAPE_TASK_BYTES;
}

/* Copies a task as far as there is memory behind it; zeros after that. */
static void copy_task(const struct shape *s, uint64_t gva, uint8_t *copy)
{
	memset(copy, 0, SHAPE_TASK_BYTES);
	for (size_t at = 0; at < SHAPE_TASK_BYTES; at += 512)
		if (!shape_read(s, gva + at, copy + at, 512))
			return;
}

static bool try_first(struct shape *s, uint64_t gpa, const uint8_t *q)
{
	AUTO(own_free) uint8_t *task = malloc(SHAPE_TASK_BYTES);
	uint64_t v = load_word(s, q), sibling = load_word(s, q + 4 * s->word);
	uint64_t offset = sibling - v, here = gpa + 4 * s->word;
	if (!task || offset < 4 * s->word + 16 || here < offset)
		return false;
	s->first = v;
	s->first_gpa = here - offset;
	s->parent = (uint32_t)offset - 4 * s->word;
	s->image_delta = sibling - here;
	copy_task(s, v, task);
	uint64_t align = s->word == 8 ? PHYS_PAGE_SIZE : SPLIT_ALIGN;
	return s->image_delta % align == 0 && find_name(s, task);
}

static bool look_for_first(void *user, uint64_t gpa, const uint8_t *bytes, size_t length)
{
	struct shape *s = user;
	size_t need = FAMILY_WORDS * s->word;
	for (size_t at = 0; at + need <= length && !s->found; at += s->word)
		if (is_first_family(s, bytes + at))
			s->found = try_first(s, gpa + at, bytes + at);
	return !s->found;
}

/* Where symbol and page tables are known, the place is known as well. */
static bool first_by_symbol(struct shape *s)
{
	AUTO(own_free) uint8_t *task = malloc(SHAPE_TASK_BYTES);
	struct guest_mapping mapping;
	uint64_t gva;
	if (!task || !s->guest->has_kernel_space ||
	    !guest_symbol(s->guest, "init_task", &gva) ||
	    guest_space_walk(&s->guest->kernel, gva, &mapping) != GUEST_WALK_OK)
		return false;
	copy_task(s, gva, task);
	for (size_t at = 0; at + FAMILY_WORDS * s->word <= SHAPE_TASK_BYTES; at += s->word)
		if (load_word(s, task + at) == gva && is_first_family(s, task + at) &&
		    try_first(s, mapping.gpa + at, task + at))
			return true;
	return false;
}

/* --- its children ---------------------------------------------------------------------------
 */

static uint64_t of_family(const struct shape *s, uint64_t task, unsigned n)
{
	return shape_word(s, task + s->parent + n * s->word);
}

/* Rule 4. */
static bool find_ids(struct shape *s)
{
	for (uint32_t back = 8; back <= 8 + s->word; back += s->word) {
		uint64_t at = s->kthreadd + s->parent - back;
		if (shape_u32(s, at) != 2 || shape_u32(s, at + 4) != 2)
			continue;
		s->pid = s->parent - back;
		return true;
	}
	return false;
}

/* Rule 3 for a name found in RAM. */
static bool try_kthreadd(struct shape *s, uint64_t comm_gpa)
{
	if (comm_gpa < s->comm)
		return false;
	uint64_t sibling_gpa = comm_gpa - s->comm + s->parent + 4 * s->word;
	uint64_t sibling = of_family(s, s->first, 3);
	s->direct = wrap(s, sibling - sibling_gpa);
	s->kthreadd = sibling - s->parent - 4 * s->word;
	return s->direct % DIRECT_ALIGN == 0 && guest_is_kernel_pointer(s->guest, sibling) &&
	       of_family(s, s->kthreadd, 0) == s->first && find_ids(s);
}

static bool look_for_kthreadd(void *user, uint64_t gpa, const uint8_t *bytes, size_t length)
{
	struct shape *s = user;
	static const char name[NAME_BYTES] = "kthreadd";
	for (size_t at = 0; at + NAME_BYTES <= length && !s->found; at += 4)
		if (!memcmp(bytes + at, name, 9))
			s->found = try_kthreadd(s, gpa + at);
	return !s->found;
}

static bool find_kthreadd(struct shape *s)
{
	s->found = false;
	if (!s->guest->has_kernel_space) {
		scan_data(s->guest->mem, 0, UINT64_MAX, NAME_BYTES, look_for_kthreadd, s);
		return s->found;
	}
	s->kthreadd = of_family(s, s->first, 3) - s->parent - 4 * s->word;
	char name[NAME_BYTES] = "";
	shape_read(s, s->kthreadd + s->comm, name, sizeof(name));
	return !strncmp(name, "kthreadd", sizeof(name)) && find_ids(s);
}

/* Process 1 is the first child. */
static bool find_init(struct shape *s)
{
	s->init = of_family(s, s->first, 2) - s->parent - 4 * s->word;
	return shape_u32(s, s->init + s->pid) == 1;
}

/* Rule 5. */
static bool find_ring(struct shape *s)
{
	for (uint32_t at = 0; at < s->parent; at += s->word) {
		if (shape_word(s, s->first + at) != s->init + at ||
		    shape_word(s, s->init + at + s->word) != s->first + at)
			continue;
		s->tasks = at;
		return true;
	}
	return false;
}

/* Rule 6, first half. Behind the ring of processes, before the ids. */
static void find_mm(struct shape *s)
{
	for (uint32_t at = s->tasks + 2 * s->word; at < s->parent; at += s->word) {
		uint64_t mm = shape_word(s, s->init + at);
		if (mm != shape_word(s, s->init + at + s->word) || mm == s->init ||
		    (s->word == 8 && in_image_range(s, mm)) || !shape_is_pointer(s, mm) ||
		    shape_word(s, s->kthreadd + at))
			continue;
		s->mm = at;
		return;
	}
}

static bool leads_to_first(struct shape *s, uint64_t root, enum guest_paging mode)
{
	struct guest_mapping mapping;
	struct guest_space space = { 0 };
	guest_space_init(&space, s->guest->mem, root, mode);
	return guest_space_walk(&space, s->first, &mapping) == GUEST_WALK_OK &&
	       mapping.gpa == s->first_gpa;
}

static bool pgd_here(struct shape *s, uint64_t gva, uint64_t *root_ret,
		     enum guest_paging *mode_ret)
{
	static const enum guest_paging narrow[] = { GUEST_PAGING_PAE, GUEST_PAGING_2LEVEL },
				       wide[] = { GUEST_PAGING_4LEVEL, GUEST_PAGING_5LEVEL };
	const enum guest_paging *modes = s->word == 8 ? wide : narrow;
	struct guest *guest = s->guest;
	struct guest_mapping mapping;
	if (gva % 32 || !shape_is_pointer(s, gva))
		return false;
	if (guest->has_kernel_space) {
		*mode_ret = guest->paging;
		return guest_space_walk(&guest->kernel, gva, &mapping) == GUEST_WALK_OK &&
		       leads_to_first(s, *root_ret = mapping.gpa, guest->paging);
	}
	for (unsigned i = 0; i < 2; i++) {
		*mode_ret = modes[i];
		if (to_gpa(s, gva, root_ret) && leads_to_first(s, *root_ret, modes[i]))
			return true;
	}
	return false;
}

/* Rule 6, second half. Process 1's tables map the kernel as well. */
static bool find_pgd(struct shape *s, uint64_t *root_ret, enum guest_paging *mode_ret)
{
	uint64_t mm = s->mm ? shape_word(s, s->init + s->mm) : 0;
	for (uint32_t at = 0; mm && at < MM_BYTES; at += s->word) {
		if (!pgd_here(s, shape_word(s, mm + at), root_ret, mode_ret))
			continue;
		s->pgd = at;
		return true;
	}
	return false;
}

static bool recognise_as(struct shape *s, unsigned word)
{
	s->word = word;
	s->guest->word_bytes = word;
	if (!first_by_symbol(s)) {
		scan_data(s->guest->mem, 0, UINT64_MAX, FAMILY_WORDS * word, look_for_first, s);
		if (!s->found)
			return false;
	}
	return find_kthreadd(s) && find_init(s) && find_ring(s);
}

bool shape_recognise(struct guest *guest, struct shape *ret)
{
	unsigned known = guest->has_kernel_space || guest->has_kallsyms ? guest->word_bytes : 0;
	unsigned before = guest->word_bytes;
	for (unsigned word = 8; word >= 4; word -= 4) {
		struct shape s = { .guest = guest };
		if ((known && known != word) || !recognise_as(&s, word))
			continue;
		find_mm(&s);
		*ret = s;
		return true;
	}
	guest->word_bytes = before;
	return false;
}

/* --- what is made of it ---------------------------------------------------------------------
 */

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
	struct shape s;
	uint64_t root;
	enum guest_paging mode;
	if (!shape_recognise(guest, &s))
		return false;
	guest->image_delta = -s.image_delta;
	guest->has_delta = true;
	if (find_pgd(&s, &root, &mode)) {
		guest_space_init(&guest->kernel, guest->mem, root, mode);
		guest->paging = mode;
		guest->has_kernel_space = true;
	}
	if (!*guest->banner)
		scan_data(guest->mem, 0, UINT64_MAX, 512, look_for_banner, guest);
	snprintf(guest->kaslr_source, sizeof(guest->kaslr_source), "shape of the first task");
	if (!guest->has_kallsyms)
		guest_add_doubt(guest, "the kernel's symbols were not found; what is known "
				       "comes from the shape of its first task");
	inferred_add_symbol(guest, "init_task", s.first);
	return true;
}

/* Copies of tasks of the ring, for comparing. */
static void take_sample(const struct shape *s, struct shape_sample *ret)
{
	uint64_t at = shape_word(s, s->first + s->tasks);
	ret->tasks = calloc(SHAPE_TASKS_MAX, sizeof(*ret->tasks));
	while (ret->tasks && ret->count < SHAPE_TASKS_MAX && at != s->first + s->tasks) {
		struct shape_task *task = &ret->tasks[ret->count];
		task->gva = at - s->tasks;
		if (!shape_is_pointer(s, at))
			break;
		copy_task(s, task->gva, task->bytes);
		task->mm = s->mm ? shape_of(s, task, s->mm) : 0;
		ret->count++;
		at = shape_of(s, task, s->tasks);
	}
}

static void infer_family(const struct shape *s)
{
	static const char *const names[] = { "real_parent",   "parent",	      "children.next",
					     "children.prev", "sibling.next", "sibling.prev",
					     "group_leader" };
	struct guest *guest = s->guest;
	char path[64];
	for (unsigned i = 0; i < FAMILY_WORDS; i++) {
		snprintf(path, sizeof(path), "task_struct.%s", names[i]);
		inferred_add(guest, path, s->parent + i * s->word, s->word);
	}
	inferred_add(guest, "task_struct.children", s->parent + 2 * s->word, 2 * s->word);
	inferred_add(guest, "task_struct.sibling", s->parent + 4 * s->word, 2 * s->word);
	inferred_add(guest, "task_struct.comm", s->comm, NAME_BYTES);
	inferred_add(guest, "task_struct.pid", s->pid, 4);
	inferred_add(guest, "task_struct.tgid", s->pid + 4, 4);
	inferred_add(guest, "task_struct.tasks", s->tasks, 2 * s->word);
	if (s->mm) {
		inferred_add(guest, "task_struct.mm", s->mm, s->word);
		inferred_add(guest, "task_struct.active_mm", s->mm + s->word, s->word);
	}
	if (s->pgd)
		inferred_add(guest, "mm_struct.pgd", s->pgd, s->word);
	inferred_add_symbol(guest, "init_task", s->first);
}

void shape_infer(struct guest *guest)
{
	struct shape s;
	struct shape_sample sample = { 0 };
	uint64_t root;
	enum guest_paging mode;
	shape_infer_log(guest);
	if (!guest->has_kernel_space)
		return;
	if (shape_recognise(guest, &s)) {
		find_pgd(&s, &root, &mode);
		infer_family(&s);
		take_sample(&s, &sample);
		shape_infer_task(&s, &sample);
		shape_infer_stack(&s, &sample);
		shape_infer_orc(&s);
		shape_infer_cpus(&s);
		shape_infer_memory(&s, &sample);
		shape_infer_files(&s, &sample);
		shape_infer_sockets(&s, &sample);
		struct shape_pages pages = shape_infer_pages(&s);
		if (pages.struct_bytes)
			shape_infer_slabs(&s, &pages);
		free(sample.tasks);
	}
	shape_infer_modules(guest);
	if (!guest->inferred.count)
		return;
	snprintf(guest->type_source, sizeof(guest->type_source),
		 "worked out from the shape of its first task (%zu members)",
		 guest->inferred.count);
	guest_add_doubt(guest,
			"the kernel carries no types: %zu members of its structures were "
			"worked out from the shape of its first task and its neighbours",
			guest->inferred.count);
}
