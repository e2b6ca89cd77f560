/* Every page of every stream is looked up, by several threads if they are many, and must be
 * ready, as for a native chunk. One
 * physical page under two addresses, one of them written, is refused: proofs speak of
 * addresses. That goes for a whole run, since a later request reads while an earlier one's
 * bytes are still on their way into the guest. */
#include "pixel_pages.h"

#include <string.h>
#include <sys/mman.h>

#include "crew.h"

enum {
	MOST_RUNS = 1 << 18, /* then the numbers begin anew */
	RUN_SHIFT = 46,
	LARGE_PAGE = 2 << 20,
	PART_PAGES = 256, /* what one thread looks up at once */
	MOST_PARTS = GB_PIXEL_PAGES / PART_PAGES + GB_KERNEL_MAX_STREAMS,
};
static const uint64_t PAGE_MASK = (1ull << 45) - 1; /* page numbers of 57-bit addresses */

bool pixel_extent(const struct gb_stream *s, uint64_t first, uint64_t n, uint64_t *start,
		  uint64_t *end)
{
	int64_t before, way;
	if (__builtin_mul_overflow(s->stride, (int64_t)first, &before) ||
	    __builtin_mul_overflow(s->stride, (int64_t)(n - 1), &way))
		return false;
	uint64_t from = s->gva + (uint64_t)before;
	*start = way < 0 ? from + (uint64_t)way : from;
	*end = (way < 0 ? from : from + (uint64_t)way) + s->width;
	return *start < *end;
}

bool pixel_streams_meet(const struct gb_plan *plan, uint64_t n)
{
	uint64_t start[GB_KERNEL_MAX_STREAMS], end[GB_KERNEL_MAX_STREAMS];
	for (uint32_t i = 0; i < plan->n_streams; i++)
		if (!pixel_extent(&plan->stream[i], 0, n, &start[i], &end[i]))
			return true;
	for (uint32_t i = 0; i < plan->n_streams; i++)
		for (uint32_t j = 0; plan->stream[i].write && j < plan->n_streams; j++)
			if (i != j && start[i] < end[j] && start[j] < end[i])
				return true;
	return false;
}

static uint64_t distance(const struct gb_stream *s)
{
	return (uint64_t)(s->stride < 0 ? -s->stride : s->stride);
}

uint64_t pixel_most_at_once(const struct gb_plan *plan)
{
	uint64_t most = UINT64_MAX, n_written = 0;
	for (uint32_t i = 0; i < plan->n_streams; i++)
		n_written += plan->stream[i].write;
	for (uint32_t i = 0; i < plan->n_streams; i++) {
		uint64_t apart = distance(&plan->stream[i]);
		uint64_t pages = GB_PIXEL_PAGES / plan->n_streams;
		if (plan->stream[i].write && pages > GB_PIXEL_DATA_PAGES / n_written)
			pages = GB_PIXEL_DATA_PAGES / n_written;
		uint64_t room = (pages - 4) * GB_PAGE; /* windows wider than the stride, ends */
		if (apart && room / apart < most)
			most = room / apart;
	}
	return most;
}

/* Zeros; in pages of 2 MiB where the system has them, since it is looked up all over. */
static uint64_t *map_table(uint64_t bytes)
{
	uint8_t *at = mmap(NULL, bytes + LARGE_PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED)
		return NULL;
	at += -(uintptr_t)at % LARGE_PAGE;
	madvise(at, bytes, MADV_HUGEPAGE);
	return (uint64_t *)(void *)at;
}

bool pixel_uses_begin(struct pixel_uses *uses)
{
	uint64_t bytes = (plugin.ram.bytes / GB_PAGE + 1) * sizeof(*uses->of_page);
	if (!uses->of_page)
		uses->of_page = map_table(bytes);
	if (!uses->of_page)
		return false;
	if (++uses->run == MOST_RUNS) {
		memset(uses->of_page, 0, bytes);
		uses->run = 1;
	}
	return true;
}

/* A page that this run writes must not come under two addresses. Thread: any of the crew's. */
static bool note_use(struct pixel_uses *uses, uint32_t page, uint64_t gva, bool write)
{
	uint64_t *use = &uses->of_page[page], last = __atomic_load_n(use, __ATOMIC_RELAXED),
		 now;
	do {
		now = (uint64_t)uses->run << RUN_SHIFT | (gva / GB_PAGE & PAGE_MASK) << 1 |
		      write;
		if (last >> RUN_SHIFT != uses->run)
			continue;
		bool other = last >> 1 != now >> 1;
		if (other && (write || (last & 1)))
			return false;
		now |= other ? PAGE_MASK << 1 : last & 1; /* read only, from now on */
	} while (!__atomic_compare_exchange_n(use, &last, now, true, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	return true;
}

static enum gb_plan_result list_page(struct walk_space *space, struct pixel_uses *uses,
				     uint64_t gva, bool write, uint32_t *ret)
{
	uint64_t offset;
	enum gb_plan_result ready = walk_ready(space, gva, write, &offset);
	if (ready != GB_PLAN_GO)
		return ready;
	if (write && code_pages_hold(offset))
		return GB_PLAN_CODE;
	*ret = (uint32_t)(offset / GB_PAGE);
	return note_use(uses, *ret, gva, write) ? GB_PLAN_GO : GB_PLAN_OVERLAP;
}

/* Where the streams' pages begin and how many they are. */
static enum gb_plan_result place_streams(const struct gb_plan *plan, struct pixel_own *o)
{
	uint64_t start, end;
	o->n_pages = o->n_data_pages = 0;
	for (uint32_t i = 0; i < plan->n_streams; i++) {
		const struct gb_stream *s = &plan->stream[i];
		if (!pixel_extent(s, o->first, o->n, &start, &end))
			return GB_PLAN_WRAP;
		start &= ~(uint64_t)(GB_PAGE - 1);
		uint64_t n = (end - start + GB_PAGE - 1) / GB_PAGE;
		if (n > GB_PIXEL_PAGES - o->n_pages ||
		    (s->write && n > GB_PIXEL_DATA_PAGES - o->n_data_pages))
			return GB_PLAN_BAD;
		o->stream[i] = (struct gb_pixel_stream){ .gva = start,
							 .first = o->n_pages,
							 .n_pages = (uint32_t)n,
							 .data_page = o->n_data_pages,
							 .write = s->write };
		o->n_pages += (uint32_t)n;
		o->n_data_pages += s->write ? (uint32_t)n : 0;
	}
	return GB_PLAN_GO;
}

/* Pages [at, end) of a request's list, of one stream. */
struct part {
	const struct gb_pixel_stream *stream;
	uint32_t at, end;
};

struct listing {
	const struct walk_space *space;
	struct pixel_uses *uses;
	struct pixel_own *own;
	uint32_t n_parts, result; /* GO, or of a page that is not ready */
	struct part parts[MOST_PARTS];
};

static void list_part(void *arg, uint32_t i)
{
	struct listing *l = arg;
	const struct part *p = &l->parts[i];
	struct walk_space space = *l->space; /* what it remembers is this thread's */
	uint64_t gva = p->stream->gva + (p->at - p->stream->first) * (uint64_t)GB_PAGE;
	for (uint32_t at = p->at; at < p->end; at++, gva += GB_PAGE) {
		enum gb_plan_result ready =
			list_page(&space, l->uses, gva, p->stream->write, &l->own->pages[at]);
		if (ready == GB_PLAN_GO)
			continue;
		__atomic_store_n(&l->result, ready, __ATOMIC_RELAXED);
		return;
	}
}

static void add_parts(struct listing *l, const struct gb_pixel_stream *s)
{
	for (uint32_t at = s->first, end = at + s->n_pages; at < end;) {
		uint32_t stop = end - at > PART_PAGES ? at + PART_PAGES : end;
		l->parts[l->n_parts++] = (struct part){ s, at, stop };
		at = stop;
	}
}

enum gb_plan_result pixel_list_pages(const struct pixel_job *job, struct pixel_uses *uses,
				     struct pixel_own *o)
{
	struct listing l = { .space = job->space, .uses = uses, .own = o };
	enum gb_plan_result placed = place_streams(job->plan, o);
	if (placed != GB_PLAN_GO)
		return placed;
	for (uint32_t i = 0; i < job->plan->n_streams; i++)
		add_parts(&l, &o->stream[i]);
	if (o->n_pages > PIXEL_FEW_PAGES)
		crew_do(list_part, &l, l.n_parts);
	for (uint32_t i = 0; o->n_pages <= PIXEL_FEW_PAGES && i < l.n_parts; i++)
		list_part(&l, i);
	return (enum gb_plan_result)l.result;
}
