#include "trace/blocks.h"

#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "plugin/control.h"

static void check_block(const struct trace_blocks *blocks, const struct gb_block *raw,
			struct trace_block *ret)
{
	*ret = (struct trace_block){
		.gva = raw->gva,
		.gpa = raw->gpa,
		.cr3 = raw->cr3,
		.n_insns = raw->n_insns,
		.flags = raw->flags,
	};
	if (!raw->n_bytes || !range_fits(raw->code_offset, raw->n_bytes, blocks->code_bytes))
		return;
	if (raw->gva + raw->n_bytes < raw->gva)
		return;
	ret->bytes = blocks->code + raw->code_offset;
	ret->n_bytes = raw->n_bytes;
}

struct error *trace_blocks_create(const struct gb_block *raw, uint32_t n, const uint8_t *code,
				  uint64_t code_bytes, struct trace_blocks **ret)
{
	AUTO(own_trace_blocks) struct trace_blocks *blocks = NULL;
	TRY(error_alloc(1, sizeof(*blocks), &blocks));
	TRY(error_alloc(n ? n : 1, sizeof(*blocks->items), &blocks->items));
	TRY(error_alloc(code_bytes ? code_bytes : 1, 1, &blocks->code));
	blocks->count = n;
	blocks->code_bytes = code_bytes;
	if (code_bytes)
		memcpy(blocks->code, code, code_bytes);
	for (uint32_t i = 0; i < n; i++) {
		struct gb_block copy;
		memcpy(&copy, &raw[i], sizeof(copy));
		check_block(blocks, &copy, &blocks->items[i]);
	}
	*ret = TAKE(blocks);
	return NULL;
}

void trace_blocks_destroy(struct trace_blocks *blocks)
{
	if (!blocks)
		return;
	free(blocks->items);
	free(blocks->code);
	free(blocks);
}
