#include "vm/dump.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/phys_mem.h"

static bool probe(const uint8_t *bytes, uint64_t size_bytes)
{
	return true;
}

/* File offset equals guest-physical address; a last partial page is dropped. */
static struct error *layout(const uint8_t *bytes, uint64_t size_bytes,
			    struct dump_layout *layout_ret)
{
	uint64_t whole = align_down(size_bytes, PHYS_PAGE_SIZE);
	if (!whole)
		return error_create(ERR_BAD_DATA, "%llu bytes are less than one page",
				    (unsigned long long)size_bytes);
	return dump_layout_add(layout_ret, 0, whole, 0);
}

const struct dump_format dump_raw = { .name = "raw", .probe = probe, .layout = layout };
