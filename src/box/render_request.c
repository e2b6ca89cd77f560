#include "box/render_request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "box/call.h"
#include "box/focus.h"

enum { TURNTABLE_MAX = 3600, SERVED_MAX = 2048 };

static struct error *read_size(const char *text, struct render_request *request)
{
	unsigned width = 0, height = 0;
	char rest;
	request->width = 1280;
	request->height = 720;
	if (!text)
		return NULL;
	if (sscanf(text, "%5ux%5u%c", &width, &height, &rest) != 2 || width < 16 ||
	    height < 16 || width > 8192 || height > 8192)
		return error_create(ERR_USAGE,
				    "size must be WIDTHxHEIGHT, 16 to 8192 each, not '%s'",
				    text);
	request->width = width;
	request->height = height;
	return NULL;
}

static uint32_t mode_number(const char *name)
{
	for (uint32_t i = 0; name && viz_mode_names[i]; i++)
		if (!strcmp(viz_mode_names[i], name))
			return i;
	return VIZ_MODE_KIND;
}

/* "0x1000" is the page there, "0x1000-0x5000" a range, "pid:1" and the like what focus.h says.
 */
static struct error *find_focus(struct call_context *context, const char *text, json_t **ret)
{
	if (!text)
		return NULL;
	if (strchr(text, ':'))
		return focus_ranges(context, text, ret);
	char *end = NULL;
	errno = 0;
	uint64_t first = strtoull(text, &end, 0), last = first + PHYS_PAGE_SIZE;
	if (end != text && *end == '-')
		last = strtoull(end + 1, &end, 0);
	if (errno || end == text || *end || *text == '-' || last <= first)
		return error_create(ERR_USAGE,
				    "focus must be an address, a range such as "
				    "0x1000000-0x1200000, or a word such as pid:1, not '%s'",
				    text);
	*ret = json_pack("[{s:o, s:o}]", "start", call_hex(first), "end", call_hex(last));
	return *ret ? NULL : error_create(ERR_MEMORY, "no memory for a focus");
}

/* A number of 0 to 100 as a fraction. */
static struct error *read_percent(struct call_context *context, const char *name,
				  uint64_t otherwise, float *ret)
{
	uint64_t percent = call_integer(context, name, otherwise);
	if (percent > 100)
		return error_create(ERR_USAGE, "%s must be 0 to 100", name);
	*ret = (float)percent / 100;
	return NULL;
}

/* A turntable is one animated file, or numbered ones. */
static struct error *read_turntable(struct call_context *context,
				    struct render_request *request)
{
	uint64_t pictures = call_integer(context, "turntable", 0);
	if (pictures > TURNTABLE_MAX)
		return error_create(ERR_USAGE, "turntable must be at most %d pictures",
				    TURNTABLE_MAX);
	request->turntable = (uint32_t)pictures;
	return NULL;
}

static struct error *read_slice(struct call_context *context, struct render_request *request)
{
	const char *text = call_string(context, "slice");
	for (unsigned axis = 0; axis < 3; axis++)
		request->slice[axis][1] = 1;
	if (text && !viz_slice_parse(text, request->slice))
		return error_create(ERR_USAGE,
				    "slice must be X-X,Y-Y,Z-Z in percent, such as "
				    "0-100,0-50,0-100, not '%s'",
				    text);
	return NULL;
}

static struct error *read_sphere(struct call_context *context, struct render_request *request)
{
	const char *text = call_string(context, "sphere");
	if (text && !viz_sphere_parse(text, &request->sphere))
		return error_create(ERR_USAGE,
				    "sphere must be X,Y,Z,RADIUS in voxels, such as "
				    "256,256,0,200, not '%s'",
				    text);
	return NULL;
}

struct error *render_request_read(struct call_context *context, struct render_request *request)
{
	*request = (struct render_request){ .path = call_string(context, "output"),
					    .camera = call_string(context, "camera"),
					    .focus_text = call_string(context, "focus") };
	TRY(read_size(call_string(context, "size"), request));
	TRY(read_percent(context, "explode", 0, &request->explode));
	TRY(read_percent(context, "opacity", 100, &request->opacity));
	TRY(read_slice(context, request));
	TRY(read_sphere(context, request));
	if (!request->path && (request->width > SERVED_MAX || request->height > SERVED_MAX))
		return error_create(
			ERR_USAGE, "a picture in the answer is at most %d pixels wide and high",
			SERVED_MAX);
	request->mode = mode_number(call_string(context, "mode"));
	request->smooth = !call_bool(context, "fast");
	request->has_text =
		!call_bool(context, "plain") && request->width >= 400 && request->height >= 240;
	TRY(read_turntable(context, request));
	return find_focus(context, request->focus_text, &request->focus);
}

void render_request_deinit(struct render_request *request)
{
	json_decref(request->focus);
}
