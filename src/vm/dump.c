#include "vm/dump.h"

#include <stdlib.h>

#include "base/error.h"
#include "vm/dump_hole.h"
#include "vm/mapping.h"
#include "vm/ram.h"

/* ORDER dump formats; raw is last because it accepts everything. */
static const struct dump_format *const formats[] = {
	&dump_lime,
	&dump_elf,
	&dump_snapshot,
	&dump_raw,
};

static const struct dump_format *find_format(const uint8_t *bytes, uint64_t size_bytes)
{
	size_t i = 0;
	while (!formats[i]->probe(bytes, size_bytes))
		i++;
	return formats[i];
}

struct error *dump_layout_add(struct dump_layout *layout, uint64_t gpa, uint64_t size_bytes,
			      uint64_t file_offset)
{
	struct dump_piece piece = { gpa, size_bytes, file_offset };
	if (!VEC_PUSH(&layout->pieces, piece))
		return error_create(ERR_MEMORY, "no memory for the layout of a dump");
	return NULL;
}

static struct error *open_layout(struct mapping *mapping, const struct dump_layout *layout,
				 struct phys_mem **ret)
{
	AUTO(own_free) struct ram_piece *pieces = NULL;
	TRY(error_alloc(layout->pieces.count, sizeof(*pieces), &pieces));
	for (size_t i = 0; i < layout->pieces.count; i++) {
		const struct dump_piece *from = &layout->pieces.items[i];
		bool zero = from->file_offset == DUMP_ZERO;
		pieces[i] = (struct ram_piece){ .gpa = from->gpa,
						.size_bytes = from->size_bytes,
						.offset = zero ? 0 : from->file_offset,
						.source = zero ? RAM_ZERO : RAM_MAPPED };
	}
	return ram_create(&(struct ram_params){ .pieces = pieces,
						.n_pieces = layout->pieces.count,
						.mappings = &mapping,
						.n_mappings = 1 },
			  ret);
}

struct error *dump_open(const char *path, struct phys_mem **ret)
{
	AUTO(own_mapping) struct mapping *mapping = NULL;
	TRY(mapping_open(path, &mapping));
	const uint8_t *bytes = mapping_bytes(mapping);
	const struct dump_format *format = find_format(bytes, mapping_size(mapping));
	struct dump_layout layout = { 0 };
	struct error *err = format->layout(bytes, mapping_size(mapping), &layout);
	if (!err && format == &dump_raw)
		err = dump_hole_split(mapping, &layout);
	if (!err)
		err = open_layout(mapping, &layout, ret);
	VEC_FREE(&layout.pieces);
	if (err)
		return error_wrap(err, "%s (%s dump)", path, format->name);
	mapping = NULL; /* the memory owns it now */
	return NULL;
}

struct error *dump_format_of(const char *path, const char **name_ret)
{
	AUTO(own_mapping) struct mapping *mapping = NULL;
	TRY(mapping_open(path, &mapping));
	*name_ret = find_format(mapping_bytes(mapping), mapping_size(mapping))->name;
	return NULL;
}
