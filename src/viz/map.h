/* Several memories in one coordinate system, the Infinite Map: one voxel is one byte
 * everywhere, and the volumes stand on a lattice of equal cells, large enough for the largest.
 * Thread: any. */
#ifndef VIZ_MAP_H
#define VIZ_MAP_H
#include <stddef.h>

struct viz_view;

struct viz_map {
	unsigned n; /* volumes */
	unsigned columns; /* of the lattice, along x; rows follow along z */
	float side; /* of the largest volume, exploded */
	float pitch; /* of the lattice */
};

enum { VIZ_MAP_MAX = 64 };

/* largest_order: of the curves; explode: as in a view. n is 1 .. VIZ_MAP_MAX. */
void viz_map_init(struct viz_map *map, unsigned n, unsigned largest_order, float explode);

/* Where volume i has its voxel (0, 0, 0). That of volume 0 is the map's own. */
void viz_map_origin(const struct viz_map *map, unsigned i, float ret[3]);

/* The view as volume i sees it. */
struct viz_view viz_map_view(const struct viz_map *map, unsigned i,
			     const struct viz_view *view);

/* The volumes from the farthest to the nearest: in this order each can be drawn over the ones
 * before, since their cells are those of the points next to each middle (Voronoi). */
void viz_map_order(const struct viz_map *map, const struct viz_view *view, unsigned *ret);
#endif
