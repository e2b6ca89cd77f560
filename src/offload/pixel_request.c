#include "offload/pixel_request.h"

#include <stddef.h>

#include "mcode/program.h"
#include "plugin/pixel.h"

/* Of iterations before a request's, so that addresses stay within 128 bits. */
static const uint64_t MOST_FIRST = UINT64_C(1) << 62;

/* False: no instruction, or a jump back. */
static bool decode_forward(const struct mcode_code *code, uint32_t at, struct mcode_insn *ret)
{
	return mcode_decode(code->pixels, code->count, at, ret, NULL) &&
	       !(mcode_is_jump(ret->op) && ret->imm <= at);
}

static bool is_store(const struct mcode_insn *insn)
{
	return insn->op == MCODE_ST || insn->op == MCODE_STC || insn->op == MCODE_STX;
}

/* Marks the bytes of the stream's window that plain stores write, which no jump goes over.
 * False: something else does. */
static bool note_stores(const struct mcode_kernel *kernel, uint32_t s, uint8_t *written)
{
	const struct mcode_code *code = &kernel->code[MCODE_BODY];
	const struct mcode_stream *stream = &kernel->streams[s];
	struct mcode_insn insn;
	uint64_t landed = 0; /* all ways come by from this pixel on */
	for (uint32_t at = 0; at < code->count; at += insn.n_pixels) {
		if (!decode_forward(code, at, &insn))
			return false;
		if (mcode_is_jump(insn.op) && insn.imm > landed)
			landed = insn.imm;
		if (insn.op == MCODE_HALT)
			return at >= landed;
		if (!is_store(&insn) || insn.rs1 != s)
			continue;
		if (at < landed)
			return false;
		int64_t from = (int64_t)insn.imm - stream->low;
		int64_t bytes = mcode_width_bits(insn.width_code) / 8;
		if (insn.op != MCODE_ST || from < 0 ||
		    from + bytes > stream->high - stream->low)
			return false;
		for (int64_t i = 0; i < bytes; i++)
			written[from + i] = 1;
	}
	return true;
}

static bool writes_all(const struct mcode_kernel *kernel, uint32_t s)
{
	const struct mcode_stream *stream = &kernel->streams[s];
	uint8_t written[GB_KERNEL_MAX_WIDTH] = { 0 };
	int64_t width = (int64_t)stream->high - stream->low;
	if ((stream->flags & MCODE_STREAM_REGION) || width <= 0 || width > GB_KERNEL_MAX_WIDTH)
		return false;
	if (stream->stride_slot == MCODE_NO_SLOT && stream->stride != width &&
	    stream->stride != -width)
		return false;
	if (!note_stores(kernel, s, written))
		return false;
	for (int64_t i = 0; i < width; i++)
		if (!written[i])
			return false;
	return true;
}

bool pixel_kernel_suits(const struct mcode_kernel *kernel)
{
	if (kernel->serial)
		return false;
	for (uint32_t s = 0; s < kernel->n_streams; s++)
		if ((kernel->streams[s].flags & MCODE_STREAM_WRITE) && !writes_all(kernel, s))
			return false;
	return kernel->n_streams > 0 && kernel->n_streams <= GB_KERNEL_MAX_STREAMS;
}

bool pixel_kernel_loads_first(const struct mcode_kernel *kernel)
{
	const struct mcode_code *code = &kernel->code[MCODE_BODY];
	bool stored[MCODE_MAX_STREAMS] = { false };
	struct mcode_insn insn;
	for (uint32_t at = 0; at < code->count; at += insn.n_pixels) {
		if (!decode_forward(code, at, &insn))
			return false;
		bool loads = insn.op == MCODE_LD || insn.op == MCODE_LDX;
		if (loads && stored[insn.rs1])
			return false;
		if (is_store(&insn))
			stored[insn.rs1] = true;
	}
	return true;
}

/* Whether [low, high) from the stream's addresses of the request's iterations lie in its pages.
 */
static bool covers(const struct mcode_kernel *kernel, uint32_t s, const uint64_t *slots,
		   const struct gb_pixel_request *request)
{
	const struct mcode_stream *stream = &kernel->streams[s];
	const struct gb_pixel_stream *listed = &request->stream[s];
	__int128 base = slots[stream->base_slot], first = listed->gva;
	__int128 end = first + (__int128)listed->n_pages * GB_PAGE;
	if (stream->flags & MCODE_STREAM_REGION)
		return base >= first && base + slots[stream->length_slot] <= end;
	__int128 stride = stream->stride_slot == MCODE_NO_SLOT
				  ? stream->stride
				  : (int64_t)slots[stream->stride_slot];
	__int128 start = base + stride * (__int128)request->first;
	__int128 last = start + stride * (__int128)(request->n - 1);
	__int128 least = start < last ? start : last, most = start < last ? last : start;
	return least + stream->low >= first && most + stream->high <= end;
}

static const char *stream_refusal(const struct mcode_kernel *kernel,
				  const struct gb_pixel_request *request, uint32_t s,
				  const uint64_t *slots)
{
	const struct gb_pixel_stream *listed = &request->stream[s];
	bool writes = kernel->streams[s].flags & MCODE_STREAM_WRITE;
	if (listed->gva % GB_PAGE || listed->n_pages > GB_PIXEL_PAGES ||
	    listed->gva > UINT64_MAX - GB_PIXEL_PAGES * (uint64_t)GB_PAGE)
		return "a stream's pages are no pages";
	if (listed->first > request->n_pages ||
	    listed->n_pages > request->n_pages - listed->first)
		return "a stream's pages are not listed";
	if (writes != (listed->write != 0))
		return "a stream's direction is wrong";
	if (writes && (listed->data_page > GB_PIXEL_DATA_PAGES ||
		       listed->n_pages > GB_PIXEL_DATA_PAGES - listed->data_page))
		return "no room for what a stream writes";
	return covers(kernel, s, slots, request) ? NULL : "a stream leaves its pages";
}

const char *pixel_request_refusal(const struct mcode_kernel *kernel,
				  const struct gb_pixel_request *request, const uint32_t *pages,
				  const uint64_t *slots, uint64_t ram_pages)
{
	if (request->n_streams != kernel->n_streams)
		return "not this kernel's streams";
	uint64_t trip = slots[kernel->trip_slot];
	if (!request->n || request->n >= 1u << 31 || request->first >= MOST_FIRST ||
	    request->first >= trip || request->n >= trip - request->first)
		return "more iterations than the loop has";
	if (request->n_pages > GB_PIXEL_PAGES)
		return "too many pages";
	for (uint32_t i = 0; i < request->n_pages; i++)
		if (pages[i] >= ram_pages)
			return "a page outside RAM";
	for (uint32_t s = 0; s < kernel->n_streams; s++) {
		const char *why = stream_refusal(kernel, request, s, slots);
		if (why)
			return why;
	}
	return NULL;
}
