#include "test.h"

#include <stdio.h>
#include <string.h>

#include "guest/program_elf.h"

/* Where the functions of the seeds are in the file. */
enum { SECOND = 0x250, FIRST = 0x254, THIRD = 0x258 };

/* The seeds are one library of three functions: with all its symbols, and without sections, so
 * that only the dynamic segment tells of the two exported ones. */
static struct program_elf *read_seed(const char *name, size_t missing_from)
{
	char path[512];
	static uint8_t bytes[1 << 14];
	struct program_elf *elf = NULL;
	snprintf(path, sizeof(path), SEEDS "/elf/%s", name);
	AUTO(own_file) FILE *file = fopen(path, "rb");
	assert_non_null(file);
	size_t n = fread(bytes, 1, sizeof(bytes), file);
	if (missing_from < n)
		memset(bytes + missing_from, 0, n - missing_from);
	assert_ok(program_elf_read(bytes, n, &elf));
	return elf;
}

static const char *name_at(struct program_elf *elf, uint64_t offset, uint64_t *into)
{
	struct symbol symbol;
	return program_elf_symbol(elf, offset, &symbol, into) ? symbol.name : NULL;
}

static void all_symbols_are_read(void **state)
{
	AUTO(own_program_elf) struct program_elf *elf = read_seed("library.so", SIZE_MAX);
	uint64_t into;
	assert_string_equal(name_at(elf, FIRST, &into), "first");
	assert_int_equal(into, 0);
	assert_string_equal(name_at(elf, SECOND + 2, &into), "second");
	assert_int_equal(into, 2);
	assert_string_equal(name_at(elf, THIRD, &into), "third");
	assert_null(name_at(elf, 1 << 20, &into));
}

static void the_dynamic_segment_names_exported_ones(void **state)
{
	AUTO(own_program_elf) struct program_elf *elf = read_seed("no-sections.so", SIZE_MAX);
	uint64_t into;
	assert_string_equal(name_at(elf, FIRST, &into), "first");
	assert_string_equal(name_at(elf, THIRD, &into), "third");
	assert_int_equal(into, 0);
}

static void missing_pages_give_fewer_names(void **state)
{
	AUTO(own_program_elf) struct program_elf *elf = read_seed("library.so", 4096);
	uint64_t into;
	assert_string_equal(name_at(elf, THIRD, &into), "third");
}

static void what_is_no_program_is_refused(void **state)
{
	uint8_t bytes[64] = "not an ELF file";
	struct program_elf *elf = NULL;
	assert_error(program_elf_read(bytes, sizeof(bytes), &elf), ERR_BAD_DATA);
	assert_error(program_elf_read(bytes, 0, &elf), ERR_BAD_DATA);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_symbols_are_read),
		cmocka_unit_test(the_dynamic_segment_names_exported_ones),
		cmocka_unit_test(missing_pages_give_fewer_names),
		cmocka_unit_test(what_is_no_program_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
