/* Where a QEMU's RAM is: which guest-physical range is which part of which backing. The form
 * that is kept in vm.json and that vm_open turns into memory. Thread: any. */
#ifndef VM_LAYOUT_H
#define VM_LAYOUT_H
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

#include "base/vec.h"
struct error;
struct qmp;

struct layout_range {
	uint64_t gpa, size_bytes, offset;
	char backend[64]; /* "ram0" */
};

struct layout {
	VEC(struct layout_range) ranges;
};

/* Asks a running QEMU. Caller calls layout_deinit, also on failure. */
struct error *layout_query(struct qmp *qmp, struct layout *layout);
void layout_deinit(struct layout *layout);

/* [{"gpa","size","offset","backend"}]; pure, hostile input gives ERR_BAD_DATA. */
struct error *layout_to_json(const struct layout *layout, json_t **ret);
struct error *layout_from_json(const json_t *json, struct layout *layout);
#endif
