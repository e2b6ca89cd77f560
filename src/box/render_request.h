/* The arguments of `render`, checked. Thread: that of the call. */
#ifndef BOX_RENDER_REQUEST_H
#define BOX_RENDER_REQUEST_H
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "viz/view.h"
struct call_context;
struct error;

struct render_request {
	const char *path; /* NULL: the picture goes into the answer */
	uint32_t width, height, mode, turntable;
	const char *camera, *focus_text;
	json_t *focus; /* [{start, end}] or NULL; owned */
	float explode, opacity;
	float slice[3][2];
	struct viz_vec sphere; /* of voxels that are cut out, or kept */
	bool smooth; /* four samples for a pixel */
	bool has_text; /* a caption, a legend, names */
};

/* What is not given gets its default. The caller deinits *ret also on failure. Fails:
 * ERR_USAGE, and whatever finding a focus in the guest fails with. */
struct error *render_request_read(struct call_context *context, struct render_request *ret);
void render_request_deinit(struct render_request *request);
#endif
