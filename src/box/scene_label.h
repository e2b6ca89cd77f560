/* Gives the pages of a drawn scene the kinds and owners that the guest's kernel records, and
 * their colours. Thread: that of the call. */
#ifndef BOX_SCENE_LABEL_H
#define BOX_SCENE_LABEL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
struct error;
struct phys_mem;
struct target;
struct viz_scene;
struct viz_view;

struct scene_label {
	struct target *target; /* borrowed */
	bool is_true; /* kinds are the kernel's own; else guessed from bytes */
	uint64_t frames[32]; /* pages with data, by palette entry */
	char owner_text[64][32]; /* "sshd 412" of the largest owner in a slot; "" unknown */
};

/* For struct viz_frames_params: user is a struct scene_label. Without a kernel in the memory,
 * kinds are guessed from bytes. */
struct error *scene_label_apply(void *user, struct viz_scene *scene);

/* Colours of all kinds into a view's palette. */
void scene_label_palette(struct viz_view *view);

/* Name, or words for people, and sRGB colour of a palette entry of kinds, or NULL. */
const char *scene_label_name(unsigned kind, uint32_t *rgb_ret);
const char *scene_label_words(unsigned kind, uint32_t *rgb_ret);

/* Nobody uses pages of that kind. */
bool scene_label_is_free(unsigned kind);
#endif
