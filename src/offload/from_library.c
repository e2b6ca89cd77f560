#include "offload/from_library.h"

#include <string.h>

#include "base/error.h"
#include "learn/library.h"
#include "mcode/native.h"
#include "mcode/program.h"
#include "offload/slots.h"

OWN_DECLARE(own_json, json_t *, json_decref)

static uint64_t hex_field(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));
	return text ? strtoull(text, NULL, 0) : 0;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Bytes of a hex string; 0 when it is none or too long. */
static uint32_t hex_bytes(const char *text, uint8_t *to, size_t capacity)
{
	uint32_t n = 0;
	for (; text && text[0] && text[1]; text += 2, n++) {
		int high = hex_digit(text[0]), low = hex_digit(text[1]);
		if (high < 0 || low < 0 || n == capacity)
			return 0;
		to[n] = (uint8_t)(high << 4 | low);
	}
	return n;
}

static struct error *put_document(struct trace_source *source, const json_t *doc,
				  const char *id, size_t *n_ret)
{
	AUTO(own_mcode_kernel) struct mcode_kernel *kernel = NULL;
	struct mcode_image image = { 0 };
	uint8_t loop[GB_KERNEL_MAX_LOOP_BYTES];
	const json_t *code = json_object_get(doc, "code");
	struct offload_kernel k = { .id = offload_short_id(id), .loop = loop, .image = &image };
	k.loop_bytes = hex_bytes(json_string_value(json_object_get(code, "bytes")), loop,
				 sizeof(loop));
	k.head_offset = (uint32_t)json_integer_value(json_object_get(code, "head_offset"));
	k.n_insns = (uint32_t)json_integer_value(json_object_get(code, "instructions"));
	if (json_is_true(json_object_get(code, "position_dependent")))
		k.gva = hex_field(code, "base") + k.head_offset;
	if (!k.loop_bytes)
		return error_create(ERR_BAD_DATA, "no code bytes");
	TRY(library_kernel(doc, &kernel));
	TRY(mcode_native_get(kernel, MCODE_NATIVE_HOST, &image));
	struct error *err = offload_put(source, &k, 1, n_ret);
	mcode_image_free(&image);
	return err;
}

static bool in_slot_already(struct trace_source *source, uint64_t id)
{
	for (unsigned i = 0; i < GB_KERNEL_SLOTS; i++) {
		struct gb_kernel slot;
		bool used = false;
		struct error *err = offload_slot(source, i, &slot, &used);
		error_destroy(err);
		if (!err && used && slot.id == id)
			return true;
	}
	return false;
}

static struct error *put_row(struct trace_source *source, struct library *library,
			     const char *id, size_t *n_ret)
{
	AUTO(own_json) json_t *doc = NULL;
	if (in_slot_already(source, offload_short_id(id)))
		return NULL;
	TRY(library_load(library, id, &doc));
	return put_document(source, doc, id, n_ret);
}

struct error *offload_put_library(struct trace_source *source, struct library *library,
				  size_t *n_ret, json_t **left_out_ret)
{
	AUTO(own_json) json_t *rows = NULL, *left_out = json_array();
	TRY(offload_put(source, NULL, 0, n_ret));
	TRY(library_list(library, &rows));
	for (size_t i = 0; i < json_array_size(rows); i++) {
		const char *id =
			json_string_value(json_object_get(json_array_get(rows, i), "id"));
		struct error *err = id ? put_row(source, library, id, n_ret) : NULL;
		if (err)
			json_array_append_new(left_out,
					      json_pack("{s:s, s:s}", "id", id, "reason",
							error_message(err)));
		error_destroy(err);
	}
	*left_out_ret = TAKE(left_out);
	return NULL;
}
