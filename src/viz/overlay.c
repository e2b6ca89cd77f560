#include "viz/overlay.h"

#include <math.h>
#include <stddef.h>

#include "viz/font.h"
#include "viz/picture.h"
#include "viz/view.h"

static void blend(struct viz_picture *picture, int x, int y, uint32_t rgb, float alpha)
{
	if (x < 0 || y < 0 || x >= (int)picture->width || y >= (int)picture->height)
		return;
	uint8_t *pixel = picture->rgba + 4 * ((size_t)y * picture->width + (size_t)x);
	alpha = fminf(fmaxf(alpha, 0), 1);
	for (unsigned c = 0; c < 3; c++) {
		float new = (float)(rgb >> (16 - 8 * c) & 255), old = pixel[c];
		pixel[c] = (uint8_t)(old + (new - old) * alpha + 0.5f);
	}
}

/* --- lines --- */

/* A point of a line on the screen; z is how far in front of the eye, along its direction. */
struct end {
	float x, y, z;
};

static float along(const struct viz_view *view, const float p[3])
{
	return (p[0] - view->eye.x) * view->forward.x + (p[1] - view->eye.y) * view->forward.y +
	       (p[2] - view->eye.z) * view->forward.z;
}

static struct end end_of(const struct viz_view *view, const float p[3])
{
	float at[3] = { 0 };
	viz_view_project(view, p, at);
	return (struct end){ at[0], at[1], along(view, p) };
}

/* Cuts away what is behind the eye. False: nothing is left. */
static bool cut_near(const struct viz_view *view, float from[3], float to[3])
{
	const float least = 1;
	float a = along(view, from), b = along(view, to);
	if (a < least && b < least)
		return false;
	float *behind = a < b ? from : to, *front = a < b ? to : from;
	float z = fminf(a, b), far = fmaxf(a, b);
	for (unsigned i = 0; z < least && i < 3; i++)
		behind[i] += (front[i] - behind[i]) * (least - z) / (far - z);
	return true;
}

/* How much of a line is seen at a pixel: things in front of it leave a trace of it. */
static float seen(const struct viz_picture *picture, const struct viz_view *view, int x, int y,
		  float z)
{
	if (x < 0 || y < 0 || x >= (int)picture->width || y >= (int)picture->height)
		return 0;
	float there = picture->depth[(size_t)y * picture->width + (size_t)x];
	float u = (2 * (float)x / (float)view->width - 1) * view->eye.w * view->right.w;
	float v = (2 * (float)y / (float)view->height - 1) * view->eye.w;
	float distance = z * sqrtf(1 + u * u + v * v);
	return there > 0 && there < distance * 0.999f - 1 ? 0.13f : 1;
}

/* Keeps the part of s in 0 .. 1 where a + (b - a) * s lies in 0 .. size. */
static void cut_span(float a, float b, float size, float *s0, float *s1)
{
	float d = b - a;
	if (fabsf(d) < 1e-6f) {
		*s1 = a < 0 || a > size ? -1 : *s1;
		return;
	}
	float first = (0 - a) / d, last = (size - a) / d;
	*s0 = fmaxf(*s0, fminf(first, last));
	*s1 = fminf(*s1, fmaxf(first, last));
}

/* Pixel by pixel along the longer axis; each step covers two pixels across, by nearness. */
static void draw_line(struct viz_picture *picture, const struct viz_view *view, struct end a,
		      struct end b, uint32_t rgb, float alpha)
{
	float s0 = 0, s1 = 1;
	cut_span(a.x, b.x, (float)picture->width, &s0, &s1);
	cut_span(a.y, b.y, (float)picture->height, &s0, &s1);
	bool steep = fabsf(b.y - a.y) > fabsf(b.x - a.x);
	float length = steep ? fabsf(b.y - a.y) : fabsf(b.x - a.x);
	int steps = (int)ceilf(length * (s1 - s0));
	for (int i = 0; i <= steps && s1 > s0; i++) {
		float s = s0 + (s1 - s0) * (float)i / fmaxf((float)steps, 1);
		float x = a.x + (b.x - a.x) * s - 0.5f, y = a.y + (b.y - a.y) * s - 0.5f;
		float z = 1 / ((1 - s) / a.z + s / b.z);
		float across = steep ? x : y, part = across - floorf(across);
		int px = (int)floorf(x + (steep ? 0 : 0.5f));
		int py = (int)floorf(y + (steep ? 0.5f : 0));
		float there = alpha * seen(picture, view, px, py, z);
		blend(picture, px, py, rgb, there * (1 - part));
		blend(picture, px + steep, py + !steep, rgb, there * part);
	}
}

void viz_overlay_line(struct viz_picture *picture, const struct viz_view *view,
		      const float from[3], const float to[3], uint32_t rgb, float alpha)
{
	float a[3] = { from[0], from[1], from[2] }, b[3] = { to[0], to[1], to[2] };
	if (picture->depth && cut_near(view, a, b))
		draw_line(picture, view, end_of(view, a), end_of(view, b), rgb, alpha);
}

void viz_overlay_box(struct viz_picture *picture, const struct viz_view *view,
		     const struct viz_bounds *box, uint32_t rgb, float alpha)
{
	for (unsigned axis = 0; axis < 3; axis++) {
		unsigned u = (axis + 1) % 3, v = (axis + 2) % 3;
		for (unsigned side = 0; side < 4; side++) {
			float from[3], to[3];
			from[u] = to[u] = side & 1 ? box->high[u] : box->low[u];
			from[v] = to[v] = side & 2 ? box->high[v] : box->low[v];
			from[axis] = box->low[axis];
			to[axis] = box->high[axis];
			viz_overlay_line(picture, view, from, to, rgb, alpha);
		}
	}
}

void viz_overlay_fill(struct viz_picture *picture, float x, float y, float width, float height,
		      uint32_t rgb, float alpha)
{
	for (int row = (int)y; row < (int)(y + height); row++)
		for (int column = (int)x; column < (int)(x + width); column++)
			blend(picture, column, row, rgb, alpha);
}

/* --- writing --- */

static const struct viz_glyph *glyph_of(char c)
{
	unsigned code = (unsigned char)c;
	if (code < VIZ_FONT_FIRST || code > VIZ_FONT_LAST)
		code = '?';
	return &viz_font_glyphs[code - VIZ_FONT_FIRST];
}

static float field_at(const struct viz_glyph *glyph, int x, int y)
{
	if (x < 0 || y < 0 || x >= glyph->width || y >= glyph->height)
		return 0;
	return viz_font_field[glyph->at + (unsigned)y * glyph->width + (unsigned)x];
}

/* Pixels of the font inside the outline at a place of the field; less than 0: outside. */
static float inside(const struct viz_glyph *glyph, float x, float y)
{
	int left = (int)floorf(x), top = (int)floorf(y);
	float u = x - (float)left, v = y - (float)top;
	float upper = field_at(glyph, left, top) * (1 - u) + field_at(glyph, left + 1, top) * u;
	float lower = field_at(glyph, left, top + 1) * (1 - u) +
		      field_at(glyph, left + 1, top + 1) * u;
	return (upper * (1 - v) + lower * v - 128) * VIZ_FONT_PADDING / 128;
}

/* The rim is drawn for all of a text before its letters, or it would darken their neighbours.
 */
static void draw_glyph(struct viz_picture *picture, const struct viz_glyph *glyph, float x,
		       float y, float scale, uint32_t rgb, bool is_rim)
{
	float left = x + glyph->left * scale, top = y + glyph->top * scale;
	int last_x = (int)ceilf(left + glyph->width * scale);
	int last_y = (int)ceilf(top + glyph->height * scale);
	float wider = is_rim ? fminf(2.2f, (VIZ_FONT_PADDING - 1) * scale) : 0;
	for (int py = (int)floorf(top); py < last_y; py++) {
		for (int px = (int)floorf(left); px < last_x; px++) {
			float in = inside(glyph, ((float)px + 0.5f - left) / scale - 0.5f,
					  ((float)py + 0.5f - top) / scale - 0.5f);
			float covered = in * scale + 0.5f + wider;
			blend(picture, px, py, is_rim ? 0x05070b : rgb,
			      fminf(covered, 1) * (is_rim ? 0.55f : 1));
		}
	}
}

void viz_overlay_text(struct viz_picture *picture, float x, float y, float height, uint32_t rgb,
		      const char *text)
{
	float scale = height / VIZ_FONT_PIXELS;
	for (int pass = 0; pass < 2; pass++) {
		float pen = x;
		for (const char *c = text; *c; c++) {
			const struct viz_glyph *glyph = glyph_of(*c);
			draw_glyph(picture, glyph, pen, y, scale, rgb, pass == 0);
			pen += glyph->advance * scale / 64;
		}
	}
}

float viz_overlay_width(const char *text, float height)
{
	float width = 0;
	for (; *text; text++)
		width += glyph_of(*text)->advance;
	return width * height / VIZ_FONT_PIXELS / 64;
}
