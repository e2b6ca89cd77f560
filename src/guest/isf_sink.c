#include "guest/isf_sink.h"

#include <lzma.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/out_file.h"

enum { BUFFER_BYTES = 1 << 16, XZ_LEVEL = 1 };

struct isf_sink {
	struct out_file *file;
	bool is_xz;
	lzma_stream lzma;
	uint64_t total_bytes;
	size_t used;
	struct error *err; /* the first failure */
	char buffer[BUFFER_BYTES];
	uint8_t packed[BUFFER_BYTES];
};

struct error *isf_sink_create(const char *path, struct isf_sink **ret)
{
	AUTO(own_isf_sink) struct isf_sink *sink = NULL;
	size_t length = strlen(path);
	TRY(error_alloc(1, sizeof(*sink), &sink));
	sink->lzma = (lzma_stream)LZMA_STREAM_INIT;
	sink->is_xz = length > 3 && !strcmp(path + length - 3, ".xz");
	if (sink->is_xz &&
	    lzma_easy_encoder(&sink->lzma, XZ_LEVEL, LZMA_CHECK_CRC64) != LZMA_OK)
		return error_create(ERR_MEMORY, "no memory for compression");
	TRY(out_file_create(path, &sink->file));
	*ret = TAKE(sink);
	return NULL;
}

void isf_sink_destroy(struct isf_sink *sink)
{
	if (!sink)
		return;
	lzma_end(&sink->lzma);
	out_file_destroy(sink->file);
	error_destroy(sink->err);
	free(sink);
}

static struct error *pack(struct isf_sink *sink, lzma_action action)
{
	lzma_ret status = LZMA_OK;
	sink->lzma.next_in = (const uint8_t *)sink->buffer;
	sink->lzma.avail_in = sink->used;
	do {
		sink->lzma.next_out = sink->packed;
		sink->lzma.avail_out = sizeof(sink->packed);
		status = lzma_code(&sink->lzma, action);
		if (status != LZMA_OK && status != LZMA_STREAM_END)
			return error_create(ERR_MEMORY, "compression failed (%d)", (int)status);
		TRY(out_file_write(sink->file, sink->packed,
				   sizeof(sink->packed) - sink->lzma.avail_out));
	} while (sink->lzma.avail_in || (action == LZMA_FINISH && status != LZMA_STREAM_END));
	return NULL;
}

static void flush(struct isf_sink *sink, bool last)
{
	if (sink->err)
		return;
	sink->total_bytes += sink->used;
	if (sink->is_xz)
		sink->err = pack(sink, last ? LZMA_FINISH : LZMA_RUN);
	else
		sink->err = out_file_write(sink->file, sink->buffer, sink->used);
	sink->used = 0;
}

static void put(struct isf_sink *sink, const char *text, size_t length)
{
	while (length) {
		size_t part = BUFFER_BYTES - sink->used;
		part = length < part ? length : part;
		memcpy(sink->buffer + sink->used, text, part);
		sink->used += part;
		text += part;
		length -= part;
		if (sink->used == BUFFER_BYTES)
			flush(sink, false);
		if (sink->err)
			sink->used = 0;
	}
}

void isf_put_text(struct isf_sink *sink, const char *text)
{
	put(sink, text, strlen(text));
}

void isf_put_format(struct isf_sink *sink, const char *format, ...)
{
	char text[512];
	va_list args;
	va_start(args, format);
	int length = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	CHECK(length >= 0 && (size_t)length < sizeof(text));
	put(sink, text, (size_t)length);
}

void isf_put_string(struct isf_sink *sink, const char *text)
{
	put(sink, "\"", 1);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		if (c == '"' || c == '\\' || c < 32 || c >= 127)
			isf_put_format(sink, "\\u%04x", c);
		else
			put(sink, text, 1);
	}
	put(sink, "\"", 1);
}

void isf_put_base64(struct isf_sink *sink, const void *bytes, size_t length_bytes)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *at = bytes;
	for (size_t i = 0; i < length_bytes; i += 3) {
		size_t left = length_bytes - i;
		uint32_t group = (uint32_t)at[i] << 16 |
				 (left > 1 ? (uint32_t)at[i + 1] << 8 : 0) |
				 (left > 2 ? at[i + 2] : 0);
		char four[4] = { digits[group >> 18], digits[group >> 12 & 63],
				 left > 1 ? digits[group >> 6 & 63] : '=',
				 left > 2 ? digits[group & 63] : '=' };
		put(sink, four, 4);
	}
}

struct error *isf_sink_finish(struct isf_sink *sink, uint64_t *bytes_ret)
{
	flush(sink, true);
	if (sink->err)
		return TAKE(sink->err);
	*bytes_ret = sink->total_bytes;
	return out_file_commit(sink->file);
}
