/* `render`: a picture of a guest's memory, drawn without a window. */
#include "box/calls.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "box/focus.h"
#include "box/guest_call.h"
#include "box/scene_label.h"
#include "box/target.h"
#include "gpu/device.h"
#include "viz/frame.h"
#include "viz/palette.h"
#include "viz/picture.h"
#include "viz/scene.h"

enum { TURNTABLE_MAX = 3600, SERVED_MAX = 2048 };

/* What the person asked for, checked. */
struct request {
	const char *path;
	uint32_t width, height, mode, turntable;
	const char *camera;
	json_t *focus; /* [{start, end}] or NULL; owned */
	float explode, opacity;
	bool smooth; /* four samples for a pixel */
};

static struct error *read_size(const char *text, struct request *request)
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

static struct error *read_request(struct call_context *context, struct request *request)
{
	*request = (struct request){ .path = call_string(context, "output"),
				     .camera = call_string(context, "camera") };
	TRY(read_size(call_string(context, "size"), request));
	TRY(read_percent(context, "explode", 0, &request->explode));
	TRY(read_percent(context, "opacity", 100, &request->opacity));
	if (!request->path && (request->width > SERVED_MAX || request->height > SERVED_MAX))
		return error_create(
			ERR_USAGE, "a picture in the answer is at most %d pixels wide and high",
			SERVED_MAX);
	request->mode = mode_number(call_string(context, "mode"));
	request->smooth = !call_bool(context, "fast");
	uint64_t pictures = call_integer(context, "turntable", 0);
	if (pictures > TURNTABLE_MAX)
		return error_create(ERR_USAGE, "turntable must be at most %d pictures",
				    TURNTABLE_MAX);
	request->turntable = (uint32_t)pictures;
	if (request->turntable && request->path && !strchr(request->path, '%'))
		return error_hint(
			error_create(ERR_USAGE, "a turntable needs a numbered file name"),
			"for example -o turn-%%03d.png");
	return NULL;
}

static uint64_t range_value(const json_t *range, const char *name)
{
	const char *text = json_string_value(json_object_get(range, name));
	return text ? strtoull(text, NULL, 0) : 0;
}

static void join(struct viz_bounds *bounds, const struct viz_bounds *more)
{
	for (unsigned i = 0; i < 3; i++) {
		bounds->low[i] = fminf(bounds->low[i], more->low[i]);
		bounds->high[i] = fmaxf(bounds->high[i], more->high[i]);
	}
}

/* Lights up the focus and finds the box around it. */
static struct error *select_focus(const json_t *focus, struct viz_scene *scene,
				  struct viz_bounds *ret)
{
	uint64_t top = viz_scene_frames(scene) * PHYS_PAGE_SIZE;
	struct viz_bounds bounds = viz_bounds_none;
	for (size_t i = 0; i < json_array_size(focus); i++) {
		const json_t *range = json_array_get(focus, i);
		uint64_t first = range_value(range, "start"), end = range_value(range, "end");
		end = end < top ? end : top;
		if (first >= end)
			continue;
		struct viz_bounds part = viz_scene_bounds(scene, first, end);
		join(&bounds, &part);
		for (uint64_t at = first; at < end; at += PHYS_PAGE_SIZE)
			viz_scene_set_flags(scene, at / PHYS_PAGE_SIZE, VIZ_PAGE_SELECTED, 0);
	}
	if (bounds.low[0] > bounds.high[0])
		return error_create(ERR_NOT_FOUND, "nothing in memory to focus on");
	*ret = bounds;
	return NULL;
}

static struct error *aim(const struct request *request, struct viz_scene *scene,
			 struct viz_view *view, struct viz_camera *camera)
{
	struct viz_bounds bounds = viz_scene_data_bounds(scene);
	if (request->focus) {
		TRY(select_focus(request->focus, scene, &bounds));
		view->flags |= VIZ_SELECT;
	}
	viz_bounds_explode(&bounds, request->explode);
	*camera = (struct viz_camera){ .yaw = 38, .pitch = 27 };
	float aspect = (float)request->width / (float)request->height;
	viz_camera_fit(camera, &bounds, aspect);
	if (request->camera) {
		float fitted = camera->distance;
		if (!viz_camera_parse(camera, request->camera))
			return error_create(
				ERR_USAGE,
				"camera must be YAW,PITCH or YAW,PITCH,ZOOM, not '%s'",
				request->camera);
		float zoom = fitted / camera->distance;
		viz_camera_fit(camera, &bounds, aspect);
		camera->distance /= zoom;
	}
	view->explode = request->explode;
	view->opacity = fmaxf(request->opacity, 0.01f);
	view->mode = request->mode;
	scene_label_palette(view);
	return NULL;
}

/* For who cannot be given a file. */
static struct error *encode(const struct viz_picture *picture, json_t **ret)
{
	AUTO(own_free) uint8_t *png = NULL;
	size_t size = 0;
	TRY(viz_picture_png(picture, &png, &size));
	*ret = json_base64(png, size);
	return *ret ? NULL : error_create(ERR_MEMORY, "no memory for a picture");
}

static struct error *draw(struct viz_frames *frames, const struct request *request,
			  const struct viz_view *view, const char *path, uint64_t *gpu_ns_ret,
			  json_t **png_ret)
{
	AUTO(own_viz_picture) struct viz_picture *picture = NULL, *half = NULL;
	TRY(viz_picture_create(view->width, view->height, &picture));
	TRY(viz_frames_draw(frames, view, picture, gpu_ns_ret));
	if (request->smooth)
		TRY(viz_picture_halve(picture, &half));
	const struct viz_picture *drawn = half ? half : picture;
	return path ? viz_picture_save(drawn, path) : encode(drawn, png_ret);
}

/* File name of picture i: the only % of the pattern must be like %d or %03d. */
static struct error *number_path(const char *pattern, uint32_t i, char **ret)
{
	const char *percent = strchr(pattern, '%'), *rest = percent + 1;
	int digits = 0;
	while (*rest >= '0' && *rest <= '9' && digits < 100)
		digits = digits * 10 + (*rest++ - '0');
	if (*rest != 'd' || strchr(rest, '%') || digits > 9)
		return error_create(ERR_USAGE,
				    "'%s' is no numbered file name such as turn-%%03d.png",
				    pattern);
	if (asprintf(ret, "%.*s%0*u%s", (int)(percent - pattern), pattern, digits, i,
		     rest + 1) < 0)
		return error_create(ERR_MEMORY, "no memory for a file name");
	return NULL;
}

static struct error *draw_all(struct call_context *context, struct viz_frames *frames,
			      const struct request *request, uint64_t *gpu_ns_ret,
			      json_t **png_ret)
{
	struct viz_view view;
	struct viz_camera camera;
	uint32_t factor = request->smooth ? 2 : 1;
	viz_view_init(&view, request->width * factor, request->height * factor);
	TRY(aim(request, viz_frames_scene(frames), &view, &camera));
	if (!request->turntable || !request->path) {
		viz_view_aim(&view, &camera);
		return draw(frames, request, &view, request->path, gpu_ns_ret, png_ret);
	}
	for (uint32_t i = 0; i < request->turntable; i++) {
		AUTO(own_free) char *path = NULL;
		TRY(number_path(request->path, i, &path));
		struct viz_camera turned = camera;
		turned.yaw += 360 * (float)i / (float)request->turntable;
		viz_view_aim(&view, &turned);
		TRY(draw(frames, request, &view, path, gpu_ns_ret, NULL));
		call_progress(context, (double)(i + 1) / request->turntable, "drawing");
	}
	return NULL;
}

static json_t *legend(const struct scene_label *label)
{
	json_t *list = json_array();
	for (unsigned kind = 0; kind < 32; kind++) {
		uint32_t rgb;
		const char *name = label->frames[kind] ? scene_label_name(kind, &rgb) : NULL;
		if (name)
			json_array_append_new(
				list, json_pack("{s:s, s:o, s:I}", "kind", name, "colour",
						json_sprintf("#%06x", rgb), "pages",
						(json_int_t)label->frames[kind]));
	}
	return list;
}

static struct error *describe(struct viz_frames *frames, const struct request *request,
			      const struct scene_label *label, uint64_t gpu_ns, json_t **ret)
{
	struct viz_scene_stats stats;
	viz_scene_stats(viz_frames_scene(frames), &stats);
	const struct gpu_info *info = gpu_info(viz_frames_gpu(frames));
	*ret = json_pack(
		"{s:s?, s:i, s:i, s:s, s:s, s:b, s:s, s:s, s:i, s:I, s:I, s:I, s:I, s:f, s:o}",
		"file", request->path, "width", (int)request->width, "height",
		(int)request->height, "mode", viz_mode_names[request->mode], "device",
		info->name, "software", info->is_software, "source", stats.source, "kinds",
		label->is_true ? "kernel" : "guessed from bytes", "order",
		(int)viz_scene_order(viz_frames_scene(frames)), "ram_pages",
		(json_int_t)stats.ram_pages, "data_pages", (json_int_t)stats.data_pages,
		"resident_pages", (json_int_t)stats.resident_pages, "gpu_bytes",
		(json_int_t)stats.gpu_bytes, "draw_ms", (double)gpu_ns / 1e6, "legend",
		legend(label));
	return *ret ? NULL : error_create(ERR_MEMORY, "no memory for the answer");
}

static void request_deinit(struct request *request)
{
	json_decref(request->focus);
}

static struct error *render_run(struct call_context *context, json_t **ret)
{
	AUTO(request_deinit) struct request request = { 0 };
	TRY(read_request(context, &request));
	if (call_has(context, "focus"))
		TRY(find_focus(context, call_string(context, "focus"), &request.focus));
	struct scene_label label = { .target = context->target };
	AUTO(own_viz_frames) struct viz_frames *frames = NULL;
	TRY(viz_frames_create(
		&(struct viz_frames_params){ .device = call_string(context, "device"),
					     .probe_import = true,
					     .mem = target_memory(context->target),
					     .label = scene_label_apply,
					     .label_user = &label },
		&frames));
	uint64_t gpu_ns = 0;
	AUTO(own_json) json_t *png = NULL;
	TRY(draw_all(context, frames, &request, &gpu_ns, &png));
	TRY(describe(frames, &request, &label, gpu_ns, ret));
	if (png)
		json_object_set(*ret, "png_base64", png);
	return NULL;
}

static const struct call_param render_params[] = {
	{ "output", CALL_PATH, .letter = 'o', .required = true, .local = true,
	  .placeholder = "F.png", .help = "PNG to write" },
	{ "size", CALL_STRING, .placeholder = "WxH", .help = "pixels; 1280x720 if not given" },
	{ "mode", CALL_STRING, .choices = "kind,owner,byte,entropy,heat", .placeholder = "MODE",
	  .help = "what colours mean; kind if not given" },
	{ "camera", CALL_STRING, .placeholder = "YAW,PITCH[,ZOOM]",
	  .help = "degrees, and how much nearer than fitting" },
	{ "focus", CALL_STRING, .placeholder = "QUERY",
	  .help = "look at 0xADDRESS, 0xA-0xB, pid:1, kind:slab, file:/bin/sh, ..." },
	{ "explode", CALL_INTEGER, .placeholder = "PERCENT",
	  .help = "move blocks of 2 MiB apart" },
	{ "opacity", CALL_INTEGER, .placeholder = "PERCENT", .help = "less than 100: x-ray" },
	{ "turntable", CALL_INTEGER, .local = true, .placeholder = "N",
	  .help = "N pictures around; -o takes a name like turn-%03d.png" },
	{ "fast", CALL_BOOL, .help = "one sample for a pixel instead of four" },
	{ "device", CALL_STRING, .placeholder = "NAME", .help = "part of the GPU's name" },
	{ 0 },
};

const struct call call_render = {
	.name = "render",
	.group = "pictures",
	.summary = "draw memory as a volume along a Hilbert curve",
	.details =
		"Every 4 KiB page is a brick of 16x16x16 voxels, one for each byte; zero "
		"bytes\n"
		"are void. Works without a display, on a GPU or on the CPU. Over REST and MCP "
		"the picture\n"
		"comes back with the answer (png_base64).",
	.examples = "  glassbox render demo -o demo.png --size 1920x1080\n"
		    "  glassbox render --file ram.raw -o ram.png --mode entropy",
	.flags = CALL_TARGET,
	.params = render_params,
	.run = render_run,
};
