#include "viz/hilbert.h"

#include <pthread.h>

unsigned hilbert_order(uint64_t bytes)
{
	unsigned order = HILBERT_ORDER_MIN;
	while (order < HILBERT_ORDER_MAX && bytes > UINT64_C(1) << 3 * order)
		order++;
	return order;
}

/* Skilling's "transpose": axis i takes every third bit of the index, axis 0 the highest. */
static void index_to_transpose(unsigned order, uint64_t index, uint32_t axis[3])
{
	axis[0] = axis[1] = axis[2] = 0;
	for (unsigned bit = 0; bit < order; bit++) {
		axis[2] |= (uint32_t)(index >> 3 * bit & 1) << bit;
		axis[1] |= (uint32_t)(index >> (3 * bit + 1) & 1) << bit;
		axis[0] |= (uint32_t)(index >> (3 * bit + 2) & 1) << bit;
	}
}

static uint64_t transpose_to_index(unsigned order, const uint32_t axis[3])
{
	uint64_t index = 0;
	for (unsigned bit = 0; bit < order; bit++) {
		index |= (uint64_t)(axis[2] >> bit & 1) << 3 * bit;
		index |= (uint64_t)(axis[1] >> bit & 1) << (3 * bit + 1);
		index |= (uint64_t)(axis[0] >> bit & 1) << (3 * bit + 2);
	}
	return index;
}

/* The step both directions share: at bit q of one axis, turn the finer bits of axis 0. */
static void turn(uint32_t axis[3], unsigned i, uint32_t q)
{
	uint32_t finer = q - 1;
	if (axis[i] & q) {
		axis[0] ^= finer;
	} else {
		uint32_t differ = (axis[0] ^ axis[i]) & finer;
		axis[0] ^= differ;
		axis[i] ^= differ;
	}
}

struct hilbert_point hilbert_skilling_point(unsigned order, uint64_t index)
{
	uint32_t axis[3];
	index_to_transpose(order, index, axis);
	uint32_t carry = axis[2] >> 1;
	axis[2] ^= axis[1];
	axis[1] ^= axis[0];
	axis[0] ^= carry;
	for (uint32_t q = 2; q != UINT32_C(1) << order; q <<= 1)
		for (unsigned i = 3; i-- > 0;)
			turn(axis, i, q);
	return (struct hilbert_point){ axis[0], axis[1], axis[2] };
}

uint64_t hilbert_skilling_index(unsigned order, struct hilbert_point point)
{
	uint32_t axis[3] = { point.x, point.y, point.z };
	for (uint32_t q = UINT32_C(1) << (order - 1); q > 1; q >>= 1)
		for (unsigned i = 0; i < 3; i++)
			turn(axis, i, q);
	axis[1] ^= axis[0];
	axis[2] ^= axis[1];
	uint32_t flip = 0;
	for (uint32_t q = UINT32_C(1) << (order - 1); q > 1; q >>= 1)
		if (axis[2] & q)
			flip ^= q - 1;
	for (unsigned i = 0; i < 3; i++)
		axis[i] ^= flip;
	return transpose_to_index(order, axis);
}

/* One digit down the curve. */
static struct hilbert_cube descend(struct hilbert_cube cube, unsigned digit)
{
	unsigned octant = HILBERT_OCTANT[cube.state][digit];
	cube.level--;
	cube.at.x |= (octant & 1) << cube.level;
	cube.at.y |= (octant >> 1 & 1) << cube.level;
	cube.at.z |= (octant >> 2 & 1) << cube.level;
	cube.state = HILBERT_NEXT[cube.state][digit];
	return cube;
}

struct hilbert_cube hilbert_cube(unsigned order, uint64_t index, unsigned level)
{
	struct hilbert_cube cube = { .level = (uint8_t)order };
	while (cube.level > level)
		cube = descend(cube, (unsigned)(index >> 3 * (cube.level - 1)) & 7);
	return cube;
}

struct hilbert_point hilbert_point(unsigned order, uint64_t index)
{
	return hilbert_cube(order, index, 0).at;
}

uint64_t hilbert_index(unsigned order, struct hilbert_point point)
{
	uint64_t index = 0;
	unsigned state = 0;
	for (unsigned level = order; level-- > 0;) {
		unsigned octant = (point.x >> level & 1) | (point.y >> level & 1) << 1 |
				  (point.z >> level & 1) << 2;
		unsigned digit = HILBERT_DIGIT[state][octant];
		index = index << 3 | digit;
		state = HILBERT_NEXT[state][digit];
	}
	return index;
}

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint32_t most(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

struct hilbert_box hilbert_box(unsigned order, uint64_t first, unsigned log2_count)
{
	unsigned level = log2_count / 3, n_cubes = 1u << log2_count % 3;
	uint32_t side = UINT32_C(1) << level;
	struct hilbert_point low = hilbert_cube(order, first, level).at, high = low;
	for (unsigned i = 1; i < n_cubes; i++) {
		struct hilbert_point at =
			hilbert_cube(order, first + ((uint64_t)i << 3 * level), level).at;
		low = (struct hilbert_point){ least(low.x, at.x), least(low.y, at.y),
					      least(low.z, at.z) };
		high = (struct hilbert_point){ most(high.x, at.x), most(high.y, at.y),
					       most(high.z, at.z) };
	}
	return (struct hilbert_box){
		.at = low,
		.size = { high.x - low.x + side, high.y - low.y + side, high.z - low.z + side },
	};
}

size_t hilbert_cover(unsigned order, uint64_t first, uint64_t end, struct hilbert_box *boxes,
		     size_t max)
{
	size_t count = 0;
	while (first < end) {
		unsigned log2_count = first ? (unsigned)__builtin_ctzll(first) : 3 * order;
		while (log2_count > 3 * order || UINT64_C(1) << log2_count > end - first)
			log2_count--;
		if (count < max)
			boxes[count] = hilbert_box(order, first, log2_count);
		count++;
		first += UINT64_C(1) << log2_count;
	}
	return count;
}

static hilbert_brick_row brick_rows[HILBERT_STATES];

static void make_brick_rows(void)
{
	for (unsigned state = 0; state < HILBERT_STATES; state++) {
		for (unsigned i = 0; i < HILBERT_PAGE_BYTES; i++) {
			struct hilbert_cube cube = { .state = (uint8_t)state,
						     .level = HILBERT_PAGE_LEVEL };
			while (cube.level)
				cube = descend(cube, i >> 3 * (cube.level - 1) & 7);
			brick_rows[state][i] =
				(uint16_t)(cube.at.x | cube.at.y << 4 | cube.at.z << 8);
		}
	}
}

const hilbert_brick_row *hilbert_brick_table(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, make_brick_rows);
	return brick_rows;
}

void hilbert_turns(uint32_t *ret)
{
	for (unsigned state = 0; state < HILBERT_STATES; state++) {
		for (unsigned octant = 0; octant < 8; octant++) {
			unsigned digit = HILBERT_DIGIT[state][octant];
			ret[state * 8 + octant] = digit;
			ret[(HILBERT_STATES + state) * 8 + octant] = HILBERT_NEXT[state][digit];
		}
	}
}

/* Fills in path from level top - 1 down to the page, path[top] being right already. */
static void walk_down(struct hilbert_walk *walk, unsigned top)
{
	for (unsigned level = top; level-- > HILBERT_PAGE_LEVEL;)
		walk->path[level] =
			descend(walk->path[level + 1],
				(unsigned)(walk->page >> 3 * (level - HILBERT_PAGE_LEVEL)) & 7);
}

void hilbert_walk_init(struct hilbert_walk *walk, unsigned order, uint64_t page)
{
	*walk = (struct hilbert_walk){ .page = page, .order = (uint8_t)order };
	walk->path[order] = (struct hilbert_cube){ .level = (uint8_t)order };
	walk_down(walk, order);
}

void hilbert_walk_next(struct hilbert_walk *walk)
{
	uint64_t changed = walk->page ^ (walk->page + 1);
	walk->page++;
	unsigned digits = (unsigned)(63 - __builtin_clzll(changed)) / 3 + 1;
	unsigned top = HILBERT_PAGE_LEVEL + digits;
	walk_down(walk, top < walk->order ? top : walk->order);
}
