/* `render`: a picture of a guest's memory, drawn without a window. */
#include "box/calls.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "box/guest_call.h"
#include "box/picture_text.h"
#include "box/render_request.h"
#include "box/scene_label.h"
#include "box/target.h"
#include "gpu/device.h"
#include "trace/source.h"
#include "viz/animation.h"
#include "viz/frame.h"
#include "viz/picture.h"
#include "viz/scene.h"

enum { TURN_MS = 80 };

/* One memory in the picture. */
struct part {
	struct target *target; /* borrowed from the call if it is the first */
	char name[64];
	struct scene_label label;
};

/* A picture being made. */
struct work {
	struct call_context *context;
	struct render_request request;
	struct part parts[VIZ_MAP_MAX];
	unsigned n_parts;
	struct viz_frames *frames;
	struct viz_view view;
	struct viz_camera camera;
	struct picture_text text;
	uint64_t gpu_ns;
	json_t *png; /* owned; of an answer without a file */
};

/* --- the memories --- */

enum { UNUSED_PIXEL_BYTES = 64 << 10 };

/* True when more is in the file than its header. */
static bool holds_something(const char *path)
{
	struct stat status;
	return !stat(path, &status) && status.st_blocks * 512 > UNUSED_PIXEL_BYTES;
}

/* The Pixel CPU's own memory (requests, page lists, results) once it has worked; before that
 * the file of rings, kernels and counts that it shares with the guest's QEMU. */
static struct error *open_pixel_cpu(struct target *of, struct part *part)
{
	char path[256];
	if (!target_vm(of))
		return error_create(ERR_USAGE, "a dump has no Pixel CPU");
	snprintf(path, sizeof(path), "/dev/shm/glassbox-%s-pixel", target_name(of));
	if (!holds_something(path))
		trace_source_path(target_name(of), path, sizeof(path));
	if (access(path, R_OK))
		return error_hint(error_create(ERR_NOT_FOUND,
					       "%s shares no memory with the Pixel CPU",
					       target_name(of)),
				  "start it with `glassbox run --learn`");
	snprintf(part->name, sizeof(part->name), "%.40s: Pixel CPU", target_name(of));
	return target_open(&(struct target_params){ .file = path }, &part->target);
}

/* Of a dump the name without its folders. */
static void name_part(struct part *part)
{
	const char *name = target_name(part->target), *slash = strrchr(name, '/');
	snprintf(part->name, sizeof(part->name), "%.60s", slash ? slash + 1 : name);
}

static struct error *add_part(struct work *work, const char *name)
{
	if (work->n_parts == VIZ_MAP_MAX)
		return error_create(ERR_USAGE, "at most %d memories fit in a picture",
				    VIZ_MAP_MAX);
	struct part *part = &work->parts[work->n_parts];
	if (!strcmp(name, "pixel-cpu")) {
		TRY(open_pixel_cpu(work->parts[0].target, part));
	} else {
		bool is_file = strchr(name, '/');
		if (is_file && !work->request.path)
			return error_create(ERR_USAGE, "'%s' is no VM", name);
		TRY(target_open(&(struct target_params){ .vm = is_file ? NULL : name,
							 .file = is_file ? name : NULL },
				&part->target));
		name_part(part);
	}
	work->n_parts++;
	return NULL;
}

static struct error *open_parts(struct work *work)
{
	struct part *first = &work->parts[0];
	const json_t *with = json_object_get(work->context->args, "with");
	first->target = work->context->target;
	name_part(first);
	work->n_parts = 1;
	for (size_t i = 0; i < json_array_size(with); i++)
		TRY(add_part(work, json_string_value(json_array_get(with, i))));
	return NULL;
}

static struct error *open_frames(struct work *work)
{
	struct viz_volume volumes[VIZ_MAP_MAX];
	for (unsigned i = 0; i < work->n_parts; i++) {
		struct part *part = &work->parts[i];
		part->label.target = part->target;
		volumes[i] = (struct viz_volume){ .mem = target_memory(part->target),
						  .label = scene_label_apply,
						  .label_user = &part->label };
	}
	return viz_frames_create(
		&(struct viz_frames_params){ .device = call_string(work->context, "device"),
					     .probe_import = true,
					     .volumes = volumes,
					     .n_volumes = work->n_parts },
		&work->frames);
}

static void work_deinit(struct work *work)
{
	viz_frames_destroy(work->frames);
	for (unsigned i = 1; i < work->n_parts; i++)
		target_destroy(work->parts[i].target);
	render_request_deinit(&work->request);
	json_decref(work->png);
}

/* --- what is looked at --- */

static uint64_t range_value(const json_t *range, const char *name)
{
	const char *text = json_string_value(json_object_get(range, name));
	return text ? strtoull(text, NULL, 0) : 0;
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
		viz_bounds_join(&bounds, &part);
		for (uint64_t at = first; at < end; at += PHYS_PAGE_SIZE)
			viz_scene_set_flags(scene, at / PHYS_PAGE_SIZE, VIZ_PAGE_SELECTED, 0);
	}
	if (bounds.low[0] > bounds.high[0])
		return error_create(ERR_NOT_FOUND, "nothing in memory to focus on");
	*ret = bounds;
	return NULL;
}

/* Box around all addresses of a memory. */
static struct viz_bounds bounds_of_part(struct work *work, unsigned i)
{
	struct viz_map map = viz_frames_map(work->frames, work->request.explode);
	const struct viz_scene *scene = viz_frames_scene(work->frames, i);
	struct viz_bounds box =
		viz_scene_bounds(scene, 0, viz_scene_frames(scene) * PHYS_PAGE_SIZE);
	float origin[3];
	viz_map_origin(&map, i, origin);
	viz_bounds_explode(&box, work->request.explode);
	viz_bounds_shift(&box, origin);
	return box;
}

/* Fits the camera to the focus; to all data of one memory; to all addresses of several. */
static struct error *fit(struct work *work)
{
	const struct render_request *request = &work->request;
	float aspect = (float)request->width / (float)request->height;
	struct viz_margins margins = { 0.05f, 0.05f, 0.05f, 0.05f };
	struct viz_bounds boxes[VIZ_MAP_MAX];
	unsigned n = 1;
	if (request->has_text)
		margins = picture_text_margins(request->width, request->height);
	if (!request->focus && work->n_parts == 1)
		return viz_frames_fit(work->frames, request->explode, aspect, &margins,
				      &work->camera);
	if (request->focus) {
		TRY(select_focus(request->focus, viz_frames_scene(work->frames, 0), boxes));
		viz_bounds_explode(boxes, request->explode);
		work->view.flags |= VIZ_SELECT;
		picture_text_mark(&work->text, request->focus_text, 0xffd166, boxes);
	} else {
		for (n = 0; n < work->n_parts; n++)
			boxes[n] = bounds_of_part(work, n);
	}
	viz_camera_fit(&work->camera, boxes, n, aspect, &margins);
	return NULL;
}

static struct error *aim(struct work *work)
{
	const struct render_request *request = &work->request;
	struct viz_camera asked = { .distance = 1 };
	uint32_t factor = request->smooth ? 2 : 1;
	viz_view_init(&work->view, request->width * factor, request->height * factor);
	work->camera = (struct viz_camera){ .yaw = 38, .pitch = 27 };
	if (request->camera) {
		if (!viz_camera_parse(&asked, request->camera))
			return error_create(
				ERR_USAGE,
				"camera must be YAW,PITCH or YAW,PITCH,ZOOM, not '%s'",
				request->camera);
		work->camera.yaw = asked.yaw;
		work->camera.pitch = asked.pitch;
	}
	TRY(fit(work));
	work->camera.distance *= asked.distance;
	work->view.explode = request->explode;
	work->view.opacity = fmaxf(request->opacity, 0.01f);
	work->view.mode = request->mode;
	work->view.sphere = request->sphere;
	/* One memory is cut as it lies; of several each would need a cut of its own. */
	if (work->n_parts == 1) {
		unsigned order = viz_scene_order(viz_frames_scene(work->frames, 0));
		viz_view_slice(&work->view, request->slice, (float)(1u << order));
	}
	scene_label_palette(&work->view);
	return NULL;
}

/* --- what is written --- */

static void write_sizes(struct work *work)
{
	uint64_t ram = 0, data = 0;
	for (unsigned i = 0; i < work->n_parts; i++) {
		struct viz_scene_stats stats;
		viz_scene_stats(viz_frames_scene(work->frames, i), &stats);
		ram += stats.ram_pages;
		data += stats.data_pages;
	}
	snprintf(work->text.subtitle, sizeof(work->text.subtitle), "%.0f of %.0f MiB hold data",
		 (double)data / 256, (double)ram / 256);
}

/* "web + db", or how many there are. */
static void write_title(struct work *work)
{
	char *title = work->text.title;
	const size_t size = sizeof(work->text.title);
	size_t length = 0;
	for (unsigned i = 0; i < work->n_parts && length < size; i++)
		length += (size_t)snprintf(title + length, size - length, "%s%s",
					   i ? " + " : "", work->parts[i].name);
	if (work->n_parts > 3 || length >= size)
		snprintf(title, size, "%u memories", work->n_parts);
}

/* Several memories get a frame and a name each; then comes what they consist of. */
static void write_parts(struct work *work)
{
	struct viz_map map = viz_frames_map(work->frames, work->request.explode);
	for (unsigned i = 0; i < work->n_parts && work->n_parts > 1; i++) {
		struct viz_bounds box = bounds_of_part(work, i);
		picture_text_mark(&work->text, work->parts[i].name, 0x8fa3bf, &box);
	}
	for (unsigned i = 0; i < work->n_parts; i++) {
		float origin[3];
		viz_map_origin(&map, i, origin);
		if (!i || !work->request.focus)
			picture_text_scene(&work->text, &work->parts[i].label,
					   viz_frames_scene(work->frames, i),
					   work->request.explode, origin);
	}
}

static void write_text(struct work *work)
{
	enum { MARKS = 8 };
	work->text.mode = work->request.mode;
	work->text.only_selected = work->request.focus;
	work->text.marks_of_scene = MARKS / work->n_parts;
	write_title(work);
	write_sizes(work);
	write_parts(work);
}

/* --- drawing --- */

/* A picture in its final size, written on. */
static struct error *draw(struct work *work, struct viz_picture **ret)
{
	struct viz_view final = work->view;
	AUTO(own_viz_picture) struct viz_picture *picture = NULL, *half = NULL;
	TRY(viz_picture_create(work->view.width, work->view.height, &picture));
	TRY(viz_frames_draw(work->frames, &work->view, picture, &work->gpu_ns));
	if (work->request.smooth)
		TRY(viz_picture_halve(picture, &half));
	struct viz_picture *drawn = half ? half : picture;
	final.width = drawn->width;
	final.height = drawn->height;
	if (work->request.has_text)
		picture_text_draw(&work->text, &final, drawn);
	*ret = half ? TAKE(half) : TAKE(picture);
	return NULL;
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

/* For who cannot be given a file. */
static struct error *encode(const struct viz_picture *picture, json_t **ret)
{
	AUTO(own_free) uint8_t *png = NULL;
	size_t size = 0;
	TRY(viz_picture_png(picture, &png, &size));
	*ret = json_base64(png, size);
	return *ret ? NULL : error_create(ERR_MEMORY, "no memory for a picture");
}

static struct error *draw_one(struct work *work)
{
	AUTO(own_viz_picture) struct viz_picture *picture = NULL;
	viz_view_aim(&work->view, &work->camera);
	TRY(draw(work, &picture));
	return work->request.path ? viz_picture_save(picture, work->request.path)
				  : encode(picture, &work->png);
}

/* The numbered file of a turntable, or the next picture of its animation. */
static struct error *keep(const struct render_request *request, uint32_t i,
			  struct viz_animation *animation, const struct viz_picture *picture)
{
	AUTO(own_free) char *path = NULL;
	if (animation)
		return viz_animation_add(animation, picture);
	TRY(number_path(request->path, i, &path));
	return viz_picture_save(picture, path);
}

static struct error *draw_turntable(struct work *work)
{
	const struct render_request *request = &work->request;
	AUTO(own_viz_animation) struct viz_animation *animation = NULL;
	if (!strchr(request->path, '%'))
		TRY(viz_animation_create(request->path, request->turntable, TURN_MS,
					 &animation));
	for (uint32_t i = 0; i < request->turntable; i++) {
		AUTO(own_viz_picture) struct viz_picture *picture = NULL;
		struct viz_camera turned = work->camera;
		turned.yaw += 360 * (float)i / (float)request->turntable;
		viz_view_aim(&work->view, &turned);
		TRY(draw(work, &picture));
		TRY(keep(request, i, animation, picture));
		call_progress(work->context, (double)(i + 1) / request->turntable, "drawing");
	}
	return animation ? viz_animation_finish(animation) : NULL;
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

static struct error *describe(struct work *work, json_t **ret)
{
	const struct render_request *request = &work->request;
	const struct scene_label *label = &work->parts[0].label;
	struct viz_scene_stats stats;
	viz_scene_stats(viz_frames_scene(work->frames, 0), &stats);
	const struct gpu_info *info = gpu_info(viz_frames_gpu(work->frames));
	*ret = json_pack("{s:s?, s:i, s:i, s:s, s:s, s:b, s:s, s:s, s:i, s:I, s:I, s:I, s:I, "
			 "s:f, s:o, s:i}",
			 "file", request->path, "width", (int)request->width, "height",
			 (int)request->height, "mode", viz_mode_names[request->mode], "device",
			 info->name, "software", info->is_software, "source", stats.source,
			 "kinds", label->is_true ? "kernel" : "guessed from bytes", "order",
			 (int)viz_scene_order(viz_frames_scene(work->frames, 0)), "ram_pages",
			 (json_int_t)stats.ram_pages, "data_pages",
			 (json_int_t)stats.data_pages, "resident_pages",
			 (json_int_t)stats.resident_pages, "gpu_bytes",
			 (json_int_t)stats.gpu_bytes, "draw_ms", (double)work->gpu_ns / 1e6,
			 "legend", legend(label), "memories", (int)work->n_parts);
	return *ret ? NULL : error_create(ERR_MEMORY, "no memory for the answer");
}

static struct error *render_run(struct call_context *context, json_t **ret)
{
	AUTO(work_deinit) struct work work = { .context = context };
	const struct render_request *request = &work.request;
	TRY(render_request_read(context, &work.request));
	TRY(open_parts(&work));
	TRY(open_frames(&work));
	TRY(aim(&work));
	write_text(&work);
	TRY(request->turntable && request->path ? draw_turntable(&work) : draw_one(&work));
	TRY(describe(&work, ret));
	if (work.png)
		json_object_set(*ret, "png_base64", work.png);
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
	{ "slice", CALL_STRING, .placeholder = "X-X,Y-Y,Z-Z",
	  .help = "keep this part, in percent of the cube's side" },
	{ "sphere", CALL_STRING, .placeholder = "X,Y,Z,R",
	  .help = "cut out a sphere of voxels; R below 0: keep only that" },
	{ "with", CALL_STRING, .repeated = true, .placeholder = "VM",
	  .help = "another VM beside it, a dump (with a / in its name), or pixel-cpu: what the "
		  "VM "
		  "shares with the Pixel CPU" },
	{ "turntable", CALL_INTEGER, .local = true, .placeholder = "N",
	  .help = "N pictures around: an animated PNG, or numbered files (turn-%03d.png)" },
	{ "plain", CALL_BOOL, .help = "no writing: no caption, legend and names" },
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
		    "  glassbox render --file ram.raw -o ram.png --mode entropy\n"
		    "  glassbox render web -o all.png --with db --with pixel-cpu\n"
		    "  glassbox render demo -o turn.png --turntable 60 --explode 40",
	.flags = CALL_TARGET | CALL_SLOW,
	.params = render_params,
	.run = render_run,
};
