#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest/btf.h"
#include "guest/isf_read.h"
#include "guest/json_scan.h"
#include "guest/symbols_file.h"
#include "guest/symtab.h"

static char *seed;
static size_t seed_length;

static int load_seed(void **state)
{
	FILE *file = fopen(SEEDS "/isf/small.json", "rb");
	seed = calloc(1, 1 << 16);
	if (!file || !seed)
		return -1;
	seed_length = fread(seed, 1, 1 << 16, file);
	fclose(file);
	return 0;
}

static int free_seed(void **state)
{
	free(seed);
	return 0;
}

static void check_place(struct btf *types, const char *path, uint64_t bit_offset,
			uint32_t bit_size, uint32_t size_bytes)
{
	struct btf_place place;
	assert_true(btf_place(types, btf_find(types, "struct task"), path, &place));
	assert_int_equal(place.bit_offset, bit_offset);
	assert_int_equal(place.bit_size, bit_size);
	assert_int_equal(place.size_bytes, size_bytes);
}

static void fields_and_symbols_come_through(void **state)
{
	struct symtab *symbols = NULL;
	struct btf *types = NULL;
	uint64_t address;
	int64_t value;
	assert_ok(isf_read(seed, seed_length, &symbols, &types));
	assert_true(symtab_find(symbols, "init_task", &address));
	assert_true(address == 18446744071606217280ull);
	assert_int_equal(symtab_count(symbols), 3);
	assert_int_equal(btf_size(types, btf_find(types, "struct task")), 64);
	check_place(types, "pid", 64, 0, 4);
	check_place(types, "next", 128, 0, 8);
	check_place(types, "comm", 192, 0, 16);
	check_place(types, "flag_a", 35, 2, 4);
	check_place(types, "b", 352, 0, 4); /* inside the unnamed union */
	assert_true(btf_enumerator(types, "RUN", &value));
	assert_int_equal(value, 5);
	assert_true(btf_enumerator(types, "LOST", &value));
	assert_int_equal(value, -1);
	symtab_destroy(symbols);
	btf_destroy(types);
}

static void every_cut_is_an_error_not_a_crash(void **state)
{
	for (size_t length = 0; length < seed_length - 4; length += 7) {
		struct symtab *symbols = NULL;
		struct btf *types = NULL;
		assert_error(isf_read(seed, length, &symbols, &types), ERR_BAD_DATA);
	}
}

static void numbers_have_64_bits(void **state)
{
	struct json_scan scan;
	uint64_t value = 0;
	const char *text = "[18446744073709551615, -5, 1.5e3, 18446744073709551616]";
	json_scan_init(&scan, text, strlen(text));
	assert_true(json_scan_open(&scan, '['));
	assert_true(json_scan_item(&scan) && json_scan_number(&scan, &value));
	assert_true(value == UINT64_MAX);
	assert_true(json_scan_item(&scan) && json_scan_number(&scan, &value));
	assert_int_equal((int64_t)value, -5);
	assert_true(json_scan_item(&scan) && json_scan_number(&scan, &value));
	assert_int_equal(value, 1);
	assert_true(json_scan_item(&scan));
	assert_false(json_scan_number(&scan, &value));
	json_scan_deinit(&scan);
}

static void nesting_without_end_is_refused(void **state)
{
	static char text[100000];
	struct json_scan scan;
	memset(text, '[', sizeof(text));
	json_scan_init(&scan, text, sizeof(text));
	assert_false(json_scan_skip(&scan));
	json_scan_deinit(&scan);
}

static void a_system_map_is_read(void **state)
{
	char path[] = "/tmp/glassbox-symbols-XXXXXX";
	int fd = mkstemp(path);
	static const char good[] = "ffffffff81000000 T _text\n0000000000000000 D percpu\n";
	struct symbols_file file;
	uint64_t address;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, good, sizeof(good) - 1), sizeof(good) - 1);
	assert_ok(symbols_file_read(path, &file));
	assert_true(symtab_find(file.symbols, "_text", &address));
	assert_true(address == 0xffffffff81000000);
	assert_null(file.types);
	symbols_file_deinit(&file);
	assert_int_equal(write(fd, "nonsense\n", 9), 9);
	assert_error(symbols_file_read(path, &file), ERR_BAD_DATA);
	close(fd);
	unlink(path);
	assert_error(symbols_file_read(path, &file), ERR_SYSTEM);
}

/* The layout of this program's own struct, from its own debug information. */
struct glassbox_dwarf_probe {
	char first;
	unsigned bits : 5, more : 7;
	union {
		uint64_t inside;
		void *pointer;
	};
	short table[3][5];
} dwarf_probe;

static void dwarf_of_this_program_is_right(void **state)
{
	struct symbols_file file;
	struct btf_place place;
	struct error *err = symbols_file_read("/proc/self/exe", &file);
	dwarf_probe.first = 1;
	if (err || !file.types || !btf_find(file.types, "struct glassbox_dwarf_probe")) {
		error_destroy(err);
		skip(); /* built without -g */
	}
	uint32_t id = btf_find(file.types, "struct glassbox_dwarf_probe");
	assert_int_equal(btf_size(file.types, id), sizeof(dwarf_probe));
	assert_true(btf_place(file.types, id, "inside", &place));
	assert_int_equal(place.bit_offset, 8 * offsetof(struct glassbox_dwarf_probe, inside));
	assert_true(btf_place(file.types, id, "table", &place));
	assert_int_equal(place.size_bytes, sizeof(dwarf_probe.table));
	assert_true(btf_place(file.types, id, "more", &place));
	assert_int_equal(place.bit_size, 7);
	struct glassbox_dwarf_probe probe;
	uint32_t word = 0;
	memset(&probe, 0, sizeof(probe));
	probe.more = 0x55;
	memcpy(&word, (char *)&probe + place.bit_offset / 8, 2);
	assert_int_equal(word >> place.bit_offset % 8 & 0x7f, 0x55);
	symbols_file_deinit(&file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_and_symbols_come_through),
		cmocka_unit_test(every_cut_is_an_error_not_a_crash),
		cmocka_unit_test(numbers_have_64_bits),
		cmocka_unit_test(nesting_without_end_is_refused),
		cmocka_unit_test(a_system_map_is_read),
		cmocka_unit_test(dwarf_of_this_program_is_right),
	};
	return cmocka_run_group_tests(tests, load_seed, free_seed);
}
