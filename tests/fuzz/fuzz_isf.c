/* The reader of ISF files on any bytes; what it accepts must be usable. */
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "guest/btf.h"
#include "guest/isf_read.h"
#include "guest/symtab.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct symtab *symbols = NULL;
	struct btf *types = NULL;
	struct btf_place place;
	struct error *err = isf_read((const char *)bytes, size, &symbols, &types);
	if (err) {
		error_destroy(err);
		return 0;
	}
	CHECK(symtab_count(symbols) > 0);
	for (uint32_t id = 0; id < btf_count(types); id++) {
		btf_size(types, id);
		btf_place(types, id, "comm", &place);
	}
	symtab_destroy(symbols);
	btf_destroy(types);
	return 0;
}
