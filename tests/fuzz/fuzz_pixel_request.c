/* Any bytes as a request to the Pixel CPU service, for a kernel that writes, one with a table
 * and one with a stride from a register: refused, or every access of its first, last and middle
 * iterations lies in the pages that it lists. */
#include "base/error.h"
#include "mcode/interp.h"
#include "mcode/program.h"
#include "mcode/sample.h"
#include "mcode/text.h"
#include "offload/pixel_request.h"
#include "plugin/pixel.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { RAM_PAGES = 1000 };

/* Address of byte `at` of a stream in iteration k lies in listed pages that are inside RAM. */
static void check_access(const struct mcode_kernel *kernel, const struct gb_pixel_request *r,
			 const uint32_t *pages, const uint64_t *slots, uint32_t s, uint64_t k)
{
	const struct mcode_stream *stream = &kernel->streams[s];
	bool region = stream->flags & MCODE_STREAM_REGION;
	uint64_t stride = stream->stride_slot == MCODE_NO_SLOT ? (uint64_t)stream->stride
							       : slots[stream->stride_slot];
	uint64_t base = slots[stream->base_slot] + (region ? 0 : stride * k);
	uint64_t first = base + (uint64_t)(int64_t)stream->low;
	uint64_t bytes = region ? slots[stream->length_slot]
				: (uint64_t)((int64_t)stream->high - stream->low);
	if (!bytes)
		return;
	for (int end = 0; end < 2; end++) {
		uint64_t page = (first + (end ? bytes - 1 : 0) - r->stream[s].gva) / GB_PAGE;
		CHECK(page < r->stream[s].n_pages);
		CHECK(pages[r->stream[s].first + page] < RAM_PAGES);
		if (stream->flags & MCODE_STREAM_WRITE)
			CHECK(r->stream[s].data_page + page < GB_PIXEL_DATA_PAGES);
	}
}

/* Brings wild numbers near each other, so that many requests are good ones. */
static void tame(const struct mcode_kernel *kernel, struct gb_pixel_request *r, uint64_t *guest)
{
	for (unsigned i = 0; i < 16; i++)
		guest[i] %= 1 << 16;
	guest[MCODE_RCX] %= 1 << 12;
	r->n %= 1 << 12;
	r->first %= 1 << 12;
	r->n_streams = kernel->n_streams;
	r->n_pages %= 256;
	for (unsigned i = 0; i < GB_KERNEL_MAX_STREAMS; i++) {
		r->stream[i].gva = r->stream[i].gva % 16 * GB_PAGE;
		r->stream[i].n_pages %= 32;
		r->stream[i].first %= 64;
		r->stream[i].data_page %= GB_PIXEL_DATA_PAGES;
		r->stream[i].write = kernel->streams[i].flags & MCODE_STREAM_WRITE;
	}
}

static void take(const uint8_t **bytes, size_t *size, void *to, size_t wanted)
{
	size_t n = *size < wanted ? *size : wanted;
	memset(to, 0, wanted);
	memcpy(to, *bytes, n);
	*bytes += n;
	*size -= n;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct gb_pixel_request r;
	static uint32_t pages[GB_PIXEL_PAGES];
	uint64_t guest[MCODE_GUEST_REGS], slots[MCODE_SLOTS];
	uint8_t choice;
	unsigned n_samples = 0;
	AUTO(own_mcode_kernel) struct mcode_kernel *kernel = NULL;
	AUTO(own_mcode_interp) struct mcode_interp *interp = NULL;
	while (mcode_samples[n_samples].name)
		n_samples++;
	take(&bytes, &size, &choice, 1);
	const char *text = mcode_samples[(choice & 127) % n_samples].text;
	CHECK(!mcode_assemble(text, strlen(text), &kernel));
	CHECK(!mcode_interp_create(kernel, &interp));
	take(&bytes, &size, guest, sizeof(guest));
	take(&bytes, &size, &r, sizeof(r));
	take(&bytes, &size, pages, sizeof(pages));
	if (choice & 128)
		tame(kernel, &r, guest);
	mcode_interp_setup(interp, guest, slots);
	pixel_kernel_suits(kernel);
	if (pixel_request_refusal(kernel, &r, pages, slots, RAM_PAGES))
		return 0;
	for (uint32_t s = 0; s < kernel->n_streams; s++) {
		check_access(kernel, &r, pages, slots, s, r.first);
		check_access(kernel, &r, pages, slots, s, r.first + r.n / 2);
		check_access(kernel, &r, pages, slots, s, r.first + r.n - 1);
	}
	return 0;
}
