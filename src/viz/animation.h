/* Animated PNGs (APNG): pictures of one size, one after another, in one file that browsers
 * play. Thread: any. */
#ifndef VIZ_ANIMATION_H
#define VIZ_ANIMATION_H
#include <stdint.h>

#include "base/error.h"
struct viz_animation;
struct viz_picture;

/* Starts a file of n pictures, each shown for delay_ms, for ever. It appears under its name
 * only when it is whole. Caller owns *ret. Fails: ERR_SYSTEM. */
struct error *viz_animation_create(const char *path, uint32_t n, uint16_t delay_ms,
				   struct viz_animation **ret);
void viz_animation_destroy(struct viz_animation *animation);
OWN_DECLARE(own_viz_animation, struct viz_animation *, viz_animation_destroy)

/* Adds the next picture; all must have the size of the first. */
struct error *viz_animation_add(struct viz_animation *animation,
				const struct viz_picture *picture);

/* Ends the file; all n pictures must have been added. */
struct error *viz_animation_finish(struct viz_animation *animation);
#endif
