/* Colours of page kinds and owners, and a guess at a page's kind from its bytes for memory in
 * which no kernel was found. Thread: any. */
#ifndef VIZ_PALETTE_H
#define VIZ_PALETTE_H
#include <stddef.h>
#include <stdint.h>

#include "viz/view.h"

/* ORDER content kinds: constant, name, colour, words. They follow the kernel's own page kinds.
 */
#define VIZ_CONTENTS(X)                                                  \
	X(VIZ_CONTENT_EMPTY, "empty", 0x16202c, "nothing but zeros")     \
	X(VIZ_CONTENT_TEXT, "text", 0x3f88c5, "readable text")           \
	X(VIZ_CONTENT_POINTERS, "pointers", 0xa05195, "many pointers")   \
	X(VIZ_CONTENT_RANDOM, "dense", 0xf3c14b, "compressed or random") \
	X(VIZ_CONTENT_CODE, "code-like", 0xe4572e, "looks like code")    \
	X(VIZ_CONTENT_DATA, "data", 0x3dd6c4, "other data")

enum viz_content {
	VIZ_CONTENT_BEFORE = 24 - 1,
#define VIZ_CONTENT_ENUM(kind, name, colour, words) kind,
	VIZ_CONTENTS(VIZ_CONTENT_ENUM)
#undef VIZ_CONTENT_ENUM
		VIZ_CONTENT_END
};
_Static_assert((int)VIZ_CONTENT_END <= (int)VIZ_PALETTE_KINDS, "room in the palette");

/* Fills content kinds and owner hues; other kinds become grey until viz_palette_set. */
void viz_palette_fill(struct viz_vec palette[VIZ_PALETTE_KINDS + VIZ_PALETTE_OWNERS]);
void viz_palette_set(struct viz_view *view, unsigned kind, uint32_t rgb);

/* 0xrrggbb of a content kind, its name and words. */
uint32_t viz_content_colour(enum viz_content kind);
const char *viz_content_name(enum viz_content kind);
const char *viz_content_words(enum viz_content kind);

/* Palette entry 0 .. 63 of an owner (a pid); 0 is the kernel or nobody. */
unsigned viz_owner_slot(uint32_t owner);
uint32_t viz_owner_colour(unsigned slot);

/* What 4096 bytes look like, from a sample of them. */
enum viz_content viz_content_guess(const uint8_t *page);
#endif
