#include "guest/cross_view.h"

#include <stdlib.h>

enum { ENTRIES_MAX = 1 << 20 };

void cross_view_deinit(struct cross_view *view)
{
	VEC_FREE(&view->found);
	VEC_FREE(&view->listed);
}

bool cross_view_found(struct cross_view *view, uint64_t gva, unsigned views)
{
	struct cross_view_entry entry = { gva, views };
	if (view->found.count >= ENTRIES_MAX || !VEC_PUSH(&view->found, entry))
		view->no_memory = true;
	return !view->no_memory;
}

bool cross_view_listed(struct cross_view *view, uint64_t gva)
{
	if (view->listed.count >= ENTRIES_MAX || !VEC_PUSH(&view->listed, gva))
		view->no_memory = true;
	return !view->no_memory;
}

/* Entries begin with their address. */
static int compare_addresses(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
	return a < b ? -1 : a > b;
}

static bool is_listed(const struct cross_view *view, uint64_t gva)
{
	return view->listed.count && bsearch(&gva, view->listed.items, view->listed.count,
					     sizeof(gva), compare_addresses);
}

size_t cross_view_compare(struct cross_view *view)
{
	struct cross_view_entry *found = view->found.items;
	size_t kept = 0, n = view->found.count;
	if (view->listed.count)
		qsort(view->listed.items, view->listed.count, sizeof(uint64_t),
		      compare_addresses);
	if (n)
		qsort(found, n, sizeof(*found), compare_addresses);
	for (size_t i = 0; i < n;) {
		struct cross_view_entry entry = found[i];
		for (i++; i < n && found[i].gva == entry.gva; i++)
			entry.views |= found[i].views;
		if (!is_listed(view, entry.gva))
			found[kept++] = entry;
	}
	return kept;
}
