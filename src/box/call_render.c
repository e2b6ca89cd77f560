/* `render`: a picture of a guest's memory, drawn without a window. */
#include "box/calls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "box/target.h"
#include "gpu/device.h"
#include "viz/frame.h"
#include "viz/palette.h"
#include "viz/picture.h"
#include "viz/scene.h"

OWN_DECLARE(own_json, json_t *, json_decref)

enum { TURNTABLE_MAX = 3600 };

/* What the person asked for, checked. */
struct request {
	const char *path;
	uint32_t width, height, mode, turntable;
	const char *camera;
	bool has_focus;
	uint64_t focus_first, focus_end;
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

/* "0x1000" is the page there, "0x1000-0x5000" a range; ends are addresses. */
static struct error *read_focus(const char *text, struct request *request)
{
	if (!text)
		return NULL;
	char *end = NULL;
	errno = 0;
	uint64_t first = strtoull(text, &end, 0), last = first + PHYS_PAGE_SIZE;
	if (end != text && *end == '-')
		last = strtoull(end + 1, &end, 0);
	if (errno || end == text || *end || *text == '-' || last <= first)
		return error_create(ERR_USAGE,
				    "focus must be a physical address or a range such as "
				    "0x1000000-0x1200000, not '%s'",
				    text);
	request->has_focus = true;
	request->focus_first = first;
	request->focus_end = last;
	return NULL;
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
	TRY(read_focus(call_string(context, "focus"), request));
	TRY(read_percent(context, "explode", 0, &request->explode));
	TRY(read_percent(context, "opacity", 100, &request->opacity));
	request->mode = mode_number(call_string(context, "mode"));
	request->smooth = !call_bool(context, "fast");
	uint64_t pictures = call_integer(context, "turntable", 0);
	if (pictures > TURNTABLE_MAX)
		return error_create(ERR_USAGE, "turntable must be at most %d pictures",
				    TURNTABLE_MAX);
	request->turntable = (uint32_t)pictures;
	if (request->turntable && !strchr(request->path, '%'))
		return error_hint(
			error_create(ERR_USAGE, "a turntable needs a numbered file name"),
			"for example -o turn-%%03d.png");
	return NULL;
}

static struct error *aim(const struct request *request, struct viz_scene *scene,
			 struct viz_view *view, struct viz_camera *camera)
{
	uint64_t end = viz_scene_frames(scene) * PHYS_PAGE_SIZE;
	if (request->has_focus && request->focus_first >= end)
		return error_create(ERR_NOT_FOUND, "no memory at 0x%llx",
				    (unsigned long long)request->focus_first);
	struct viz_bounds bounds =
		request->has_focus
			? viz_scene_bounds(scene, request->focus_first,
					   request->focus_end < end ? request->focus_end : end)
			: viz_scene_bounds(scene, 0, end);
	*camera = (struct viz_camera){ .yaw = 38, .pitch = 27 };
	float aspect = (float)request->width / (float)request->height;
	viz_camera_fit(camera, &bounds, aspect);
	struct viz_camera asked = *camera;
	if (request->camera) {
		if (!viz_camera_parse(&asked, request->camera))
			return error_create(
				ERR_USAGE,
				"camera must be YAW,PITCH or YAW,PITCH,ZOOM, not '%s'",
				request->camera);
		float zoom = asked.distance / camera->distance;
		viz_camera_fit(&asked, &bounds, aspect);
		asked.distance *= zoom;
	}
	*camera = asked;
	view->explode = request->explode;
	view->opacity = request->opacity > 0.01f ? request->opacity : 0.01f;
	view->mode = request->mode;
	return NULL;
}

static struct error *draw(struct viz_frames *frames, const struct request *request,
			  const struct viz_view *view, const char *path, uint64_t *gpu_ns_ret)
{
	AUTO(own_viz_picture) struct viz_picture *picture = NULL, *half = NULL;
	TRY(viz_picture_create(view->width, view->height, &picture));
	TRY(viz_frames_draw(frames, view, picture, gpu_ns_ret));
	if (request->smooth)
		TRY(viz_picture_halve(picture, &half));
	return viz_picture_save(half ? half : picture, path);
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
			      const struct request *request, uint64_t *gpu_ns_ret)
{
	struct viz_view view;
	struct viz_camera camera;
	uint32_t factor = request->smooth ? 2 : 1;
	viz_view_init(&view, request->width * factor, request->height * factor);
	TRY(aim(request, viz_frames_scene(frames), &view, &camera));
	if (!request->turntable) {
		viz_view_aim(&view, &camera);
		return draw(frames, request, &view, request->path, gpu_ns_ret);
	}
	for (uint32_t i = 0; i < request->turntable; i++) {
		AUTO(own_free) char *path = NULL;
		TRY(number_path(request->path, i, &path));
		struct viz_camera turned = camera;
		turned.yaw += 360 * (float)i / (float)request->turntable;
		viz_view_aim(&view, &turned);
		TRY(draw(frames, request, &view, path, gpu_ns_ret));
		call_progress(context, (double)(i + 1) / request->turntable, "drawing");
	}
	return NULL;
}

static struct error *describe(struct viz_frames *frames, const struct request *request,
			      uint64_t gpu_ns, json_t **ret)
{
	struct viz_scene_stats stats;
	viz_scene_stats(viz_frames_scene(frames), &stats);
	const struct gpu_info *info = gpu_info(viz_frames_gpu(frames));
	*ret = json_pack("{s:s, s:i, s:i, s:s, s:s, s:b, s:s, s:i, s:I, s:I, s:I, s:I, s:f}",
			 "file", request->path, "width", (int)request->width, "height",
			 (int)request->height, "mode", viz_mode_names[request->mode], "device",
			 info->name, "software", info->is_software, "source", stats.source,
			 "order", (int)viz_scene_order(viz_frames_scene(frames)), "ram_pages",
			 (json_int_t)stats.ram_pages, "data_pages",
			 (json_int_t)stats.data_pages, "resident_pages",
			 (json_int_t)stats.resident_pages, "gpu_bytes",
			 (json_int_t)stats.gpu_bytes, "draw_ms", (double)gpu_ns / 1e6);
	return *ret ? NULL : error_create(ERR_MEMORY, "no memory for the answer");
}

static struct error *render_run(struct call_context *context, json_t **ret)
{
	struct request request;
	TRY(read_request(context, &request));
	AUTO(own_viz_frames) struct viz_frames *frames = NULL;
	TRY(viz_frames_create(
		&(struct viz_frames_params){ .device = call_string(context, "device"),
					     .probe_import = true,
					     .mem = target_memory(context->target) },
		&frames));
	uint64_t gpu_ns = 0;
	TRY(draw_all(context, frames, &request, &gpu_ns));
	return describe(frames, &request, gpu_ns, ret);
}

static const struct call_param render_params[] = {
	{ "output", CALL_PATH, .letter = 'o', .required = true, .placeholder = "F.png",
	  .help = "PNG to write" },
	{ "size", CALL_STRING, .placeholder = "WxH", .help = "pixels; 1280x720 if not given" },
	{ "mode", CALL_STRING, .choices = "kind,owner,byte,entropy,heat", .placeholder = "MODE",
	  .help = "what colours mean; kind if not given" },
	{ "camera", CALL_STRING, .placeholder = "YAW,PITCH[,ZOOM]",
	  .help = "degrees, and how much nearer than fitting" },
	{ "focus", CALL_STRING, .placeholder = "QUERY",
	  .help = "look at an address or a range A-B" },
	{ "explode", CALL_INTEGER, .placeholder = "PERCENT",
	  .help = "move blocks of 2 MiB apart" },
	{ "opacity", CALL_INTEGER, .placeholder = "PERCENT", .help = "less than 100: x-ray" },
	{ "turntable", CALL_INTEGER, .placeholder = "N",
	  .help = "N pictures around; -o takes a name like turn-%03d.png" },
	{ "fast", CALL_BOOL, .help = "one sample for a pixel instead of four" },
	{ "device", CALL_STRING, .placeholder = "NAME", .help = "part of the GPU's name" },
	{ 0 },
};

const struct call call_render = {
	.name = "render",
	.group = "pictures",
	.summary = "draw memory as a volume along a Hilbert curve",
	.details = "Every 4 KiB page is a brick of 16x16x16 voxels, one for each byte; zero "
		   "bytes\n"
		   "are void. Works without a display, on a GPU or on the CPU.",
	.examples = "  glassbox render demo -o demo.png --size 1920x1080\n"
		    "  glassbox render --file ram.raw -o ram.png --mode entropy",
	.flags = CALL_TARGET | CALL_CHANGES | CALL_CLI_ONLY,
	.params = render_params,
	.run = render_run,
};
