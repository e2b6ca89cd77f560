#include "viz/view.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "viz/palette.h"

const char *const viz_mode_names[] = { "kind", "owner", "byte", "entropy", "heat", NULL };

static const float default_fov = 35;

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
	view->forward.w = 0;
	view->right = (struct viz_vec){ cosf(yaw), 0, -sinf(yaw),
					(float)view->width / (float)view->height };
	view->up = (struct viz_vec){ -sinf(yaw) * sinf(pitch), cosf(pitch),
				     -cosf(yaw) * sinf(pitch), 2 * half / (float)view->height };
}

static float dot(struct viz_vec a, const float b[3])
{
	return a.x * b[0] + a.y * b[1] + a.z * b[2];
}

/* Each corner asks for a distance at which it lies inside the picture; the largest serves all.
 */
void viz_camera_fit(struct viz_camera *camera, const struct viz_bounds *bounds, float aspect)
{
	struct viz_view view = { .width = 1000, .height = 1000 };
	camera->distance = 0;
	for (unsigned i = 0; i < 3; i++)
		camera->target[i] = (bounds->low[i] + bounds->high[i]) / 2;
	viz_view_aim(&view, camera);
	float half = view.eye.w, wanted = 1;
	for (unsigned corner = 0; corner < 8; corner++) {
		float at[3];
		for (unsigned i = 0; i < 3; i++)
			at[i] = (corner >> i & 1 ? bounds->high[i] : bounds->low[i]) -
				camera->target[i];
		float nearer = -dot(view.forward, at);
		float across = fabsf(dot(view.right, at)) / (half * aspect);
		float along = fabsf(dot(view.up, at)) / half;
		wanted = fmaxf(wanted, nearer + fmaxf(across, along));
	}
	camera->distance = wanted * 1.08f;
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
