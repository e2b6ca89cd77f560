/* The memory of a request to the Pixel CPU service: which pages its streams touch, whether they
 * are ready. Thread: the vCPU's, inside a callback. */
#ifndef PLUGIN_PIXEL_PAGES_H
#define PLUGIN_PIXEL_PAGES_H
#include "pixel.h"
#include "pixel_run.h"

enum { PIXEL_FEW_PAGES = 512 }; /* of a request: no other thread is asked to help */

/* Our own side of a request, since others can write the file. Belongs to the vCPU that holds
 * the request. */
struct pixel_own {
	uint32_t pages[GB_PIXEL_PAGES];
	uint32_t n_pages, n_data_pages;
	struct gb_pixel_stream stream[GB_KERNEL_MAX_STREAMS];
	uint64_t first, n; /* iterations: of the run before it, and its own */
	uint32_t answered; /* the request's count of answers before it was asked */
};

/* Which addresses a run used each page of RAM under. One for each run under way. */
struct pixel_uses {
	uint64_t *of_page; /* run << 46 | page of guest addresses << 1 | written */
	uint32_t run;
};

/* Whether a written stream shares a byte with another one within n iterations, or wraps. */
bool pixel_streams_meet(const struct gb_plan *plan, uint64_t n);

/* [*start, *end) of guest addresses that n iterations from `first` on touch. False: it wraps.
 */
bool pixel_extent(const struct gb_stream *s, uint64_t first, uint64_t n, uint64_t *start,
		  uint64_t *end);

/* Iterations whose pages fit into one request. */
uint64_t pixel_most_at_once(const struct gb_plan *plan);

/* A new run; false: no memory. */
bool pixel_uses_begin(struct pixel_uses *uses);

/* Fills in o's pages and streams for its iterations; GO, or what is not ready. */
enum gb_plan_result pixel_list_pages(const struct pixel_job *job, struct pixel_uses *uses,
				     struct pixel_own *o);
#endif
