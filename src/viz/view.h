/* What one picture is of: camera, mode, cuts, colours. struct viz_view is the uniform block of
 * the shaders, word for word (ORDER View in shaders/view.wgsl). Thread: any. */
#ifndef VIZ_VIEW_H
#define VIZ_VIEW_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum viz_mode {
	VIZ_MODE_KIND, /* what the page is for */
	VIZ_MODE_OWNER, /* whose it is */
	VIZ_MODE_BYTE, /* text, small and large values */
	VIZ_MODE_ENTROPY,
	VIZ_MODE_HEAT, /* recently written */
};
extern const char *const viz_mode_names[]; /* ends with NULL */

enum viz_flags {
	VIZ_AO = 1, /* ambient occlusion */
	VIZ_EDGES = 2, /* outlines of pages and voxels */
	VIZ_SELECT = 4, /* pages that are not selected fade */
	VIZ_EXACT = 8, /* single bytes at any distance */
	VIZ_FLAT = 16, /* no light */
	VIZ_OVER = 32, /* over the picture that is there: a volume farther away */
};

enum viz_page_flags {
	VIZ_PAGE_HIDDEN = 1 << 16,
	VIZ_PAGE_SELECTED = 1 << 17,
	VIZ_PAGE_DATA = 1 << 18, /* has a byte that is not zero; the scene sets it */
};

enum {
	VIZ_PALETTE_KINDS = 32,
	VIZ_PALETTE_OWNERS = 64,
	VIZ_NONE = UINT32_MAX,
};

struct viz_vec {
	float x, y, z, w;
};

struct viz_view {
	struct viz_vec eye, right, up, forward;
	struct viz_vec clip_low, clip_high, sphere;
	struct viz_vec background, background_top;
	float explode, opacity, lod_bias, contrast;
	uint32_t width, height, order, mode;
	uint32_t bank_shift, n_pages, now;
	float half_life;
	uint32_t flags, pick_x, pick_y, hovered;
	struct viz_vec palette[VIZ_PALETTE_KINDS + VIZ_PALETTE_OWNERS];
};
_Static_assert(sizeof(struct viz_view) == 1744, "must match shaders/view.wgsl");
_Static_assert(offsetof(struct viz_view, palette) == 208, "must match shaders/view.wgsl");

/* A camera that looks at a point from a distance. Angles in degrees; y is up. */
struct viz_camera {
	float target[3]; /* voxels */
	float distance; /* voxels */
	float yaw, pitch; /* 0, 0: along -z */
	float fov; /* vertical; 0: 35 */
};

/* An axis-aligned box in voxels. */
struct viz_bounds {
	float low[3], high[3];
};

extern const struct viz_bounds viz_bounds_none; /* holds nothing; grows by joining */

/* Where a box goes when blocks of 128^3 move apart by this fraction of their side. */
void viz_bounds_explode(struct viz_bounds *bounds, float explode);

/* Defaults: solid, all of the volume, kind colours, light and lines on. */
void viz_view_init(struct viz_view *view, uint32_t width, uint32_t height);

/* Points the view by a camera; width and height must be set. */
void viz_view_aim(struct viz_view *view, const struct viz_camera *camera);

/* Parts of a picture's half width and height that a camera keeps free on each side, 0 .. 1. */
struct viz_margins {
	float left, right, top, bottom;
};

/* The nearest camera that shows all of n boxes, from the angles and field of view that it has;
 * it looks at the middle of them. */
void viz_camera_fit(struct viz_camera *camera, const struct viz_bounds *boxes, size_t n,
		    float aspect, const struct viz_margins *margins);

/* Moves a box. */
void viz_bounds_shift(struct viz_bounds *bounds, const float by[3]);

/* Makes bounds hold more as well. */
void viz_bounds_join(struct viz_bounds *bounds, const struct viz_bounds *more);

/* Reads "yaw,pitch[,zoom]" over a camera that was fitted; zoom 2 is twice as near. False: no
 * such form. */
bool viz_camera_parse(struct viz_camera *camera, const char *text);

/* Reads "X-X,Y-Y,Z-Z", percent of the volume's side, as fractions of first and last. */
bool viz_slice_parse(const char *text, float ret[3][2]);

/* Keeps only that part of a volume with this side. */
void viz_view_slice(struct viz_view *view, const float slice[3][2], float side);

/* Reads "X,Y,Z,RADIUS" in voxels; a radius below 0 keeps the inside. */
bool viz_sphere_parse(const char *text, struct viz_vec *ret);

/* Where a point appears: pixels in x and y, distance along the ray in z. False: behind the eye.
 */
bool viz_view_project(const struct viz_view *view, const float point[3], float ret[3]);

/* sRGB 0xrrggbb to linear light. */
struct viz_vec viz_linear(uint32_t rgb);
#endif
