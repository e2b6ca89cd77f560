/* The dump readers' layout functions on any bytes. A piece must lie in the file. */
#include "base/error.h"
#include "vm/dump.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void try_format(const struct dump_format *format, const uint8_t *bytes, size_t size)
{
	struct dump_layout layout = { 0 };
	if (format->probe(bytes, size))
		error_destroy(format->layout(bytes, size, &layout));
	for (size_t i = 0; i < layout.pieces.count; i++) {
		const struct dump_piece *piece = &layout.pieces.items[i];
		if (piece->file_offset != DUMP_ZERO)
			CHECK(piece->file_offset <= size &&
			      piece->size_bytes <= size - piece->file_offset);
	}
	VEC_FREE(&layout.pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	try_format(&dump_lime, bytes, size);
	try_format(&dump_elf, bytes, size);
	try_format(&dump_snapshot, bytes, size);
	return 0;
}
