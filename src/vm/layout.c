#include "vm/layout.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "vm/mtree.h"
#include "vm/qmp.h"

OWN_DECLARE(own_json, json_t *, json_decref)

/* Names that machines give to RAM for which the command line made no backend. */
static const char *const default_names[] = { "pc.ram", "microvm.ram", "ram" };
#define N_DEFAULT (sizeof(default_names) / sizeof(*default_names))
#define MAX_BACKENDS 256

void layout_deinit(struct layout *layout)
{
	VEC_FREE(&layout->ranges);
}

static struct error *add(struct layout *layout, const struct layout_range *range)
{
	if (!VEC_PUSH(&layout->ranges, *range))
		return error_create(ERR_MEMORY, "no memory for a layout");
	return NULL;
}

static struct error *from_mtree(const struct mtree_layout *tree, struct layout *layout)
{
	for (size_t i = 0; i < tree->ranges.count; i++) {
		const struct mtree_range *from = &tree->ranges.items[i];
		struct layout_range range = { .gpa = from->gpa,
					      .size_bytes = from->size_bytes,
					      .offset = from->offset };
		memcpy(range.backend, from->name, sizeof(range.backend));
		TRY(add(layout, &range));
	}
	return NULL;
}

struct error *layout_query(struct qmp *qmp, struct layout *layout)
{
	AUTO(own_json) json_t *backends = NULL;
	AUTO(own_free) char *text = NULL;
	TRY(qmp_command(qmp, "query-memdev", NULL, 5000, &backends));
	const char *names[MAX_BACKENDS + N_DEFAULT + 1];
	size_t count = 0;
	for (size_t i = 0; i < json_array_size(backends) && count < MAX_BACKENDS; i++) {
		const char *id =
			json_string_value(json_object_get(json_array_get(backends, i), "id"));
		if (id)
			names[count++] = id;
	}
	for (size_t i = 0; i < N_DEFAULT; i++)
		names[count++] = default_names[i];
	names[count] = NULL;
	TRY(qmp_human(qmp, "info mtree -f", &text));
	struct mtree_layout tree = { 0 };
	struct error *err = mtree_parse(text, names, &tree);
	if (!err)
		err = from_mtree(&tree, layout);
	VEC_FREE(&tree.ranges);
	return err;
}

struct error *layout_to_json(const struct layout *layout, json_t **ret)
{
	AUTO(own_json) json_t *list = json_array();
	for (size_t i = 0; i < layout->ranges.count; i++) {
		const struct layout_range *range = &layout->ranges.items[i];
		json_array_append_new(
			list, json_pack("{s:I, s:I, s:I, s:s}", "gpa", (json_int_t)range->gpa,
					"size", (json_int_t)range->size_bytes, "offset",
					(json_int_t)range->offset, "backend", range->backend));
	}
	if (json_array_size(list) != layout->ranges.count)
		return error_create(ERR_MEMORY, "no memory for a layout");
	*ret = TAKE(list);
	return NULL;
}

struct error *layout_from_json(const json_t *json, struct layout *layout)
{
	for (size_t i = 0; i < json_array_size(json); i++) {
		json_int_t gpa, size, offset;
		const char *backend;
		if (json_unpack(json_array_get(json, i), "{s:I, s:I, s:I, s:s}", "gpa", &gpa,
				"size", &size, "offset", &offset, "backend", &backend) ||
		    gpa < 0 || size <= 0 || offset < 0)
			return error_create(ERR_BAD_DATA, "the memory layout is damaged");
		struct layout_range range = { .gpa = (uint64_t)gpa,
					      .size_bytes = (uint64_t)size,
					      .offset = (uint64_t)offset };
		if (snprintf(range.backend, sizeof(range.backend), "%s", backend) >=
		    (int)sizeof(range.backend))
			return error_create(ERR_BAD_DATA, "the memory layout is damaged");
		TRY(add(layout, &range));
	}
	if (!layout->ranges.count)
		return error_create(ERR_BAD_DATA, "the memory layout is empty");
	return NULL;
}
