#include "viz/map.h"

#include <math.h>

#include "viz/view.h"

static const float gap = 0.22f; /* between cells, of their side */

void viz_map_init(struct viz_map *map, unsigned n, unsigned largest_order, float explode)
{
	float side = ldexpf(1, (int)largest_order), blocks = fmaxf(side / 128, 1);
	float exploded = side + (blocks - 1) * 128 * explode;
	*map = (struct viz_map){ .n = n,
				 .columns = (unsigned)ceilf(sqrtf((float)n)),
				 .side = exploded,
				 .pitch = exploded * (1 + gap) };
}

void viz_map_origin(const struct viz_map *map, unsigned i, float ret[3])
{
	ret[0] = (float)(i % map->columns) * map->pitch;
	ret[1] = 0;
	ret[2] = (float)(i / map->columns) * map->pitch;
}

static void move(struct viz_vec *at, const float origin[3])
{
	at->x -= origin[0];
	at->y -= origin[1];
	at->z -= origin[2];
}

struct viz_view viz_map_view(const struct viz_map *map, unsigned i, const struct viz_view *view)
{
	struct viz_view seen = *view;
	float origin[3];
	viz_map_origin(map, i, origin);
	move(&seen.eye, origin);
	move(&seen.clip_low, origin);
	move(&seen.clip_high, origin);
	move(&seen.sphere, origin);
	return seen;
}

static float distance_of(const struct viz_map *map, const struct viz_view *view, unsigned i)
{
	float middle[3];
	viz_map_origin(map, i, middle);
	float x = middle[0] + map->side / 2 - view->eye.x;
	float z = middle[2] + map->side / 2 - view->eye.z;
	return x * x + z * z;
}

void viz_map_order(const struct viz_map *map, const struct viz_view *view, unsigned *ret)
{
	for (unsigned i = 0; i < map->n; i++) {
		unsigned at = i;
		for (; at && distance_of(map, view, ret[at - 1]) < distance_of(map, view, i);
		     at--)
			ret[at] = ret[at - 1];
		ret[at] = i;
	}
}
