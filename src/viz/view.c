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

/* The largest of (back + across / k) over all corners, for both directions of an axis. */
struct reach {
	float right, left, up, down;
	float nearest, farthest; /* along back */
};

static void reach_corner(struct reach *reach, const struct viz_view *view, const float at[3],
			 const float k[4])
{
	float back = -dot(view->forward, at), x = dot(view->right, at), y = dot(view->up, at);
	reach->right = fmaxf(reach->right, back + x / k[1]);
	reach->left = fmaxf(reach->left, back - x / k[0]);
	reach->up = fmaxf(reach->up, back + y / k[2]);
	reach->down = fmaxf(reach->down, back - y / k[3]);
	reach->nearest = fmaxf(reach->nearest, back);
	reach->farthest = fminf(reach->farthest, back);
}

/* A corner lies inside the picture if on each side its way across is at most k times its depth.
 * With the eye at (x, y, d) along right, up and back this asks d >= right - x / k[1], d >= left
 * + x / k[0] and likewise for y: the least d is where two of them meet. */
void viz_camera_fit(struct viz_camera *camera, const struct viz_bounds *boxes, size_t n,
		    float aspect, const struct viz_margins *margins)
{
	struct viz_view view = { .width = 1000, .height = 1000 };
	static const struct viz_margins none = { 0.06f, 0.06f, 0.06f, 0.06f };
	margins = margins ? margins : &none;
	viz_view_aim(&view, camera);
	float half = view.eye.w;
	const float k[4] = { half * aspect * (1 - margins->left),
			     half * aspect * (1 - margins->right), half * (1 - margins->top),
			     half * (1 - margins->bottom) };
	struct reach reach = { -1e9f, -1e9f, -1e9f, -1e9f, -1e9f, 1e9f };
	for (size_t box = 0; box < n; box++) {
		for (unsigned corner = 0; corner < 8; corner++) {
			float at[3];
			for (unsigned i = 0; i < 3; i++)
				at[i] = corner >> i & 1 ? boxes[box].high[i]
							: boxes[box].low[i];
			reach_corner(&reach, &view, at, k);
		}
	}
	float x = (reach.right - reach.left) / (1 / k[0] + 1 / k[1]);
	float y = (reach.up - reach.down) / (1 / k[2] + 1 / k[3]);
	float away = fmaxf(reach.right - x / k[1], reach.up - y / k[2]);
	float middle = (reach.nearest + reach.farthest) / 2;
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
