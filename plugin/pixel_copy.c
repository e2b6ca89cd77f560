/* Page by page through QEMU's own mapping of RAM, so that dirty tracking sees it. Whole pages
 * of much data go past the caches: nobody reads them soon, and the lines that they replace need
 * not be read first. */
#include "pixel_copy.h"

#include <emmintrin.h>
#include <string.h>
#include <unistd.h>

#include "crew.h"

enum {
	PROCESSORS_EACH = 2, /* for each thread that copies: the vCPU's and the helpers */
	MOST_HELPERS = 7,
	PIECE_BYTES = 64 * 1024, /* what one thread takes at once */
	MOST_PIECES = GB_PIXEL_DATA_PAGES * GB_PAGE / PIECE_BYTES + 2 * GB_KERNEL_MAX_STREAMS,
	MUCH_BYTES = 1 << 20,
};

/* Pages of one stream, [at, end) of guest addresses. */
struct piece {
	const uint8_t *data; /* the stream's copies */
	const struct gb_pixel_stream *stream;
	uint64_t at, end;
};

struct pieces {
	const struct pixel_own *own;
	bool much;
	uint32_t n;
	struct piece items[MOST_PIECES];
};

void pixel_copy_open(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN) / PROCESSORS_EACH - 1;
	crew_start(n < 0 ? 0 : n < MOST_HELPERS ? (unsigned)n : MOST_HELPERS);
}

/* The bytes of written streams that `done` iterations stored. */
static void list_pieces(const struct gb_plan *plan, const uint8_t *data, uint64_t done,
			struct pieces *ret)
{
	uint64_t all = 0, at, end;
	for (uint32_t i = 0; i < plan->n_streams; i++) {
		const struct gb_pixel_stream *p = &ret->own->stream[i];
		if (!p->write ||
		    !pixel_extent(&plan->stream[i], ret->own->first, done, &at, &end))
			continue;
		all += end - at;
		while (at < end) {
			uint64_t stop = (at / PIECE_BYTES + 1) * PIECE_BYTES;
			stop = stop < end ? stop : end;
			ret->items[ret->n++] =
				(struct piece){ data + p->data_page * (uint64_t)GB_PAGE, p, at,
						stop };
			at = stop;
		}
	}
	ret->much = all >= MUCH_BYTES;
}

static void copy_page(uint8_t *to, const uint8_t *from)
{
	for (unsigned i = 0; i < GB_PAGE; i += 64) {
		const __m128i *f = (const __m128i *)(const void *)(from + i);
		__m128i *t = (__m128i *)(void *)(to + i);
		__m128i a = _mm_load_si128(f), b = _mm_load_si128(f + 1);
		__m128i c = _mm_load_si128(f + 2), d = _mm_load_si128(f + 3);
		_mm_stream_si128(t, a);
		_mm_stream_si128(t + 1, b);
		_mm_stream_si128(t + 2, c);
		_mm_stream_si128(t + 3, d);
	}
}

/* Without `for_real` only looks whether all may be written. */
static bool do_piece(const struct pieces *all, const struct piece *p, bool for_real)
{
	for (uint64_t at = p->at; at < p->end;) {
		uint64_t index = (at - p->stream->gva) / GB_PAGE, inside = at % GB_PAGE;
		uint64_t page = all->own->pages[p->stream->first + index];
		uint64_t n = GB_PAGE - inside < p->end - at ? GB_PAGE - inside : p->end - at;
		uint8_t *to = plugin.ram.host + page * GB_PAGE + inside;
		const uint8_t *from = p->data + index * GB_PAGE + inside;
		if (code_pages_hold(page * GB_PAGE))
			return false;
		if (for_real && all->much && n == GB_PAGE)
			copy_page(to, from);
		else if (for_real)
			memcpy(to, from, n);
		at += n;
	}
	return true;
}

static void copy_piece(void *arg, uint32_t i)
{
	const struct pieces *all = arg;
	do_piece(all, &all->items[i], true);
	_mm_sfence(); /* before the crew counts it as done */
}

bool pixel_copy(const struct gb_plan *plan, const struct pixel_own *o, const uint8_t *data,
		uint64_t done)
{
	struct pieces pieces;
	pieces.own = o;
	pieces.n = 0;
	list_pieces(plan, data, done, &pieces);
	for (uint32_t i = 0; i < pieces.n; i++)
		if (!do_piece(&pieces, &pieces.items[i], false))
			return false;
	crew_do(copy_piece, &pieces, pieces.n);
	return true;
}
