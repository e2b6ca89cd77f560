/* The plugin's page-table walk on tables made here: what is ready for a kernel and what is not.
 */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#define GB_API 7
#include "plugin/internal.h"
#include "plugin/walk.h"

struct plugin plugin;
static struct gb_control control;
enum {
	RAM = 8 << 20,
	ROOT5 = 0x100000,
	ROOT = 0x101000,
	L3 = 0x102000,
	L2 = 0x103000,
	L1 = 0x104000
};
enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80, ALL = P | W | U | A | D };
static const uint64_t GVA = 0x00007f1234567000ull;

static void entry(uint64_t table, uint64_t index, uint64_t value)
{
	memcpy(plugin.ram.host + table + index * 8, &value, 8);
}

static int set_up(void **state)
{
	(void)state;
	plugin.control = &control;
	plugin.n_segments = 0;
	plugin.ram.bytes = RAM;
	plugin.ram.host = calloc(1, RAM);
	entry(ROOT5, GVA >> 48 & 511, ROOT | ALL);
	entry(ROOT, GVA >> 39 & 511, L3 | ALL);
	entry(L3, GVA >> 30 & 511, L2 | ALL);
	entry(L2, GVA >> 21 & 511, L1 | ALL);
	entry(L1, GVA >> 12 & 511, 0x200000 | ALL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(plugin.ram.host);
	return 0;
}

static enum gb_plan_result at(uint64_t gva, bool write, bool user, unsigned levels,
			      struct walk_page *page)
{
	struct walk_space space = { levels == 5 ? ROOT5 : ROOT, levels, user };
	return walk(&space, gva, write, page);
}

static void set_leaf(uint64_t value)
{
	entry(L1, GVA >> 12 & 511, value);
}

static void small_pages(void **state)
{
	(void)state;
	struct walk_page page;
	assert_int_equal(at(GVA + 0x123, true, true, 4, &page), GB_PLAN_GO);
	assert_int_equal(page.offset, 0x200000);
	assert_int_equal(page.gva, GVA);
	assert_int_equal(page.bytes, 4096);
	assert_int_equal(at(GVA, true, true, 5, &page), GB_PLAN_GO);
	assert_int_equal(at(GVA + 4096, false, true, 4, &page), GB_PLAN_PAGE);
	assert_int_equal(at(GVA ^ 1ull << 47, false, true, 4, &page), GB_PLAN_PAGE);
	assert_int_equal(at(GVA | 1ull << 60, false, true, 4, &page), GB_PLAN_PAGE);
}

static void bits_of_the_leaf(void **state)
{
	(void)state;
	struct walk_page page;
	set_leaf(0x200000 | (ALL & ~P));
	assert_int_equal(at(GVA, false, true, 4, &page), GB_PLAN_PAGE);
	set_leaf(0x200000 | (ALL & ~A));
	assert_int_equal(at(GVA, false, true, 4, &page), GB_PLAN_PAGE);
	set_leaf(0x200000 | (ALL & ~W));
	assert_int_equal(at(GVA, false, true, 4, &page), GB_PLAN_GO);
	assert_int_equal(at(GVA, true, true, 4, &page), GB_PLAN_PAGE);
	set_leaf(0x200000 | (ALL & ~D));
	assert_int_equal(at(GVA, false, true, 4, &page), GB_PLAN_GO);
	assert_int_equal(at(GVA, true, true, 4, &page), GB_PLAN_PAGE);
	set_leaf(0x200000 | ALL | 1ull << 59);
	assert_int_equal(at(GVA, false, true, 4, &page), GB_PLAN_PRIVILEGE);
}

static void privilege_and_upper_levels(void **state)
{
	(void)state;
	struct walk_page page;
	assert_int_equal(at(GVA, false, false, 4, &page), GB_PLAN_PRIVILEGE);
	entry(L2, GVA >> 21 & 511, L1 | (ALL & ~U));
	assert_int_equal(at(GVA, false, true, 4, &page), GB_PLAN_PRIVILEGE);
	assert_int_equal(at(GVA, true, false, 4, &page), GB_PLAN_GO);
	entry(L3, GVA >> 30 & 511, L2 | (ALL & ~W));
	assert_int_equal(at(GVA, true, false, 4, &page), GB_PLAN_PAGE);
}

static void large_pages(void **state)
{
	(void)state;
	struct walk_page page;
	entry(L2, GVA >> 21 & 511, 0x400000 | ALL | PS);
	assert_int_equal(at(GVA, true, true, 4, &page), GB_PLAN_GO);
	assert_int_equal(page.bytes, 2 << 20);
	assert_int_equal(page.offset, 0x400000);
	assert_int_equal(page.gva, GVA & ~((2ull << 20) - 1));
	entry(L2, GVA >> 21 & 511, 0x700000 | ALL | PS); /* aligned down to 0x600000 */
	assert_int_equal(at(GVA, true, true, 4, &page), GB_PLAN_GO);
	assert_int_equal(page.offset, 0x600000);
	entry(L3, GVA >> 30 & 511, 0 | ALL | PS); /* 1 GiB does not fit into this RAM */
	assert_int_equal(at(GVA, false, true, 4, &page), GB_PLAN_DEVICE);
	entry(ROOT, GVA >> 39 & 511, L3 | ALL | PS); /* means nothing up there */
	entry(L3, GVA >> 30 & 511, L2 | ALL);
	assert_int_equal(at(GVA, true, true, 4, &page), GB_PLAN_GO);
}

static void what_is_not_ram(void **state)
{
	(void)state;
	struct walk_page page;
	set_leaf(0xb8000 | ALL);
	assert_int_equal(at(GVA, true, true, 4, &page), GB_PLAN_DEVICE);
	set_leaf(0xfee00000 | ALL);
	assert_int_equal(at(GVA, true, true, 4, &page), GB_PLAN_DEVICE);
	set_leaf((uint64_t)(RAM - 4096) | ALL);
	assert_int_equal(at(GVA, true, true, 4, &page), GB_PLAN_GO);
	set_leaf((uint64_t)RAM | ALL);
	assert_int_equal(at(GVA, true, true, 4, &page), GB_PLAN_DEVICE);
	entry(L2, GVA >> 21 & 511, 0xfffffffffff000ull | ALL);
	assert_int_equal(at(GVA, true, true, 4, &page), GB_PLAN_DEVICE);
}

static void ram_in_pieces(void **state)
{
	(void)state;
	uint64_t offset;
	plugin.n_segments = 2;
	plugin.segment[0] = (struct gb_ram_segment){ 0, 4 << 20, 0 };
	plugin.segment[1] = (struct gb_ram_segment){ 1ull << 32, 4 << 20, 4 << 20 };
	assert_true(walk_ram_offset((1ull << 32) + 0x1000, 4096, &offset));
	assert_int_equal(offset, (4 << 20) + 0x1000);
	assert_false(walk_ram_offset(5 << 20, 4096, &offset));
	assert_false(walk_ram_offset((4 << 20) - 2048, 4096, &offset));
	assert_false(walk_ram_offset((1ull << 32) + (4 << 20), 1, &offset));
	plugin.segment[1].bytes = 1ull << 40; /* says more than the mapping has */
	assert_false(walk_ram_offset((1ull << 32) + (8ull << 20), 4096, &offset));
}

/* Over the border of two pages that lie apart; nothing is said of what is not ready. */
static void bytes_across_pages(void **state)
{
	(void)state;
	struct walk_space space = { ROOT, 4, true };
	char text[9] = "";
	entry(L1, (GVA >> 12 & 511) + 1, 0x300000 | ALL);
	memcpy(plugin.ram.host + 0x200ffd, "abc", 3);
	memcpy(plugin.ram.host + 0x300000, "defgh", 5);
	assert_true(walk_read(&space, GVA + 0xffd, text, 8));
	assert_string_equal(text, "abcdefgh");
	assert_true(walk_same_bytes(&space, GVA + 0xffd, "abcdefgh", 8));
	assert_false(walk_same_bytes(&space, GVA + 0xffd, "abcdefgx", 8));
	entry(L1, (GVA >> 12 & 511) + 1, 0);
	assert_false(walk_same_bytes(&space, GVA + 0xffd, "abcdefgh", 8));
	assert_true(walk_same_bytes(&space, GVA + 0xffd, "abc", 3));
	assert_false(walk_read(&space, GVA + 0xffd, text, 8));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(small_pages, set_up, tear_down),
		cmocka_unit_test_setup_teardown(bits_of_the_leaf, set_up, tear_down),
		cmocka_unit_test_setup_teardown(privilege_and_upper_levels, set_up, tear_down),
		cmocka_unit_test_setup_teardown(large_pages, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_not_ram, set_up, tear_down),
		cmocka_unit_test_setup_teardown(ram_in_pieces, set_up, tear_down),
		cmocka_unit_test_setup_teardown(bytes_across_pages, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
