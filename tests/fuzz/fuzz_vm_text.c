/* What QEMU and its command line say, on any bytes: the memory map, a monitor line, a command
 * line, a layout. The first byte chooses. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "vm/layout.h"
#include "vm/mtree.h"
#include "vm/qemu_cmdline.h"
#include "vm/qmp.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void try_mtree(const char *text)
{
	static const char *const names[] = { "ram0", "pc.ram", NULL };
	struct mtree_layout layout = { 0 };
	struct error *err = mtree_parse(text, names, &layout);
	for (size_t i = 1; !err && i < layout.ranges.count; i++)
		CHECK(layout.ranges.items[i - 1].gpa + layout.ranges.items[i - 1].size_bytes <=
		      layout.ranges.items[i].gpa);
	error_destroy(err);
	VEC_FREE(&layout.ranges);
}

static void try_line(const char *text, size_t length)
{
	json_t *message = NULL;
	CHECK(qmp_parse_line(text, length, &message) <= length);
	struct layout layout = { 0 };
	error_destroy(layout_from_json(json_object_get(message, "layout"), &layout));
	layout_deinit(&layout);
	json_decref(message);
}

static void try_cmdline(const char *text, size_t length)
{
	struct qemu_cmdline cmdline;
	qemu_cmdline_is_qemu(text, length);
	struct error *err = qemu_cmdline_parse(text, length, &cmdline);
	if (!err)
		CHECK(qemu_cmdline_below_4g(&cmdline) <= cmdline.mem_bytes);
	error_destroy(err);
	qemu_cmdline_deinit(&cmdline);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	char *text = size ? malloc(size) : NULL;
	if (!text)
		return 0;
	memcpy(text, bytes + 1, size - 1);
	text[size - 1] = 0;
	if (bytes[0] % 3 == 0)
		try_mtree(text);
	else if (bytes[0] % 3 == 1)
		try_line(text, size - 1);
	else
		try_cmdline(text, size - 1);
	free(text);
	return 0;
}
