#include "viz/view.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "viz/palette.h"

const char *const viz_mode_names[] = { "kind", "owner", "byte", "entropy", "heat", NULL };

static const float default_fov = 35;
static const float near_share = 0.05f; /* of the distance of what is looked at */

const struct viz_bounds viz_bounds_none = { { 1e9f, 1e9f, 1e9f }, { -1e9f, -1e9f, -1e9f } };

void viz_bounds_explode(struct viz_bounds *bounds, float explode)
{
	for (unsigned i = 0; i < 3; i++) {
		bounds->low[i] += floorf(bounds->low[i] / 128) * 128 * explode;
		bounds->high[i] += floorf((bounds->high[i] - 1) / 128) * 128 * explode;
	}
}

void viz_view_init(struct viz_view *view, uint32_t width, uint32_t height)
{
	*view = (struct viz_view){
		.clip_low = { -1e9f, -1e9f, -1e9f, 0 },
		.clip_high = { 1e9f, 1e9f, 1e9f, 0 },
		.background = viz_linear(0x0b0e14),
		.background_top = viz_linear(0x1b2230),
		.opacity = 1,
		.contrast = 0.75f,
		.width = width,
		.height = height,
		.half_life = 2000,
		.flags = VIZ_AO | VIZ_EDGES,
		.hovered = VIZ_NONE,
	};
	viz_palette_fill(view->palette);
}

static struct viz_vec scaled(struct viz_vec v, float by)
{
	return (struct viz_vec){ v.x * by, v.y * by, v.z * by, v.w };
}

static float radians(float degrees)
{
	return degrees * 3.14159265f / 180;
}

void viz_view_aim(struct viz_view *view, const struct viz_camera *camera)
{
	float yaw = radians(camera->yaw), pitch = radians(camera->pitch);
	float half = tanf(radians(camera->fov > 0 ? camera->fov : default_fov) / 2);
	struct viz_vec back = { sinf(yaw) * cosf(pitch), sinf(pitch), cosf(yaw) * cosf(pitch),
				0 };
	struct viz_vec away = scaled(back, camera->distance);
	view->eye = (struct viz_vec){ camera->target[0] + away.x, camera->target[1] + away.y,
				      camera->target[2] + away.z, half };
	view->forward = scaled(back, -1);
	view->forward.w = near_share * camera->distance;
	view->right = (struct viz_vec){ cosf(yaw), 0, -sinf(yaw),
					(float)view->width / (float)view->height };
	view->up = (struct viz_vec){ -sinf(yaw) * sinf(pitch), cosf(pitch),
				     -cosf(yaw) * sinf(pitch), 2 * half / (float)view->height };
}

static float dot(struct viz_vec a, const float b[3])
{
	return a.x * b[0] + a.y * b[1] + a.z * b[2];
}

/* What a camera is to show, in its own directions, and how much of a picture's half width and
 * height (as tangents) each side may take. */
struct fitting {
	const struct viz_bounds *boxes;
	size_t n;
	struct viz_vec right, up, back;
	float k[4]; /* left, right, up, down */
};

/* Calls see with every corner: along right, up and back. */
static void each_corner(const struct fitting *fitting,
			void (*see)(void *user, const float at[3]), void *user)
{
	for (size_t box = 0; box < 8 * fitting->n; box++) {
		const struct viz_bounds *bounds = &fitting->boxes[box / 8];
		float p[3];
		for (unsigned i = 0; i < 3; i++)
			p[i] = box >> i & 1 ? bounds->high[i] : bounds->low[i];
		see(user, (float[]){ dot(fitting->right, p), dot(fitting->up, p),
				     dot(fitting->back, p) });
	}
}

/* The largest of (back + across / k) over all corners, for both directions of each axis. */
struct reach {
	const float *k;
	float left, right, up, down;
	float nearest, farthest; /* along back */
};

static void see_reach(void *user, const float at[3])
{
	struct reach *reach = user;
	const float *k = reach->k;
	reach->left = fmaxf(reach->left, at[2] - at[0] / k[0]);
	reach->right = fmaxf(reach->right, at[2] + at[0] / k[1]);
	reach->up = fmaxf(reach->up, at[2] + at[1] / k[2]);
	reach->down = fmaxf(reach->down, at[2] - at[1] / k[3]);
	reach->nearest = fmaxf(reach->nearest, at[2]);
	reach->farthest = fminf(reach->farthest, at[2]);
}

/* How far corners reach on the screen to either side of an axis, as parts of what they may. */
struct extent {
	float from, distance; /* of the eye, along the axis and back */
	float k_low, k_high;
	unsigned axis;
	float low, high;
};

static void see_extent(void *user, const float at[3])
{
	struct extent *extent = user;
	float across =
		(at[extent->axis] - extent->from) / fmaxf(extent->distance - at[2], 1e-3f);
	extent->low = fmaxf(extent->low, -across / extent->k_low);
	extent->high = fmaxf(extent->high, across / extent->k_high);
}

/* Where the eye must be along an axis for both sides to have as much room left. */
static float centre(const struct fitting *fitting, unsigned axis, float from, float distance,
		    float span)
{
	for (float step = span; step > span / 4096; step /= 2) {
		struct extent extent = { .from = from,
					 .distance = distance,
					 .k_low = fitting->k[axis ? 3 : 0],
					 .k_high = fitting->k[axis ? 2 : 1],
					 .axis = axis,
					 .low = -1e9f,
					 .high = -1e9f };
		each_corner(fitting, see_extent, &extent);
		from += extent.high > extent.low ? step : -step;
	}
	return from;
}

/* A corner lies inside the picture if on each side its way across is at most k times its depth.
 * With the eye at (x, y, d) along right, up and back this asks d >= right - x / k[1], d >= left
 * + x / k[0] and likewise for y: the least d is where two of them meet. Then the axis that has
 * room is centred. */
void viz_camera_fit(struct viz_camera *camera, const struct viz_bounds *boxes, size_t n,
		    float aspect, const struct viz_margins *margins)
{
	struct viz_view view = { .width = 1000, .height = 1000 };
	static const struct viz_margins none = { 0.06f, 0.06f, 0.06f, 0.06f };
	margins = margins ? margins : &none;
	viz_view_aim(&view, camera);
	float half = view.eye.w;
	struct fitting fitting = {
		boxes,
		n,
		view.right,
		view.up,
		scaled(view.forward, -1),
		{ half * aspect * (1 - margins->left), half * aspect * (1 - margins->right),
		  half * (1 - margins->top), half * (1 - margins->bottom) }
	};
	const float *k = fitting.k;
	struct reach reach = { k, -1e9f, -1e9f, -1e9f, -1e9f, -1e9f, 1e9f };
	each_corner(&fitting, see_reach, &reach);
	float x = (reach.right - reach.left) / (1 / k[0] + 1 / k[1]);
	float y = (reach.up - reach.down) / (1 / k[2] + 1 / k[3]);
	float for_width = reach.right - x / k[1], for_height = reach.up - y / k[2];
	float away = fmaxf(for_width, for_height);
	float middle = (reach.nearest + reach.farthest) / 2;
	if (for_width > for_height)
		y = centre(&fitting, 1, y, away, away - middle);
	else
		x = centre(&fitting, 0, x, away, away - middle);
	camera->distance = fmaxf(away - middle, 1);
	camera->target[0] = x * view.right.x + y * view.up.x - middle * view.forward.x;
	camera->target[1] = x * view.right.y + y * view.up.y - middle * view.forward.y;
	camera->target[2] = x * view.right.z + y * view.up.z - middle * view.forward.z;
}

void viz_bounds_shift(struct viz_bounds *bounds, const float by[3])
{
	for (unsigned i = 0; i < 3; i++) {
		bounds->low[i] += by[i];
		bounds->high[i] += by[i];
	}
}

void viz_bounds_join(struct viz_bounds *bounds, const struct viz_bounds *more)
{
	for (unsigned i = 0; i < 3; i++) {
		bounds->low[i] = fminf(bounds->low[i], more->low[i]);
		bounds->high[i] = fmaxf(bounds->high[i], more->high[i]);
	}
}

bool viz_camera_parse(struct viz_camera *camera, const char *text)
{
	float yaw, pitch, zoom = 1;
	char rest;
	int count = sscanf(text, "%f,%f,%f%c", &yaw, &pitch, &zoom, &rest);
	if ((count != 2 && count != 3) || !isfinite(yaw) || !isfinite(pitch) ||
	    !(zoom > 0 && zoom <= 10000) || !(fabsf(pitch) <= 89.9f))
		return false;
	camera->yaw = fmodf(yaw, 360);
	camera->pitch = pitch;
	camera->distance /= zoom;
	return true;
}

bool viz_slice_parse(const char *text, float ret[3][2])
{
	float s[3][2];
	char rest;
	if (sscanf(text, "%f-%f,%f-%f,%f-%f%c", &s[0][0], &s[0][1], &s[1][0], &s[1][1],
		   &s[2][0], &s[2][1], &rest) != 6)
		return false;
	for (unsigned axis = 0; axis < 3; axis++)
		for (unsigned end = 0; end < 2; end++)
			if (!(s[axis][end] >= 0 && s[axis][end] <= 100))
				return false;
	for (unsigned axis = 0; axis < 3; axis++)
		for (unsigned end = 0; end < 2; end++)
			ret[axis][end] = s[axis][end] / 100;
	return true;
}

void viz_view_slice(struct viz_view *view, const float slice[3][2], float side)
{
	view->clip_low = (struct viz_vec){ slice[0][0] * side, slice[1][0] * side,
					   slice[2][0] * side, 0 };
	view->clip_high = (struct viz_vec){ slice[0][1] * side, slice[1][1] * side,
					    slice[2][1] * side, 0 };
}

bool viz_sphere_parse(const char *text, struct viz_vec *ret)
{
	struct viz_vec at;
	char rest;
	if (sscanf(text, "%f,%f,%f,%f%c", &at.x, &at.y, &at.z, &at.w, &rest) != 4 ||
	    !(fabsf(at.x) < 1e6f && fabsf(at.y) < 1e6f && fabsf(at.z) < 1e6f &&
	      fabsf(at.w) < 1e6f))
		return false;
	*ret = at;
	return true;
}

bool viz_view_project(const struct viz_view *view, const float point[3], float ret[3])
{
	float at[3] = { point[0] - view->eye.x, point[1] - view->eye.y,
			point[2] - view->eye.z };
	float depth = dot(view->forward, at);
	if (depth < 1e-3f)
		return false;
	float x = dot(view->right, at) / (depth * view->eye.w * view->right.w);
	float y = dot(view->up, at) / (depth * view->eye.w);
	ret[0] = (x + 1) / 2 * (float)view->width;
	ret[1] = (1 - y) / 2 * (float)view->height;
	ret[2] = sqrtf(at[0] * at[0] + at[1] * at[1] + at[2] * at[2]);
	return true;
}

static float channel_linear(uint32_t byte)
{
	float v = (float)byte / 255;
	return v <= 0.04045f ? v / 12.92f : powf((v + 0.055f) / 1.055f, 2.4f);
}

struct viz_vec viz_linear(uint32_t rgb)
{
	return (struct viz_vec){ channel_linear(rgb >> 16 & 255),
				 channel_linear(rgb >> 8 & 255), channel_linear(rgb & 255), 1 };
}
