/* What is written on a picture of memories, for people: a caption and a legend beside it, boxes
 * and names in it. Thread: that of the call. */
#ifndef BOX_PICTURE_TEXT_H
#define BOX_PICTURE_TEXT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "viz/view.h"
struct error;
struct guest;
struct scene_label;
struct viz_picture;
struct viz_scene;

enum { PICTURE_MARKS_MAX = 96, PICTURE_ROWS_MAX = 256, PICTURE_TEXT_BYTES = 64 };

/* A thing with a name and a place. */
struct picture_mark {
	char text[PICTURE_TEXT_BYTES];
	uint32_t rgb;
	struct viz_bounds box; /* where the map has it */
};

/* A line of the legend. */
struct picture_row {
	char text[PICTURE_TEXT_BYTES];
	uint32_t rgb;
	uint64_t pages;
};

struct picture_text {
	char title[PICTURE_TEXT_BYTES], subtitle[2 * PICTURE_TEXT_BYTES];
	uint32_t mode; /* enum viz_mode */
	bool only_selected; /* the legend is of selected pages, and they alone are marked */
	unsigned marks_of_scene; /* at most */
	struct picture_row rows[PICTURE_ROWS_MAX]; /* the largest of them are shown */
	unsigned n_rows;
	struct picture_mark marks[PICTURE_MARKS_MAX];
	unsigned n_marks;
};

/* Adds a mark; more than fit are left out. */
void picture_text_mark(struct picture_text *text, const char *words, uint32_t rgb,
		       const struct viz_bounds *box);

/* Adds to the legend what a scene that lies at origin consists of, kinds or in mode owner
 * owners, and marks for the largest runs of it. */
void picture_text_scene(struct picture_text *text, const struct scene_label *label,
			const struct viz_scene *scene, float explode, const float origin[3]);

/* The part of a picture of that size that a legend needs at the left, as a camera's margins. */
struct viz_margins picture_text_margins(uint32_t width, uint32_t height);

/* Draws everything; view is the picture's, in its size. */
void picture_text_draw(const struct picture_text *text, const struct viz_view *view,
		       struct viz_picture *picture);
#endif
