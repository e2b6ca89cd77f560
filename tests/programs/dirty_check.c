/* dirty_check VM SOURCE ROUNDS [MS]: proves that no written page goes unreported. Each round
 * pauses the guest, takes the dirty pages with two consumers, compares all of RAM with the copy
 * of the round before, and lets the guest go on for MS milliseconds. Prints one JSON object.
 * Exit 0 only if nothing was missed and both consumers got the same. */
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "vm/dirty.h"
#include "vm/qmp.h"
#include "vm/vm.h"

struct check {
	struct vm *vm;
	struct qmp *qmp;
	struct dirty *dirty;
	struct dirty_cursor first, second;
	struct dirty_pages pages, others;
	uint8_t *copy; /* by position in the segments */
	uint8_t *reported; /* one byte per page */
	unsigned long long n_reported, n_missed, n_identical, n_disagree;
};

static uint64_t page_index(const struct phys_mem *mem, uint64_t gpa)
{
	uint64_t first = 0;
	for (size_t i = 0; i < mem->n_segments; i++) {
		const struct phys_segment *segment = &mem->segments[i];
		if (gpa >= segment->gpa && gpa - segment->gpa < segment->size_bytes)
			return first + (gpa - segment->gpa) / PHYS_PAGE_SIZE;
		first += segment->size_bytes / PHYS_PAGE_SIZE;
	}
	return UINT64_MAX;
}

static void note_reported(struct check *check)
{
	struct phys_mem *mem = vm_memory(check->vm);
	memset(check->reported, 0, phys_mem_size(mem) / PHYS_PAGE_SIZE);
	for (size_t i = 0; i < check->pages.runs.count; i++) {
		const struct dirty_run *run = &check->pages.runs.items[i];
		memset(check->reported + page_index(mem, run->gpa), 1,
		       run->size_bytes / PHYS_PAGE_SIZE);
	}
	check->n_reported += check->pages.n_pages;
}

static void compare_page(struct check *check, uint64_t page, const uint8_t *now)
{
	uint8_t *before = check->copy + page * PHYS_PAGE_SIZE;
	bool same = !memcmp(before, now, PHYS_PAGE_SIZE);
	check->n_missed += !same && !check->reported[page];
	check->n_identical += same && check->reported[page];
	if (!same)
		memcpy(before, now, PHYS_PAGE_SIZE);
}

static void compare_all(struct check *check)
{
	struct phys_mem *mem = vm_memory(check->vm);
	uint64_t start, end;
	for (uint64_t at = 0; phys_mem_next_data(mem, at, &start, &end); at = end)
		for (uint64_t gpa = start; gpa < end; gpa += PHYS_PAGE_SIZE) {
			uint8_t bytes[PHYS_PAGE_SIZE];
			if (phys_mem_read(mem, gpa, bytes, sizeof(bytes)))
				compare_page(check, page_index(mem, gpa), bytes);
		}
}

static struct error *one_round(struct check *check, bool count)
{
	TRY(qmp_command(check->qmp, "stop", NULL, 5000, NULL));
	TRY(dirty_take(check->dirty, &check->first, &check->pages));
	TRY(dirty_take(check->dirty, &check->second, &check->others));
	if (check->pages.n_pages != check->others.n_pages)
		check->n_disagree++;
	note_reported(check);
	compare_all(check);
	if (!count)
		check->n_reported = check->n_missed = check->n_identical = 0;
	return qmp_command(check->qmp, "cont", NULL, 5000, NULL);
}

static struct error *run(struct check *check, const char *source, unsigned rounds, int ms)
{
	enum dirty_source wanted = !strcmp(source, "protect") ? DIRTY_WRITE_PROTECT
				   : !strcmp(source, "hash")  ? DIRTY_HASH
				   : !strcmp(source, "soft")  ? DIRTY_SOFT
							      : DIRTY_AUTO;
	TRY(vm_qmp(check->vm, &check->qmp));
	TRY(dirty_open(check->vm, wanted, &check->dirty));
	uint64_t size = phys_mem_size(vm_memory(check->vm));
	TRY(error_alloc(size, 1, &check->copy));
	TRY(error_alloc(size / PHYS_PAGE_SIZE, 1, &check->reported));
	TRY(one_round(check, false));
	for (unsigned i = 0; i < rounds; i++) {
		poll(NULL, 0, ms);
		TRY(one_round(check, true));
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct check check = { 0 };
	if (argc < 4)
		return 2;
	struct error *err = vm_open(argv[1], &check.vm);
	if (!err)
		err = run(&check, argv[2], (unsigned)atoi(argv[3]),
			  argc > 4 ? atoi(argv[4]) : 20);
	if (err) {
		fprintf(stderr, "dirty_check: %s\n", error_message(err));
		error_destroy(err);
		return 1;
	}
	printf("{\"source\": \"%s\", \"reported\": %llu, \"missed\": %llu, \"identical\": "
	       "%llu, \"disagree\": %llu}\n",
	       dirty_source_name(dirty_source(check.dirty)), check.n_reported, check.n_missed,
	       check.n_identical, check.n_disagree);
	dirty_pages_deinit(&check.pages);
	dirty_pages_deinit(&check.others);
	dirty_close(check.dirty);
	qmp_close(check.qmp);
	vm_close(check.vm);
	free(check.copy);
	free(check.reported);
	return check.n_missed || check.n_disagree;
}
