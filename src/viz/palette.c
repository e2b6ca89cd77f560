#include "viz/palette.h"

#include <math.h>
#include <string.h>

#include "base/bytes.h"

static const struct {
	const char *name, *words;
	uint32_t colour;
} contents[] = {
#define VIZ_CONTENT_ROW(kind, name, colour, words) { name, words, colour },
	VIZ_CONTENTS(VIZ_CONTENT_ROW)
#undef VIZ_CONTENT_ROW
};

uint32_t viz_content_colour(enum viz_content kind)
{
	return contents[kind - VIZ_CONTENT_BEFORE - 1].colour;
}

const char *viz_content_name(enum viz_content kind)
{
	return contents[kind - VIZ_CONTENT_BEFORE - 1].name;
}

const char *viz_content_words(enum viz_content kind)
{
	return contents[kind - VIZ_CONTENT_BEFORE - 1].words;
}

unsigned viz_owner_slot(uint32_t owner)
{
	return owner ? 1 + owner * 2654435761u % (VIZ_PALETTE_OWNERS - 1) : 0;
}

static uint32_t channel(float hue, float shift, float saturation, float value)
{
	float k = fmodf(shift + hue * 6, 6);
	float dip = fmaxf(0, fminf(fminf(k, 4 - k), 1));
	return (uint32_t)(255 * (value - value * saturation * dip));
}

/* Hues by the golden angle, in three strengths, so that neighbours differ. */
uint32_t viz_owner_colour(unsigned slot)
{
	if (!slot)
		return 0x4a5568;
	float hue = fmodf((float)slot * 0.61803399f, 1);
	float saturation = 0.50f + 0.17f * (float)(slot % 3);
	float value = 0.98f - 0.13f * (float)(slot / 3 % 3);
	return channel(hue, 5, saturation, value) << 16 |
	       channel(hue, 3, saturation, value) << 8 | channel(hue, 1, saturation, value);
}

void viz_palette_fill(struct viz_vec palette[VIZ_PALETTE_KINDS + VIZ_PALETTE_OWNERS])
{
	for (unsigned i = 0; i < VIZ_PALETTE_KINDS; i++)
		palette[i] = viz_linear(0x808890);
	for (unsigned i = VIZ_CONTENT_EMPTY; i < VIZ_CONTENT_END; i++)
		palette[i] = viz_linear(viz_content_colour((enum viz_content)i));
	for (unsigned i = 0; i < VIZ_PALETTE_OWNERS; i++)
		palette[VIZ_PALETTE_KINDS + i] = viz_linear(viz_owner_colour(i));
}

void viz_palette_set(struct viz_view *view, unsigned kind, uint32_t rgb)
{
	if (kind < VIZ_PALETTE_KINDS)
		view->palette[kind] = viz_linear(rgb);
}

struct tally {
	unsigned nonzero, text, high, distinct, pointers;
};

static struct tally tally_page(const uint8_t *page)
{
	struct tally tally = { 0 };
	uint64_t seen[4] = { 0 };
	for (unsigned i = 0; i < 4096; i++) {
		uint8_t byte = page[i];
		tally.nonzero += byte != 0;
		tally.text += (byte >= 0x20 && byte < 0x7f) || (byte >= 9 && byte <= 13);
		tally.high += byte >= 0x80;
		seen[byte >> 6] |= UINT64_C(1) << (byte & 63);
	}
	for (unsigned i = 0; i < 4; i++)
		tally.distinct += (unsigned)__builtin_popcountll(seen[i]);
	for (unsigned i = 0; i < 4096; i += 8) {
		uint64_t word = load_u64(page + i);
		tally.pointers +=
			word >> 44 == 0xfffff || (word >> 32 > 0x5500 && word >> 32 < 0x8000);
	}
	return tally;
}

enum viz_content viz_content_guess(const uint8_t *page)
{
	struct tally tally = tally_page(page);
	if (!tally.nonzero)
		return VIZ_CONTENT_EMPTY;
	if (tally.text > 3400 || tally.text * 10 > tally.nonzero * 9)
		return VIZ_CONTENT_TEXT;
	if (tally.pointers > 48)
		return VIZ_CONTENT_POINTERS;
	if (tally.nonzero > 3900 && tally.distinct > 250 && tally.high > 1700)
		return VIZ_CONTENT_RANDOM;
	if (tally.nonzero > 2600 && tally.distinct > 120)
		return VIZ_CONTENT_CODE;
	return VIZ_CONTENT_DATA;
}
