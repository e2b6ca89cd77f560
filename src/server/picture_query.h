/* The query of .../frame as a view. Pure, so that it can be fuzzed. Thread: any. */
#ifndef SERVER_PICTURE_QUERY_H
#define SERVER_PICTURE_QUERY_H
#include <stdbool.h>
#include <stdint.h>

#include "viz/view.h"
struct error;

enum { PICTURE_MAX_RANGES = 64 };

struct picture_query {
	struct viz_camera camera;
	uint32_t width, height, mode;
	float explode, opacity;
	float slice[3][2]; /* fractions of each axis */
	struct viz_vec sphere; /* voxels; w: radius, 0: none, below 0: its inside is kept */
	uint32_t hidden_kinds; /* bit per kind */
	int64_t pid; /* -1: none */
	struct {
		uint64_t first, end;
	} ranges[PICTURE_MAX_RANGES];
	unsigned n_ranges;
	bool is_draft, is_pick;
	uint32_t pick_x, pick_y;
};

/* ERR_USAGE when a value makes no sense. */
struct error *picture_query_parse(const char *text, struct picture_query *ret);
#endif
