#include "box/picture_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/phys_mem.h"
#include "box/scene_label.h"
#include "viz/overlay.h"
#include "viz/palette.h"
#include "viz/picture.h"
#include "viz/scene.h"

enum { LEGEND_ROWS = 14, RUN_GAP = 16 };
static const uint32_t ink = 0xe8edf4, pale_ink = 0x9aa7b8;

void picture_text_mark(struct picture_text *text, const char *words, uint32_t rgb,
		       const struct viz_bounds *box)
{
	if (text->n_marks == PICTURE_MARKS_MAX)
		return;
	struct picture_mark *mark = &text->marks[text->n_marks++];
	*mark = (struct picture_mark){ .rgb = rgb, .box = *box };
	snprintf(mark->text, sizeof(mark->text), "%s", words);
}

/* --- what to name --- */

/* The longest run of pages of one group so far, and the one that is being followed. */
struct run {
	uint64_t first, end, pages; /* the longest */
	uint64_t now_first, now_end, now_pages;
	uint64_t all;
};

/* Adds a frame to its group; short gaps do not end a run. */
static void follow(struct run *run, uint64_t frame)
{
	if (!run->now_pages || frame - run->now_end > RUN_GAP) {
		run->now_first = frame;
		run->now_pages = 0;
	}
	run->now_end = frame + 1;
	run->now_pages++;
	run->all++;
	if (run->now_pages > run->pages) {
		run->first = run->now_first;
		run->end = run->now_end;
		run->pages = run->now_pages;
	}
}

/* Words and colour of a group; false: it has no name. */
static bool name_group(const struct scene_label *label, bool by_owner, unsigned group,
		       const char **words_ret, uint32_t *rgb_ret)
{
	if (by_owner) {
		*words_ret = label->owner_text[group];
		*rgb_ret = viz_owner_colour(group);
		return **words_ret;
	}
	*words_ret = scene_label_words(group, rgb_ret);
	return *words_ret;
}

/* Adds to the row of these words, or makes one. */
static void add_row(struct picture_text *text, const char *words, uint32_t rgb, uint64_t pages)
{
	struct picture_row *row = text->rows;
	while (row < text->rows + text->n_rows && strcmp(row->text, words))
		row++;
	if (row == text->rows + PICTURE_ROWS_MAX)
		return;
	if (row == text->rows + text->n_rows) {
		text->n_rows++;
		*row = (struct picture_row){ .rgb = rgb };
		snprintf(row->text, sizeof(row->text), "%s", words);
	}
	row->pages += pages;
}

/* Whether a group is worth a name in the picture: neither air nor what is everywhere. */
static bool deserves_mark(bool by_owner, unsigned group, const struct run *run, uint64_t data)
{
	if (by_owner)
		return group && run->pages >= 8;
	return !scene_label_is_free(group) && run->all >= data / 200;
}

static void mark_group(struct picture_text *text, const struct viz_scene *scene,
		       const struct run *run, const char *words, uint32_t rgb, float explode,
		       const float origin[3])
{
	struct viz_bounds box =
		viz_scene_bounds(scene, run->first * PHYS_PAGE_SIZE, run->end * PHYS_PAGE_SIZE);
	viz_bounds_explode(&box, explode);
	viz_bounds_shift(&box, origin);
	picture_text_mark(text, words, rgb, &box);
}

void picture_text_scene(struct picture_text *text, const struct scene_label *label,
			const struct viz_scene *scene, float explode, const float origin[3])
{
	struct run runs[VIZ_PALETTE_OWNERS] = { 0 };
	bool by_owner = text->mode == VIZ_MODE_OWNER;
	uint64_t data = 0;
	for (uint64_t frame = 0; frame < viz_scene_frames(scene); frame++) {
		uint32_t attributes = viz_scene_attributes(scene, frame);
		if (!(attributes & VIZ_PAGE_DATA) ||
		    (text->only_selected && !(attributes & VIZ_PAGE_SELECTED)))
			continue;
		data++;
		follow(&runs[by_owner ? attributes >> 8 & 63 : attributes & 31], frame);
	}
	for (unsigned marks = text->only_selected ? text->marks_of_scene : 0;;) {
		unsigned best = 0;
		const char *words;
		uint32_t rgb;
		for (unsigned i = 1; i < VIZ_PALETTE_OWNERS; i++)
			best = runs[i].all > runs[best].all ? i : best;
		if (!runs[best].all)
			return;
		if (name_group(label, by_owner, best, &words, &rgb)) {
			add_row(text, words, rgb, runs[best].all);
			if (marks < text->marks_of_scene &&
			    deserves_mark(by_owner, best, &runs[best], data)) {
				mark_group(text, scene, &runs[best], words, rgb, explode,
					   origin);
				marks++;
			}
		}
		runs[best].all = 0;
	}
}

/* --- drawing --- */

static float text_height(uint32_t height)
{
	return fminf(fmaxf((float)height / 40, 11), 64);
}

static float legend_width(uint32_t height)
{
	return 16 * text_height(height);
}

struct viz_margins picture_text_margins(uint32_t width, uint32_t height)
{
	float free = 2 * legend_width(height) / (float)width;
	return (struct viz_margins){
		.left = fminf(free, 0.9f), .right = 0.05f, .top = 0.10f, .bottom = 0.06f
	};
}

/* Rectangles that writing already took. */
struct taken {
	float left, top, right, bottom;
};

static bool overlaps(const struct taken *a, const struct taken *b)
{
	return a->left < b->right && b->left < a->right && a->top < b->bottom &&
	       b->top < a->bottom;
}

/* Something nearer hides a point, by more than what belongs to the thing itself. */
static bool is_hidden(const struct viz_picture *picture, const float at[3], float size)
{
	if (at[0] < 0 || at[1] < 0 || at[0] >= (float)picture->width ||
	    at[1] >= (float)picture->height)
		return true;
	float there = picture->depth[(size_t)at[1] * picture->width + (size_t)at[0]];
	return there > 0 && there < at[2] - size;
}

static float size_of(const struct viz_bounds *box)
{
	float sum = 0;
	for (unsigned i = 0; i < 3; i++)
		sum += (box->high[i] - box->low[i]) * (box->high[i] - box->low[i]);
	return sqrtf(sum);
}

/* Finds room for a label at or above a place. False: there is none. */
static bool find_room(struct taken *place, const struct taken *taken, unsigned n, float step,
		      float limit)
{
	for (unsigned try = 0; try < 9; try++) {
		bool free = place->top > 0 && place->left > 0 && place->right < limit;
		for (unsigned i = 0; i < n && free; i++)
			free = !overlaps(place, &taken[i]);
		if (free)
			return true;
		place->top -= step;
		place->bottom -= step;
	}
	return false;
}

static void draw_mark(const struct picture_mark *mark, const struct viz_view *view,
		      struct viz_picture *picture, struct taken *taken, unsigned *n_taken)
{
	float middle[3], top[3], seen_middle[3], seen_top[3];
	float height = text_height(picture->height) * 0.95f;
	for (unsigned i = 0; i < 3; i++)
		middle[i] = top[i] = (mark->box.low[i] + mark->box.high[i]) / 2;
	top[1] = mark->box.high[1];
	if (!viz_view_project(view, middle, seen_middle) ||
	    !viz_view_project(view, top, seen_top) ||
	    is_hidden(picture, seen_middle, size_of(&mark->box)))
		return;
	viz_overlay_box(picture, view, &mark->box, mark->rgb, 0.9f);
	float width = viz_overlay_width(mark->text, height);
	float left = seen_top[0] - width / 2, base = seen_top[1] - height * 0.6f;
	struct taken place = { left - 3, base - height * 0.8f, left + width + 3,
			       base + height * 0.25f };
	if (!find_room(&place, taken, *n_taken, height * 0.6f, (float)picture->width))
		return;
	float written = place.bottom - height * 0.25f;
	for (float y = written + height * 0.3f; y < seen_top[1] - 2; y++)
		viz_overlay_fill(picture, seen_top[0], y, 1.5f, 1, mark->rgb, 0.7f);
	viz_overlay_text(picture, left, written, height, ink, mark->text);
	if (*n_taken < PICTURE_MARKS_MAX + 1)
		taken[(*n_taken)++] = place;
}

static void size_words(uint64_t pages, char *to, size_t size)
{
	double mib = (double)pages * PHYS_PAGE_SIZE / (1 << 20);
	snprintf(to, size,
		 mib >= 1024 ? "%.1f GiB"
		 : mib >= 10 ? "%.0f MiB"
			     : "%.1f MiB",
		 mib >= 1024 ? mib / 1024 : mib);
}

/* As much of the words as fits, with two dots for the rest. */
static void shorten(char *words, float height, float room)
{
	size_t length = strlen(words);
	while (length > 3 && viz_overlay_width(words, height) > room) {
		snprintf(words + length - 3, 4, "..");
		length--;
	}
}

/* One row: a swatch, words, and a size at the right end. */
static void draw_row(const struct picture_row *row, struct viz_picture *picture, float y)
{
	float height = text_height(picture->height), box = height * 0.62f, left = height;
	float right = legend_width(picture->height), letters = height * 0.82f;
	char size[24], words[PICTURE_TEXT_BYTES];
	size_words(row->pages, size, sizeof(size));
	float end = right - viz_overlay_width(size, letters);
	memcpy(words, row->text, sizeof(words));
	shorten(words, letters, end - left - height * 1.6f);
	viz_overlay_fill(picture, left - 1, y - box, box + 2, box + 2, pale_ink, 0.5f);
	viz_overlay_fill(picture, left, y - box + 1, box, box, row->rgb, 1);
	viz_overlay_text(picture, left + height * 1.1f, y, letters, ink, words);
	viz_overlay_text(picture, end, y, letters, pale_ink, size);
}

static int by_pages(const void *a, const void *b)
{
	const struct picture_row *left = a, *right = b;
	return left->pages > right->pages ? -1 : left->pages < right->pages;
}

static void legend_of_rows(const struct picture_text *text, struct viz_picture *picture,
			   float y)
{
	struct picture_row rows[PICTURE_ROWS_MAX];
	float step = text_height(picture->height) * 1.25f;
	memcpy(rows, text->rows, sizeof(rows));
	qsort(rows, text->n_rows, sizeof(*rows), by_pages);
	for (unsigned i = 0; i < text->n_rows && i < LEGEND_ROWS; i++, y += step)
		if (y < (float)picture->height - step)
			draw_row(&rows[i], picture, y);
}

static uint32_t mixed(uint32_t a, uint32_t b, float t)
{
	uint32_t rgb = 0;
	for (unsigned shift = 0; shift < 24; shift += 8) {
		float from = (float)(a >> shift & 255), to = (float)(b >> shift & 255);
		rgb |= (uint32_t)(from + (to - from) * t) << shift;
	}
	return rgb;
}

/* A bar of colours with a word at each end, for modes whose colours are a scale. */
static void legend_of_scale(const struct picture_text *text, struct viz_picture *picture,
			    float y)
{
	static const struct {
		const char *low, *high;
		uint32_t colours[4];
	} scales[] = {
		[VIZ_MODE_ENTROPY] = { "orderly",
				       "random",
				       { 0x1d1f4c, 0x862678, 0xe66034, 0xfdeea0 } },
		[VIZ_MODE_HEAT] = { "long ago",
				    "just now",
				    { 0x253041, 0xcd4040, 0xfd9b27, 0xfff9cd } },
		[VIZ_MODE_BYTE] = { "text",
				    "large values",
				    { 0x6fa9fa, 0x2b8272, 0x9a7a50, 0xed8245 } },
	};
	float height = text_height(picture->height), left = height;
	float width = legend_width(picture->height) - 2 * height;
	for (float x = 0; x < width; x++) {
		float at = 2.999f * x / width;
		const uint32_t *colour = &scales[text->mode].colours[(unsigned)at];
		viz_overlay_fill(picture, left + x, y - height * 0.6f, 1, height * 0.6f,
				 mixed(colour[0], colour[1], at - floorf(at)), 1);
	}
	y += height * 1.1f;
	viz_overlay_text(picture, left, y, height * 0.86f, ink, scales[text->mode].low);
	float end = viz_overlay_width(scales[text->mode].high, height * 0.86f);
	viz_overlay_text(picture, left + width - end, y, height * 0.86f, ink,
			 scales[text->mode].high);
}

static void draw_caption(const struct picture_text *text, struct viz_picture *picture)
{
	float height = text_height(picture->height), y = height * 2.1f;
	viz_overlay_text(picture, height, y, height * 1.7f, ink, text->title);
	y += height * 1.4f;
	viz_overlay_text(picture, height, y, height * 0.86f, pale_ink, text->subtitle);
	y += height * 2;
	if (text->mode <= VIZ_MODE_OWNER)
		legend_of_rows(text, picture, y);
	else
		legend_of_scale(text, picture, y);
}

void picture_text_draw(const struct picture_text *text, const struct viz_view *view,
		       struct viz_picture *picture)
{
	struct taken taken[PICTURE_MARKS_MAX + 2] = {
		{ 0, 0, legend_width(picture->height), (float)picture->height },
	};
	unsigned n_taken = 1;
	for (unsigned i = 0; i < text->n_marks; i++)
		draw_mark(&text->marks[i], view, picture, taken, &n_taken);
	draw_caption(text, picture);
}
