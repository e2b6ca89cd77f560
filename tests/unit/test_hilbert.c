#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "viz/hilbert.h"

/* A fixed sequence: the same "random" numbers in every run. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static bool same_point(struct hilbert_point a, struct hilbert_point b)
{
	return a.x == b.x && a.y == b.y && a.z == b.z;
}

static unsigned distance(struct hilbert_point a, struct hilbert_point b)
{
	return (unsigned)(abs((int)a.x - (int)b.x) + abs((int)a.y - (int)b.y) +
			  abs((int)a.z - (int)b.z));
}

/* At order 1 the published loop is a plain Gray code; written out so that the reference is
 * checked too. */
static void reference_is_skillings(void **state)
{
	/* One digit: the Gray code with axis 0 as the highest bit. */
	static const uint8_t gray[8][3] = {
		{ 0, 0, 0 }, { 0, 0, 1 }, { 0, 1, 1 }, { 0, 1, 0 },
		{ 1, 1, 0 }, { 1, 1, 1 }, { 1, 0, 1 }, { 1, 0, 0 }
	};
	for (unsigned i = 0; i < 8; i++) {
		struct hilbert_point p = hilbert_skilling_point(1, i);
		assert_true(p.x == gray[i][0] && p.y == gray[i][1] && p.z == gray[i][2]);
	}
}

static void table_equals_loop_everywhere_in_small_orders(void **state)
{
	for (unsigned order = 1; order <= 6; order++) {
		uint64_t count = UINT64_C(1) << 3 * order;
		struct hilbert_point before = { 0 };
		for (uint64_t i = 0; i < count; i++) {
			struct hilbert_point p = hilbert_skilling_point(order, i);
			assert_true(same_point(p, hilbert_point(order, i)));
			assert_int_equal(hilbert_skilling_index(order, p), i);
			assert_int_equal(hilbert_index(order, p), i);
			assert_int_equal(distance(before, p), i ? 1 : 0);
			before = p;
		}
	}
}

static void table_equals_loop_at_random_in_large_orders(void **state)
{
	uint64_t seed = 1;
	for (unsigned order = 7; order <= HILBERT_ORDER_MAX; order++) {
		uint64_t mask = (UINT64_C(1) << 3 * order) - 1;
		for (unsigned i = 0; i < 4000; i++) {
			uint64_t index = next_random(&seed) & mask;
			struct hilbert_point p = hilbert_skilling_point(order, index);
			assert_true(same_point(p, hilbert_point(order, index)));
			assert_int_equal(hilbert_skilling_index(order, p), index);
			assert_int_equal(hilbert_index(order, p), index);
		}
		assert_int_equal(hilbert_index(order, hilbert_point(order, mask)), mask);
	}
}

/* Every index of the range lies in the box, and the box has room for no others. */
static void check_box(unsigned order, uint64_t first, unsigned log2_count)
{
	struct hilbert_box box = hilbert_box(order, first, log2_count);
	uint64_t count = UINT64_C(1) << log2_count;
	assert_int_equal((uint64_t)box.size.x * box.size.y * box.size.z, count);
	for (uint64_t i = first; i < first + count; i++) {
		struct hilbert_point p = hilbert_skilling_point(order, i);
		assert_true(p.x - box.at.x < box.size.x && p.y - box.at.y < box.size.y &&
			    p.z - box.at.z < box.size.z);
	}
}

static void aligned_runs_are_boxes(void **state)
{
	for (unsigned log2_count = 0; log2_count <= 12; log2_count++)
		for (uint64_t first = 0; first < 4096; first += UINT64_C(1) << log2_count)
			check_box(4, first, log2_count);
	uint64_t seed = 2;
	for (unsigned i = 0; i < 300; i++) {
		unsigned log2_count = (unsigned)(next_random(&seed) % 11);
		uint64_t first = next_random(&seed) % (UINT64_C(1) << 30);
		check_box(10, first >> log2_count << log2_count, log2_count);
	}
}

static void ranges_are_covered_once(void **state)
{
	uint64_t seed = 3;
	struct hilbert_box boxes[60];
	for (unsigned i = 0; i < 200; i++) {
		uint64_t first = next_random(&seed) % 32768;
		uint64_t end = first + next_random(&seed) % (32768 - first + 1);
		size_t count = hilbert_cover(5, first, end, boxes, 60);
		assert_in_range(count, 0, 30);
		uint64_t volume = 0;
		for (size_t b = 0; b < count; b++)
			volume += (uint64_t)boxes[b].size.x * boxes[b].size.y * boxes[b].size.z;
		assert_int_equal(volume, end - first);
		for (size_t b = 0; b < count; b++)
			assert_in_range(hilbert_index(5, boxes[b].at), first, end - 1);
	}
	assert_int_equal(hilbert_cover(5, 0, 32768, boxes, 0), 1);
}

static void bricks_follow_the_orientation(void **state)
{
	const hilbert_brick_row *bricks = hilbert_brick_table();
	uint64_t seed = 4;
	for (unsigned i = 0; i < 2000; i++) {
		uint64_t page = next_random(&seed) % (1 << 18);
		struct hilbert_cube cube = hilbert_cube(10, page << 12, HILBERT_PAGE_LEVEL);
		unsigned byte = (unsigned)(next_random(&seed) % 4096);
		unsigned local = bricks[cube.state][byte];
		struct hilbert_point p = { cube.at.x + (local & 15),
					   cube.at.y + (local >> 4 & 15),
					   cube.at.z + (local >> 8) };
		assert_true(same_point(p, hilbert_skilling_point(10, (page << 12) + byte)));
	}
}

static void walk_visits_every_brick(void **state)
{
	struct hilbert_walk walk;
	hilbert_walk_init(&walk, 8, 0);
	for (uint64_t page = 0;; page++) {
		struct hilbert_cube wanted = hilbert_cube(8, page << 12, HILBERT_PAGE_LEVEL);
		assert_memory_equal(hilbert_walk_brick(&walk), &wanted, sizeof(wanted));
		if (page == 4095)
			break;
		hilbert_walk_next(&walk);
	}
	hilbert_walk_init(&walk, 10, 123456);
	hilbert_walk_next(&walk);
	struct hilbert_cube wanted = hilbert_cube(10, UINT64_C(123457) << 12, 4);
	assert_memory_equal(hilbert_walk_brick(&walk), &wanted, sizeof(wanted));
}

static void order_comes_from_the_largest_size(void **state)
{
	assert_int_equal(hilbert_order(0), 4);
	assert_int_equal(hilbert_order(4096), 4);
	assert_int_equal(hilbert_order(4097), 5);
	assert_int_equal(hilbert_order(64 << 20), 9);
	assert_int_equal(hilbert_order(128 << 20), 9);
	assert_int_equal(hilbert_order(1 << 30), 10);
	assert_int_equal(hilbert_order((1u << 30) + 1), 11);
	assert_int_equal(hilbert_order(UINT64_MAX), 21);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reference_is_skillings),
		cmocka_unit_test(table_equals_loop_everywhere_in_small_orders),
		cmocka_unit_test(table_equals_loop_at_random_in_large_orders),
		cmocka_unit_test(aligned_runs_are_boxes),
		cmocka_unit_test(ranges_are_covered_once),
		cmocka_unit_test(bricks_follow_the_orientation),
		cmocka_unit_test(walk_visits_every_brick),
		cmocka_unit_test(order_comes_from_the_largest_size),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
