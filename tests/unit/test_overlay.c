/* Cameras that fit, and what is drawn on finished pictures: lines that know what hides them,
 * and letters. No GPU. */
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "viz/overlay.h"
#include "viz/picture.h"
#include "viz/view.h"

enum { WIDTH = 200, HEIGHT = 120 };

static struct viz_view view_from(float yaw, float pitch, float distance)
{
	struct viz_view view;
	struct viz_camera camera = { .yaw = yaw, .pitch = pitch, .distance = distance };
	viz_view_init(&view, WIDTH, HEIGHT);
	viz_view_aim(&view, &camera);
	return view;
}

static struct viz_picture *blank(void)
{
	struct viz_picture *picture = NULL;
	assert_ok(viz_picture_create(WIDTH, HEIGHT, &picture));
	return picture;
}

/* Sum of red over a rectangle. */
static unsigned light(const struct viz_picture *picture, int left, int top, int right,
		      int bottom)
{
	unsigned sum = 0;
	for (int y = top; y < bottom; y++)
		for (int x = left; x < right; x++)
			sum += picture->rgba[4 * (y * WIDTH + x)];
	return sum;
}

/* Every corner is in the picture within the margins, some corner touches, and the camera cannot
 * come nearer; for boxes of every shape and from every side. */
static void a_fitted_camera_shows_all(void **state)
{
	const struct viz_margins margins = { .left = 0.4f, .top = 0.2f };
	srand(5);
	for (unsigned round = 0; round < 200; round++) {
		struct viz_bounds boxes[3];
		for (unsigned i = 0; i < 9; i++) {
			boxes[i / 3].low[i % 3] = (float)(rand() % 3000);
			boxes[i / 3].high[i % 3] =
				boxes[i / 3].low[i % 3] + 16 + (float)(rand() % 900);
		}
		struct viz_camera camera = { .yaw = (float)(rand() % 360),
					     .pitch = (float)(rand() % 160) - 80 };
		struct viz_view view;
		float room = 1e9f;
		viz_view_init(&view, WIDTH, HEIGHT);
		viz_camera_fit(&camera, boxes, 3, (float)WIDTH / HEIGHT, &margins);
		viz_view_aim(&view, &camera);
		for (unsigned i = 0; i < 24; i++) {
			float at[3], seen[3];
			for (unsigned c = 0; c < 3; c++)
				at[c] = i >> c & 1 ? boxes[i / 8].high[c] : boxes[i / 8].low[c];
			assert_true(viz_view_project(&view, at, seen));
			room = fminf(room, fminf(seen[0] - 0.2f * WIDTH, WIDTH - seen[0]));
			room = fminf(room, fminf(seen[1] - 0.1f * HEIGHT, HEIGHT - seen[1]));
		}
		assert_true(room > -0.5f && room < 0.5f);
	}
}

static void lines_are_faint_behind_things(void **state)
{
	struct viz_view view = view_from(0, 0, 100);
	const float from[3] = { -20, 0, 0 }, to[3] = { 20, 0, 0 };
	AUTO(own_viz_picture) struct viz_picture *open = blank(), *hidden = blank();
	for (size_t i = 0; i < WIDTH * HEIGHT; i++)
		hidden->depth[i] = i % WIDTH < WIDTH / 2 ? 50 : 150;
	viz_overlay_line(open, &view, from, to, 0xff0000, 1);
	viz_overlay_line(hidden, &view, from, to, 0xff0000, 1);
	unsigned all = light(open, 0, 0, WIDTH, HEIGHT);
	assert_true(all > 20 * 255);
	assert_true(light(hidden, 0, 0, WIDTH / 2, HEIGHT) * 4 < all / 2);
	assert_int_equal(light(hidden, WIDTH / 2, 0, WIDTH, HEIGHT),
			 light(open, WIDTH / 2, 0, WIDTH, HEIGHT));
}

/* Behind the eye, across it, and far outside: nothing is drawn, or only what is seen. */
static void lines_end_at_the_eye(void **state)
{
	struct viz_view view = view_from(0, 0, 100);
	const float behind[3] = { 0, 0, 300 }, far_behind[3] = { 50, 20, 900 };
	const float front[3] = { 0, 0, -300 }, wide[3] = { 1e8f, 1e8f, -10 };
	AUTO(own_viz_picture) struct viz_picture *picture = blank();
	viz_overlay_line(picture, &view, behind, far_behind, 0xff0000, 1);
	assert_int_equal(light(picture, 0, 0, WIDTH, HEIGHT), 0);
	viz_overlay_line(picture, &view, front, behind, 0xff0000, 1);
	viz_overlay_line(picture, &view, front, wide, 0xff0000, 1);
	viz_overlay_box(picture, &view,
			&(struct viz_bounds){ { -1e6f, -1e6f, -1e6f }, { 1e6f, 1e6f, 1e6f } },
			0xff0000, 1);
	assert_true(light(picture, 0, 0, WIDTH, HEIGHT) > 0);
}

static void text_lies_where_it_says(void **state)
{
	AUTO(own_viz_picture) struct viz_picture *picture = blank();
	float width = viz_overlay_width("glassbox", 20);
	assert_true(width > 60 && width < 110);
	assert_true(viz_overlay_width("", 20) == 0);
	viz_overlay_text(picture, 30, 60, 20, 0xffffff, "glassbox");
	unsigned all = light(picture, 0, 0, WIDTH, HEIGHT);
	assert_true(all > 50 * 255);
	assert_int_equal(light(picture, 26, 40, (int)(34 + width), 70), all);
	/* Larger letters are the same letters. */
	assert_true(fabsf(viz_overlay_width("glassbox", 40) - 2 * width) < 0.01f);
	/* Bytes of a guest may be anything, and anywhere. */
	viz_overlay_text(picture, 150, 119, 30, 0xffffff, "\x01\xff\n~ beyond the edge");
	viz_overlay_text(picture, -900, -900, 30, 0xffffff, "x");
	assert_true(viz_overlay_width("\xff", 20) == viz_overlay_width("?", 20));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fitted_camera_shows_all),
		cmocka_unit_test(lines_are_faint_behind_things),
		cmocka_unit_test(lines_end_at_the_eye),
		cmocka_unit_test(text_lies_where_it_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
