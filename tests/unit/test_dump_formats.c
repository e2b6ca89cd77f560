#include "test.h"

#include <elf.h>
#include <string.h>
#include <unistd.h>

#include "base/phys_mem.h"
#include "vm/dump.h"
#include "vm/dump_write.h"

static struct error *layout_of(const struct dump_format *format, const void *bytes, size_t size,
			       struct dump_layout *layout)
{
	VEC_FREE(&layout->pieces);
	return format->layout(bytes, size, layout);
}

static void put_lime(uint8_t *at, uint64_t first, uint64_t last)
{
	memcpy(at, &(uint32_t){ 0x4c694d45 }, 4);
	memcpy(at + 4, &(uint32_t){ 1 }, 4);
	memcpy(at + 8, &first, 8);
	memcpy(at + 16, &last, 8);
}

static void lime_ranges_follow_each_other(void **state)
{
	uint8_t file[32 + 4096 + 32 + 100] = { 0 };
	struct dump_layout layout = { 0 };
	put_lime(file, 0x1000, 0x1fff);
	put_lime(file + 32 + 4096, 0x100000000, 0x100000fff);
	assert_true(dump_lime.probe(file, sizeof(file)));
	assert_ok(layout_of(&dump_lime, file, sizeof(file), &layout));
	assert_int_equal(layout.pieces.count, 2);
	assert_int_equal(layout.pieces.items[0].gpa, 0x1000);
	assert_int_equal(layout.pieces.items[0].file_offset, 32);
	assert_int_equal(layout.pieces.items[1].gpa, 0x100000000);
	assert_int_equal(layout.pieces.items[1].size_bytes, 100); /* cut short */
	put_lime(file + 32 + 4096, 5, 4);
	assert_error(layout_of(&dump_lime, file, sizeof(file), &layout), ERR_BAD_DATA);
	memset(file + 32 + 4096, 'x', 32);
	assert_error(layout_of(&dump_lime, file, sizeof(file), &layout), ERR_BAD_DATA);
	memcpy(file, &(uint32_t){ 0x4c4d5641 }, 4);
	assert_error(layout_of(&dump_lime, file, sizeof(file), &layout), ERR_UNSUPPORTED);
	VEC_FREE(&layout.pieces);
}

struct small_core {
	Elf64_Ehdr header;
	Elf64_Phdr segments[3];
	uint8_t bytes[0x3000];
};

static struct small_core core_fixture(void)
{
	struct small_core core = { 0 };
	memcpy(core.header.e_ident, ELFMAG, SELFMAG);
	core.header.e_ident[EI_CLASS] = ELFCLASS64;
	core.header.e_ident[EI_DATA] = ELFDATA2LSB;
	core.header.e_type = ET_CORE;
	core.header.e_phoff = offsetof(struct small_core, segments);
	core.header.e_phnum = 3;
	core.header.e_phentsize = sizeof(Elf64_Phdr);
	uint64_t at = offsetof(struct small_core, bytes);
	/* The kernel image lies inside RAM, as in a vmcore; RAM ends with a page of zeros. */
	core.segments[0] = (Elf64_Phdr){ .p_type = PT_LOAD,
					 .p_paddr = 0x2000,
					 .p_offset = at,
					 .p_filesz = 0x1000,
					 .p_memsz = 0x1000 };
	core.segments[1] = (Elf64_Phdr){ .p_type = PT_LOAD,
					 .p_paddr = 0x1000,
					 .p_offset = at,
					 .p_filesz = 0x3000,
					 .p_memsz = 0x4000 };
	core.segments[2] = (Elf64_Phdr){ .p_type = PT_NOTE, .p_filesz = UINT64_MAX };
	return core;
}

static void elf_overlap_and_zeros_are_sorted_out(void **state)
{
	struct small_core core = core_fixture();
	struct dump_layout layout = { 0 };
	assert_true(dump_elf.probe((uint8_t *)&core, sizeof(core)));
	assert_ok(layout_of(&dump_elf, &core, sizeof(core), &layout));
	assert_int_equal(layout.pieces.count, 2);
	assert_int_equal(layout.pieces.items[0].gpa, 0x1000);
	assert_int_equal(layout.pieces.items[0].size_bytes, 0x3000);
	assert_int_equal(layout.pieces.items[1].gpa, 0x4000);
	assert_true(layout.pieces.items[1].file_offset == DUMP_ZERO);
	VEC_FREE(&layout.pieces);
}

static void broken_elf_is_refused(void **state)
{
	struct small_core core = core_fixture();
	struct dump_layout layout = { 0 };
	core.header.e_phoff = UINT64_MAX - 8;
	assert_error(layout_of(&dump_elf, &core, sizeof(core), &layout), ERR_BAD_DATA);
	core = core_fixture();
	core.header.e_phnum = PN_XNUM;
	assert_error(layout_of(&dump_elf, &core, sizeof(core), &layout), ERR_BAD_DATA);
	core.header.e_shoff = UINT64_MAX - 2;
	assert_error(layout_of(&dump_elf, &core, sizeof(core), &layout), ERR_BAD_DATA);
	core = core_fixture();
	core.header.e_type = ET_EXEC;
	assert_error(layout_of(&dump_elf, &core, sizeof(core), &layout), ERR_BAD_DATA);
	core = core_fixture();
	core.segments[1].p_memsz = UINT64_MAX;
	assert_error(layout_of(&dump_elf, &core, sizeof(core), &layout), ERR_BAD_DATA);
	VEC_FREE(&layout.pieces);
}

static uint8_t low[0x8000], high[0x3000];
static const struct phys_segment segments[] = {
	{ .gpa = 0, .size_bytes = sizeof(low), .host = low },
	{ .gpa = 0x100000, .size_bytes = sizeof(high), .host = high },
};
static struct phys_mem memory = { .segments = segments, .n_segments = 2 };

static void assert_same_memory(struct phys_mem *other)
{
	uint8_t bytes[sizeof(low)];
	assert_true(phys_mem_read(other, 0, bytes, sizeof(low)));
	assert_memory_equal(bytes, low, sizeof(low));
	assert_true(phys_mem_read(other, 0x100000, bytes, sizeof(high)));
	assert_memory_equal(bytes, high, sizeof(high));
}

static void check_round_trip(enum dump_write_format format, const char *name)
{
	char path[] = "/tmp/glassbox-dump-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	struct dump_written written;
	assert_ok(dump_write(&memory,
			     &(struct dump_write_params){ .path = path,
							  .format = format,
							  .vmcoreinfo = "OSRELEASE=1\n",
							  .vmcoreinfo_bytes = 12 },
			     &written));
	assert_int_equal(written.memory_bytes, sizeof(low) + sizeof(high));
	assert_int_equal(written.data_bytes, 3 * 4096);
	const char *found = NULL;
	assert_ok(dump_format_of(path, &found));
	assert_string_equal(found, name);
	struct phys_mem *again = NULL;
	assert_ok(dump_open(path, &again));
	assert_same_memory(again);
	phys_mem_destroy(again);
	unlink(path);
}

static void what_is_written_reads_the_same(void **state)
{
	low[5] = 1;
	memset(low + 0x6000, 2, 4096);
	high[0x2fff] = 3;
	check_round_trip(DUMP_WRITE_RAW, "raw");
	check_round_trip(DUMP_WRITE_LIME, "lime");
	check_round_trip(DUMP_WRITE_ELF, "elf");
}

static struct error *stop_it(void *user, double done)
{
	return error_create(ERR_LIMIT, "stopped");
}

static void a_stopped_dump_leaves_nothing(void **state)
{
	const char *path = "/tmp/glassbox-dump-stopped";
	struct dump_written written;
	assert_error(
		dump_write(&memory,
			   &(struct dump_write_params){ .path = path, .progress = stop_it },
			   &written),
		ERR_LIMIT);
	assert_int_equal(access(path, F_OK), -1);
	enum dump_write_format format;
	assert_error(dump_write_format_parse("zip", &format), ERR_USAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lime_ranges_follow_each_other),
		cmocka_unit_test(elf_overlap_and_zeros_are_sorted_out),
		cmocka_unit_test(broken_elf_is_refused),
		cmocka_unit_test(what_is_written_reads_the_same),
		cmocka_unit_test(a_stopped_dump_leaves_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
