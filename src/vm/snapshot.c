#include "vm/snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "vm/proc.h"
#include "vm/vm.h"

/* Copying while the guest runs ends when a round left this little to do, or at the limit. */
#define FEW_PAGES 256u
#define MAX_ROUNDS 5u

struct snapshot {
	struct phys_mem mem; /* the copy; mem.owner is this */
	struct vm *vm;
	struct dirty *dirty;
	struct dirty_cursor cursor;
	struct dirty_pages pages;
	struct phys_segment *segments;
	uint64_t *first_page; /* of each segment */
	uint8_t *bytes; /* all segments one after the other, sparse */
	uint8_t *present; /* one bit per page that was ever copied */
	uint64_t n_pages;
};

static bool is_present(const struct snapshot *snapshot, uint64_t page)
{
	return snapshot->present[page / 8] >> (page % 8) & 1;
}

/* Next run of copied pages; the rest of the copy reads as zeros without being touched. */
static bool next_data(struct phys_mem *mem, uint64_t gpa, uint64_t *start_ret,
		      uint64_t *end_ret)
{
	struct snapshot *snapshot = mem->owner;
	for (size_t i = 0; i < mem->n_segments; i++) {
		const struct phys_segment *segment = &mem->segments[i];
		uint64_t count = segment->size_bytes / PHYS_PAGE_SIZE, at = 0;
		if (gpa >= segment->gpa + segment->size_bytes)
			continue;
		if (gpa > segment->gpa)
			at = (gpa - segment->gpa) / PHYS_PAGE_SIZE;
		uint64_t first = snapshot->first_page[i];
		while (at < count && !is_present(snapshot, first + at))
			at++;
		if (at == count)
			continue;
		uint64_t start = segment->gpa + at * PHYS_PAGE_SIZE;
		while (at < count && is_present(snapshot, first + at))
			at++;
		*start_ret = gpa > start ? gpa : start;
		*end_ret = segment->gpa + at * PHYS_PAGE_SIZE;
		return true;
	}
	return false;
}

static const struct phys_mem_ops copy_ops = { .next_data = next_data };

static struct error *allocate(struct snapshot *snapshot)
{
	const struct phys_mem *live = vm_memory(snapshot->vm);
	uint64_t size = phys_mem_size(live), at = 0;
	snapshot->n_pages = size / PHYS_PAGE_SIZE;
	TRY(error_alloc(live->n_segments, sizeof(*snapshot->segments), &snapshot->segments));
	TRY(error_alloc(live->n_segments, sizeof(*snapshot->first_page),
			&snapshot->first_page));
	TRY(error_alloc(snapshot->n_pages / 8 + 1, 1, &snapshot->present));
	void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (bytes == MAP_FAILED)
		return error_system(errno, "no memory for a copy of the RAM");
	snapshot->bytes = bytes;
	for (size_t i = 0; i < live->n_segments; i++) {
		snapshot->segments[i] = live->segments[i];
		snapshot->segments[i].host = snapshot->bytes + at;
		snapshot->first_page[i] = at / PHYS_PAGE_SIZE;
		at += live->segments[i].size_bytes;
	}
	snapshot->mem = (struct phys_mem){ .ops = &copy_ops,
					   .segments = snapshot->segments,
					   .n_segments = live->n_segments,
					   .owner = snapshot };
	return NULL;
}

struct error *snapshot_create(struct vm *vm, struct snapshot **ret)
{
	AUTO(own_snapshot) struct snapshot *snapshot = NULL;
	TRY(error_alloc(1, sizeof(*snapshot), &snapshot));
	snapshot->vm = vm;
	TRY(dirty_open(vm, DIRTY_AUTO, &snapshot->dirty));
	TRY(allocate(snapshot));
	*ret = TAKE(snapshot);
	return NULL;
}

void snapshot_destroy(struct snapshot *snapshot)
{
	if (!snapshot)
		return;
	if (snapshot->bytes)
		munmap(snapshot->bytes, snapshot->n_pages * PHYS_PAGE_SIZE);
	dirty_close(snapshot->dirty);
	dirty_pages_deinit(&snapshot->pages);
	free(snapshot->segments);
	free(snapshot->first_page);
	free(snapshot->present);
	free(snapshot);
}

struct phys_mem *snapshot_memory(struct snapshot *snapshot)
{
	return &snapshot->mem;
}

static struct error *copy_run(struct snapshot *snapshot, const struct dirty_run *run)
{
	struct phys_mem *live = vm_memory(snapshot->vm);
	const struct phys_segment *to = phys_mem_segment(&snapshot->mem, run->gpa);
	uint64_t offset = run->gpa - to->gpa;
	/* A run that two neighbouring segments share is copied in two steps. */
	uint64_t part = to->size_bytes - offset < run->size_bytes ? to->size_bytes - offset
								  : run->size_bytes;
	if (!phys_mem_read(live, run->gpa, (uint8_t *)to->host + offset, part))
		return error_create(ERR_PEER, "the VM's memory cannot be read any more");
	uint64_t first =
		snapshot->first_page[to - snapshot->segments] + offset / PHYS_PAGE_SIZE;
	for (uint64_t page = first; page < first + part / PHYS_PAGE_SIZE; page++)
		snapshot->present[page / 8] |= (uint8_t)(1u << (page % 8));
	if (part == run->size_bytes)
		return NULL;
	return copy_run(snapshot,
			&(struct dirty_run){ run->gpa + part, run->size_bytes - part });
}

/* Takes the dirty pages and copies them. */
static struct error *copy_dirty(struct snapshot *snapshot, size_t *n_pages_ret)
{
	TRY(dirty_take(snapshot->dirty, &snapshot->cursor, &snapshot->pages));
	for (size_t i = 0; i < snapshot->pages.runs.count; i++)
		TRY(copy_run(snapshot, &snapshot->pages.runs.items[i]));
	*n_pages_ret = snapshot->pages.n_pages;
	return NULL;
}

static struct error *copy_live(struct snapshot *snapshot, struct snapshot_stats *stats)
{
	/* Comparing reads all of RAM each time: one round is enough then. */
	unsigned most = dirty_source(snapshot->dirty) == DIRTY_HASH ? 1 : MAX_ROUNDS;
	size_t n = SIZE_MAX, before;
	do {
		before = n;
		TRY(copy_dirty(snapshot, &n));
		stats->pages_live += n;
		stats->rounds++;
	} while (n > FEW_PAGES && n < before - before / 4 && stats->rounds < most);
	return NULL;
}

/* One snapshot_take. */
struct take {
	struct snapshot *snapshot;
	const struct snapshot_params *params;
	struct snapshot_stats stats;
};

static struct error *copy_paused(void *user, struct qmp *qmp)
{
	struct take *take = user;
	dirty_stands_still(take->snapshot->dirty, true);
	struct error *err = copy_dirty(take->snapshot, &take->stats.pages_paused);
	dirty_stands_still(take->snapshot->dirty, false);
	if (err || !take->params || !take->params->while_paused)
		return err;
	return take->params->while_paused(take->params->user, qmp);
}

/* Stops the guest if it runs, copies the rest, lets it go on. */
static struct error *finish_paused(struct take *take)
{
	struct snapshot_stats *stats = &take->stats;
	struct pause_params params = { .needs_monitor =
					       take->params && take->params->needs_monitor,
				       .while_paused = copy_paused,
				       .user = take };
	struct error *err = pause_run(take->snapshot->vm, &params, &stats->pause);
	if (!params.needs_monitor && error_catch(&err, ERR_UNSUPPORTED))
		return NULL;
	stats->pause_ns = stats->pause.stop_ns + stats->pause.held_ns + stats->pause.go_ns;
	stats->is_consistent = !err;
	return err;
}

struct error *snapshot_take(struct snapshot *snapshot, const struct snapshot_params *params,
			    struct snapshot_stats *ret)
{
	uint64_t start = clock_now_ns();
	struct take take = { .snapshot = snapshot, .params = params };
	TRY(copy_live(snapshot, &take.stats));
	TRY(finish_paused(&take));
	if (params && params->changed_ret)
		*params->changed_ret = &snapshot->pages;
	take.stats.total_ns = clock_now_ns() - start;
	*ret = take.stats;
	return vm_check_alive(snapshot->vm);
}

static bool all_zeros(const uint8_t *bytes)
{
	return !bytes[0] && !memcmp(bytes, bytes + 1, PHYS_PAGE_SIZE - 1);
}

static bool add_page(struct dirty_pages *pages, uint64_t gpa)
{
	struct dirty_run *last =
		pages->runs.count ? &pages->runs.items[pages->runs.count - 1] : NULL;
	pages->n_pages++;
	if (last && last->gpa + last->size_bytes == gpa) {
		last->size_bytes += PHYS_PAGE_SIZE;
		return true;
	}
	struct dirty_run run = { gpa, PHYS_PAGE_SIZE };
	return VEC_PUSH(&pages->runs, run);
}

/* A page's bytes: where they are mapped, else a copy in buffer; NULL if there is no page. */
static const uint8_t *page_at(struct phys_mem *mem, uint64_t gpa, uint8_t *buffer)
{
	const uint8_t *mapped = phys_mem_at(mem, gpa, PHYS_PAGE_SIZE);
	if (mapped)
		return mapped;
	return phys_mem_read(mem, gpa, buffer, PHYS_PAGE_SIZE) ? buffer : NULL;
}

/* One of two memories that are walked side by side, with the run of data it is in. Finding a
 * run's end takes time in proportion to its length: it is asked for once. */
struct walk {
	struct phys_mem *mem;
	uint64_t start, end; /* the run: at or after where the walk is */
	bool ended;
};

static void walk_to(struct walk *walk, uint64_t gpa)
{
	if (walk->ended || gpa < walk->end)
		return;
	if (!phys_mem_next_data(walk->mem, gpa, &walk->start, &walk->end)) {
		walk->ended = true;
		walk->start = walk->end = UINT64_MAX;
	}
	walk->start -= walk->start % PHYS_PAGE_SIZE;
}

/* Outside of data a page is zeros, and so it need not be touched. */
static const uint8_t *walk_page(const struct walk *walk, uint64_t gpa, uint8_t *buffer)
{
	return gpa >= walk->start && gpa < walk->end ? page_at(walk->mem, gpa, buffer) : NULL;
}

static bool page_differs(const struct walk *a, const struct walk *b, uint64_t gpa)
{
	uint8_t left_copy[PHYS_PAGE_SIZE], right_copy[PHYS_PAGE_SIZE];
	const uint8_t *left = walk_page(a, gpa, left_copy);
	const uint8_t *right = walk_page(b, gpa, right_copy);
	if (left && right)
		return memcmp(left, right, PHYS_PAGE_SIZE) != 0;
	return left ? !all_zeros(left) : right && !all_zeros(right);
}

struct error *snapshot_diff(struct phys_mem *a, struct phys_mem *b, struct dirty_pages *ret)
{
	struct walk left = { .mem = a }, right = { .mem = b };
	ret->runs.count = ret->n_pages = 0;
	for (uint64_t gpa = 0;; gpa += PHYS_PAGE_SIZE) {
		walk_to(&left, gpa);
		walk_to(&right, gpa);
		uint64_t next = left.start < right.start ? left.start : right.start;
		if (left.ended && right.ended)
			return NULL;
		gpa = next > gpa ? next : gpa;
		if (page_differs(&left, &right, gpa) && !add_page(ret, gpa))
			return error_create(ERR_MEMORY, "no memory for a list of pages");
	}
}
