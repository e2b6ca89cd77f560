/* Any bytes as a program's file: refused, or searched for symbols without reading outside. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "guest/program_elf.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	AUTO(own_program_elf) struct program_elf *elf = NULL;
	uint8_t *copy = malloc(size ? size : 1);
	CHECK(copy);
	memcpy(copy, bytes, size);
	struct error *err = program_elf_read(copy, size, &elf);
	free(copy);
	error_destroy(err);
	for (uint64_t at = 0; !err && at < size + 64; at += 16) {
		struct symbol symbol;
		uint64_t into;
		if (program_elf_symbol(elf, at, &symbol, &into))
			CHECK(symbol.name[0]);
	}
	return 0;
}
