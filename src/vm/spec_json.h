/* A struct vm_spec as JSON, so that a snapshot can be started as the same machine. Thread: any.
 */
#ifndef VM_SPEC_JSON_H
#define VM_SPEC_JSON_H
#include <jansson.h>

#include "vm/spec.h"
struct error;

/* What tells whether a file is still the same: [absolute path, bytes, mtime s, ns]. NULL when
 * it cannot be looked at, or for NULL. */
json_t *spec_file_stamp(const char *path);

/* Caller owns *ret. */
struct error *spec_to_json(const struct vm_spec *spec, json_t **ret);

/* Fills in spec; kernel and initrd only if their files are still what they were (without them a
 * reset ends at the firmware). Looks at these files; its texts borrow from json, its lists from
 * *lists_ret, which the caller frees after the last use of spec. ERR_BAD_DATA. */
struct error *spec_from_json(const json_t *json, struct vm_spec *spec, const char ***lists_ret);
#endif
