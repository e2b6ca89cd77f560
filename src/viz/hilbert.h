/* Skilling's 3D Hilbert curve: byte index <-> voxel, bricks of pages, boxes of address ranges.
 * The bit loop (hilbert_skilling_*) is the definition; everything else goes by the orientation
 * table and gives the same answers. Index 0 is voxel (0, 0, 0). Thread: any.
 *
 * Rules that everything above relies on:
 * 1. An aligned run of 8^k indices is an aligned cube of side 2^k, so a 4 KiB page is a 16^3
 *    brick, 2 MiB a 128^3 cube, and a mip level is a linear reduction over bytes.
 * 2. An aligned run of 2^m indices is an aligned box of sides 1:1:1, 1:1:2 or 1:2:2.
 * 3. The orientation hangs on the order of the curve. The order is fixed from the largest RAM
 *    a machine can have (hilbert_order), or views would turn when memory is plugged in. */
#ifndef VIZ_HILBERT_H
#define VIZ_HILBERT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "viz/hilbert_table.h"

enum {
	HILBERT_ORDER_MAX = 21, /* 63-bit indices */
	HILBERT_ORDER_MIN = 4, /* one page */
	HILBERT_PAGE_LEVEL = 4, /* a page is a cube of side 2^4 */
	HILBERT_PAGE_BYTES = 4096,
};

struct hilbert_point {
	uint32_t x, y, z;
};

/* An aligned box: the corner nearest the origin and its sides. */
struct hilbert_box {
	struct hilbert_point at, size;
};

/* Where the curve is after some digits from the top: a cube of side 2^level. */
struct hilbert_cube {
	struct hilbert_point at;
	uint8_t state; /* orientation inside the cube */
	uint8_t level;
};

/* Smallest order whose cube holds bytes (8^order >= bytes), never below HILBERT_ORDER_MIN. */
unsigned hilbert_order(uint64_t bytes);

/* The bit loops of Skilling, "Programming the Hilbert curve" (2004): the reference. */
struct hilbert_point hilbert_skilling_point(unsigned order, uint64_t index);
uint64_t hilbert_skilling_index(unsigned order, struct hilbert_point point);

/* The same by table, one digit per step. index < 8^order; coordinates < 2^order. */
struct hilbert_point hilbert_point(unsigned order, uint64_t index);
uint64_t hilbert_index(unsigned order, struct hilbert_point point);

/* The cube of side 2^level that holds index. level <= order. */
struct hilbert_cube hilbert_cube(unsigned order, uint64_t index, unsigned level);

/* The box of the 2^log2_count indices at first, a multiple of that. log2_count <= 3 * order. */
struct hilbert_box hilbert_box(unsigned order, uint64_t first, unsigned log2_count);

/* Covers [first, end) by disjoint boxes, at most 2 * 3 * order of them; returns how many, of
 * which at most max are stored. */
size_t hilbert_cover(unsigned order, uint64_t first, uint64_t end, struct hilbert_box *boxes,
		     size_t max);

/* For each orientation, where byte i of a page lies in its brick: x | y << 4 | z << 8. The
 * table is made at first use and lives for ever; row s is hilbert_brick_table()[s]. */
typedef uint16_t hilbert_brick_row[HILBERT_PAGE_BYTES];
const hilbert_brick_row *hilbert_brick_table(void);

/* The table as shaders want it: for each orientation the digit of each octant (x | y << 1 |
 * z << 2), then in the same shape the orientation there. ret: 2 * HILBERT_STATES * 8 words. */
void hilbert_turns(uint32_t *ret);

/* Walks bricks of consecutive pages, about one digit of work per page. */
struct hilbert_walk {
	struct hilbert_cube path[HILBERT_ORDER_MAX + 1]; /* path[level], set from level 4 up */
	uint64_t page;
	uint8_t order;
};
void hilbert_walk_init(struct hilbert_walk *walk, unsigned order, uint64_t page);
void hilbert_walk_next(struct hilbert_walk *walk); /* to page + 1, which must be in the cube */
static inline const struct hilbert_cube *hilbert_walk_brick(const struct hilbert_walk *walk)
{
	return &walk->path[HILBERT_PAGE_LEVEL];
}
#endif
