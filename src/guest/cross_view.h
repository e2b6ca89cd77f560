/* Things found by several ways, compared with those that a list has. Thread: one. */
#ifndef GUEST_CROSS_VIEW_H
#define GUEST_CROSS_VIEW_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/vec.h"

struct cross_view_entry {
	uint64_t gva;
	unsigned views;
};

struct cross_view {
	VEC(struct cross_view_entry) found; /* unsorted until compared */
	VEC(uint64_t) listed;
	bool no_memory;
};
void cross_view_deinit(struct cross_view *view);
/* False without memory: the walk that calls ends. */
bool cross_view_found(struct cross_view *view, uint64_t gva, unsigned views);
bool cross_view_listed(struct cross_view *view, uint64_t gva);
/* Moves what was found and not listed to the front of found, each once with all its views, and
 * returns how many. */
size_t cross_view_compare(struct cross_view *view);
#endif
