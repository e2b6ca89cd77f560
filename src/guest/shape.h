/* A kernel that carries no types, and perhaps no symbols: its first task is found by its shape,
 * and from what must hold between it, kthreadd and process 1 the layout of the structures is
 * worked out (shape_*.c, each for one area). Thread: that of the guest. */
#ifndef GUEST_SHAPE_H
#define GUEST_SHAPE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
struct guest;

enum { SHAPE_TASK_BYTES = 16384, SHAPE_TASKS_MAX = 96 };

struct shape {
	struct guest *guest;
	unsigned word; /* bytes of a pointer */
	uint64_t first, kthreadd, init; /* gva of the tasks with pid 0, 2 and 1 */
	uint64_t first_gpa;
	uint64_t image_delta, direct; /* gva - gpa of the image, and of the direct mapping */
	uint32_t parent, comm, pid, tasks; /* offsets in task_struct */
	uint32_t mm, pgd; /* 0: not found */
	bool found;
};

/* For memory in which neither symbols nor page tables were found: where the kernel image lies
 * and the page tables, by the shape alone. False if there is no such shape. */
bool shape_settle(struct guest *guest);
/* For a kernel whose types were not found: works out what it can, as inferred members, and says
 * so in a doubt. */
void shape_infer(struct guest *guest);

/* The first task and its two children. */
bool shape_recognise(struct guest *guest, struct shape *ret);

/* Reading with whatever is known so far: page tables, or the two fixed mappings. */
bool shape_read(const struct shape *s, uint64_t gva, void *to, size_t length_bytes);
uint64_t shape_word(const struct shape *s, uint64_t gva);
uint32_t shape_u32(const struct shape *s, uint64_t gva);
bool shape_is_image(const struct shape *s, uint64_t gva); /* a place in the kernel image */
bool shape_is_pointer(const struct shape *s, uint64_t gva); /* kernel memory that is there */

/* Tasks to compare with each other: copies of up to SHAPE_TASKS_MAX tasks of the ring. */
struct shape_sample {
	struct shape_task {
		uint64_t gva, mm;
		uint8_t bytes[SHAPE_TASK_BYTES];
	} * tasks;
	size_t count;
};
uint64_t shape_of(const struct shape *s, const struct shape_task *task, size_t offset);

/* shape_task.c, shape_stack.c, shape_cpu.c, shape_memory.c, shape_file.c, shape_socket.c,
 * shape_page.c, shape_slab.c, shape_module.c, shape_log.c */
void shape_infer_task(const struct shape *s, const struct shape_sample *sample);
void shape_infer_stack(const struct shape *s, const struct shape_sample *sample);
void shape_infer_orc(const struct shape *s);
void shape_infer_cpus(const struct shape *s);
void shape_infer_memory(const struct shape *s, const struct shape_sample *sample);
void shape_infer_files(const struct shape *s, const struct shape_sample *sample);
void shape_infer_sockets(const struct shape *s, const struct shape_sample *sample);
/* Where the page structures are; struct_bytes is 0 when that is not known. */
struct shape_pages {
	uint64_t base; /* gva of the structure of frame 0 */
	uint32_t struct_bytes, flags, type, lru; /* offsets in it */
	uint64_t slab_flags; /* of pages of slabs; 0: they have a type instead */
	uint32_t slab_type;
};
struct shape_pages shape_infer_pages(const struct shape *s);
void shape_infer_slabs(const struct shape *s, const struct shape_pages *pages);
/* The head of the list of modules, for a kernel with types that does not list the symbol. */
bool shape_find_modules(struct guest *guest, uint64_t *ret);
void shape_infer_modules(struct guest *guest);
void shape_infer_log(struct guest *guest);
#endif
