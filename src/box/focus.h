/* What a picture or an answer is about, as guest-physical ranges. A focus is a text:
 *   address:0x1000  kind:slab  pid:42  heap:42  stack:42  pagetables:42  file:/bin/sh
 * symbol:init_task Thread: that of the call. */
#ifndef BOX_FOCUS_H
#define BOX_FOCUS_H
#include <jansson.h>
struct call_context;
struct error;

/* Caller owns *ret: [{"start": "0x...", "end": "0x..."}], sorted, at most FOCUS_MAX_RANGES, the
 * largest ones when there are more. Fails: ERR_USAGE (no such focus), ERR_NOT_FOUND. */
enum { FOCUS_MAX_RANGES = 4096 };
struct error *focus_ranges(struct call_context *context, const char *focus, json_t **ret);
#endif
