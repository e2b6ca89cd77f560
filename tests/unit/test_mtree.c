#include "test.h"

#include <string.h>

#include "vm/mtree.h"

static const char *const names[] = { "ram0", "ram1", NULL };

#define VIEW_HEAD "FlatView #1\r\n AS \"memory\", root: system\r\n AS \"cpu-memory-0\"\r\n"

static void check_range(const struct mtree_layout *layout, size_t i, uint64_t gpa,
			uint64_t size_bytes, uint64_t offset, const char *name)
{
	assert_true(i < layout->ranges.count);
	const struct mtree_range *range = &layout->ranges.items[i];
	assert_int_equal(range->gpa, gpa);
	assert_int_equal(range->size_bytes, size_bytes);
	assert_int_equal(range->offset, offset);
	assert_string_equal(range->name, name);
}

static void the_hole_below_4g_is_kept(void **state)
{
	struct mtree_layout layout = { 0 };
	assert_ok(mtree_parse(
		"FlatView #0\r\n AS \"I/O\", root: io\r\n"
		"  0000000000000000-000000000000ffff (prio 0, i/o): ram0\r\n\r\n" VIEW_HEAD
		"  0000000000000000-000000007fffffff (prio 0, ram): ram0\r\n"
		"  00000000fec00000-00000000fec00fff (prio 0, i/o): ioapic\r\n"
		"  0000000100000000-000000017fffffff (prio 0, ram): ram0 @0000000080000000 "
		"KVM\r\n",
		names, &layout));
	assert_int_equal(layout.ranges.count, 2);
	check_range(&layout, 0, 0, 0x80000000, 0, "ram0");
	check_range(&layout, 1, 0x100000000, 0x80000000, 0x80000000, "ram0");
	VEC_FREE(&layout.ranges);
}

static void ram_behind_firmware_is_ram_but_vga_is_not(void **state)
{
	struct mtree_layout layout = { 0 };
	assert_ok(mtree_parse(
		VIEW_HEAD "  0000000000000000-000000000009ffff (prio 0, ram): ram0\r\n"
			  "  00000000000a0000-00000000000bffff (prio 1, i/o): vga-lowmem\r\n"
			  "  00000000000c0000-00000000000dffff (prio 1, rom): pc.rom\r\n"
			  "  00000000000e0000-00000000000fffff (prio 0, rom): pc.bios\r\n"
			  "  0000000000100000-0000000007ffffff (prio 0, ram): ram0 "
			  "@0000000000100000\r\n",
		names, &layout));
	assert_int_equal(layout.ranges.count, 2);
	check_range(&layout, 0, 0, 0xa0000, 0, "ram0");
	check_range(&layout, 1, 0xc0000, 0x8000000 - 0xc0000, 0xc0000, "ram0");
	VEC_FREE(&layout.ranges);
}

static void numa_nodes_are_two_backends(void **state)
{
	struct mtree_layout layout = { 0 };
	assert_ok(mtree_parse(VIEW_HEAD
			      "  0000000000000000-0000000007ffffff (prio 0, ram): ram0\r\n"
			      "  0000000008000000-000000000fffffff (prio 0, ram): ram1\r\n",
			      names, &layout));
	check_range(&layout, 1, 0x8000000, 0x8000000, 0, "ram1");
	VEC_FREE(&layout.ranges);
}

static void nonsense_is_an_error(void **state)
{
	static const char *const texts[] = {
		"",
		"garbage",
		VIEW_HEAD,
		VIEW_HEAD "  0000000000000000-ffffffffffffffff (prio 0, ram): ram0\r\n",
		VIEW_HEAD "  0000000000001000-0000000000000fff (prio 0, ram): ram0\r\n",
		VIEW_HEAD "  0000000000000000-0000000000000fff (prio 0, ram): \r\n",
		VIEW_HEAD "  0000000000000000-0000000000000fff (prio 0, ram): ram0 @zz\r\n",
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct mtree_layout layout = { 0 };
		assert_error(mtree_parse(texts[i], names, &layout), ERR_BAD_DATA);
		VEC_FREE(&layout.ranges);
	}
}

static void overlaps_are_an_error(void **state)
{
	struct mtree_layout layout = { 0 };
	assert_error(mtree_parse(VIEW_HEAD
				 "  0000000000000000-0000000007ffffff (prio 0, ram): ram0\r\n"
				 "  0000000004000000-000000000fffffff (prio 0, ram): ram1\r\n",
				 names, &layout),
		     ERR_BAD_DATA);
	VEC_FREE(&layout.ranges);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_hole_below_4g_is_kept),
		cmocka_unit_test(ram_behind_firmware_is_ram_but_vga_is_not),
		cmocka_unit_test(numa_nodes_are_two_backends),
		cmocka_unit_test(nonsense_is_an_error),
		cmocka_unit_test(overlaps_are_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
