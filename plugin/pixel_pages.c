/* Every page of every stream is looked up and must be ready, as for a native chunk. One
 * physical page under two addresses, one of them written, is refused: proofs speak of
 * addresses. That goes for a whole run, since a later request reads while an earlier one's
 * bytes are still on their way into the guest. */
#include "pixel_pages.h"

#include <stdlib.h>
#include <string.h>

enum {
	MOST_RUNS = 1 << 18, /* then the numbers begin anew */
	RUN_SHIFT = 46,
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

uint64_t pixel_bytes_each(const struct gb_plan *plan)
{
	uint64_t bytes = 0;
	for (uint32_t i = 0; i < plan->n_streams; i++)
		bytes += distance(&plan->stream[i]);
	return bytes ? bytes : 1;
}

bool pixel_uses_begin(struct pixel_uses *uses)
{
	uint64_t n = plugin.ram.bytes / GB_PAGE + 1;
	if (!uses->of_page)
		uses->of_page = calloc(n, sizeof(*uses->of_page));
	if (!uses->of_page)
		return false;
	if (++uses->run == MOST_RUNS) {
		memset(uses->of_page, 0, n * sizeof(*uses->of_page));
		uses->run = 1;
	}
	return true;
}

/* A page that this run writes must not come under two addresses. */
static bool note_use(struct pixel_uses *uses, uint32_t page, uint64_t gva, bool write)
{
	uint64_t *use = &uses->of_page[page], last = *use;
	uint64_t now =
		(uint64_t)uses->run << RUN_SHIFT | (gva / GB_PAGE & PAGE_MASK) << 1 | write;
	if (last >> RUN_SHIFT == uses->run) {
		bool other = last >> 1 != now >> 1;
		if (other && (write || (last & 1)))
			return false;
		now |= other ? PAGE_MASK << 1 : last & 1; /* read only, from now on */
	}
	*use = now;
	return true;
}

static enum gb_plan_result list_page(const struct pixel_job *job, struct pixel_uses *uses,
				     struct pixel_own *o, uint64_t gva, bool write)
{
	uint64_t offset;
	enum gb_plan_result ready = walk_ready(job->space, gva, write, &offset);
	if (ready != GB_PLAN_GO)
		return ready;
	if (write && code_pages_hold(offset))
		return GB_PLAN_CODE;
	if (o->n_pages == GB_PIXEL_PAGES || (write && o->n_data_pages == GB_PIXEL_DATA_PAGES))
		return GB_PLAN_BAD;
	o->pages[o->n_pages] = (uint32_t)(offset / GB_PAGE);
	if (!note_use(uses, o->pages[o->n_pages], gva, write))
		return GB_PLAN_OVERLAP;
	o->n_pages++;
	o->n_data_pages += write;
	return GB_PLAN_GO;
}

enum gb_plan_result pixel_list_pages(const struct pixel_job *job, struct pixel_uses *uses,
				     struct pixel_own *o)
{
	uint64_t start, end;
	o->n_pages = o->n_data_pages = 0;
	for (uint32_t i = 0; i < job->plan->n_streams; i++) {
		const struct gb_stream *s = &job->plan->stream[i];
		if (!pixel_extent(s, o->first, o->n, &start, &end))
			return GB_PLAN_WRAP;
		start &= ~(uint64_t)(GB_PAGE - 1);
		o->stream[i] = (struct gb_pixel_stream){ .gva = start,
							 .first = o->n_pages,
							 .data_page = o->n_data_pages,
							 .write = s->write };
		for (uint64_t gva = start; gva < end; gva += GB_PAGE) {
			enum gb_plan_result ready = list_page(job, uses, o, gva, s->write);
			if (ready != GB_PLAN_GO)
				return ready;
		}
		o->stream[i].n_pages = o->n_pages - o->stream[i].first;
	}
	return GB_PLAN_GO;
}
