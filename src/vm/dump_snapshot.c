#include "vm/dump.h"

#include <jansson.h>

#include "base/bytes.h"
#include "base/error.h"
#include "vm/layout.h"
#include "vm/snapshot_file.h"

OWN_DECLARE(own_json, json_t *, json_decref)

static bool probe(const uint8_t *bytes, uint64_t size_bytes)
{
	return size_bytes >= sizeof(uint64_t) && load_u64(bytes) == SNAPSHOT_MAGIC;
}

static struct error *add_range(const struct snapshot_header *header,
			       const struct layout_range *range, struct dump_layout *layout)
{
	if (!range_fits(range->offset, range->size_bytes, header->ram_bytes))
		return error_create(ERR_BAD_DATA, "its memory layout does not fit its RAM");
	return dump_layout_add(layout, range->gpa, range->size_bytes,
			       header->ram_offset + range->offset);
}

static struct error *layout(const uint8_t *bytes, uint64_t size_bytes,
			    struct dump_layout *layout_ret)
{
	struct snapshot_header header;
	AUTO(own_json) json_t *json = NULL;
	AUTO(layout_deinit) struct layout ranges = { 0 };
	TRY(snapshot_parse(bytes, size_bytes, &header, &json));
	TRY(layout_from_json(json_object_get(json, "layout"), &ranges));
	for (size_t i = 0; i < ranges.ranges.count; i++)
		TRY(add_range(&header, &ranges.ranges.items[i], layout_ret));
	return NULL;
}

const struct dump_format dump_snapshot = { .name = "snapshot",
					   .probe = probe,
					   .layout = layout };
