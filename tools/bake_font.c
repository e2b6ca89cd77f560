/* Makes the table of letters that labels are drawn with (src/viz/font.h) from a TrueType file,
 * at build time: a distance field for each printable ASCII character. bake_font FONT.ttf OUT.c
 */
#include <stdio.h>
#include <stdlib.h>

#define STB_TRUETYPE_IMPLEMENTATION
#include <stb/stb_truetype.h>

/* ORDER font: src/viz/font.h. */
enum { PIXELS = 32, PADDING = 6, FIRST = 32, LAST = 126, ON_EDGE = 128 };

static unsigned char *read_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	if (!file || fseek(file, 0, SEEK_END))
		return NULL;
	size_t size = (size_t)ftell(file);
	unsigned char *bytes = malloc(size);
	rewind(file);
	if (bytes && fread(bytes, 1, size, file) != size)
		return NULL;
	fclose(file);
	return bytes;
}

static void write_bits(FILE *out, const unsigned char *bits, int count)
{
	for (int i = 0; bits && i < count; i++)
		fprintf(out, "%d,%s", bits[i], i % 24 == 23 ? "\n" : "");
	fprintf(out, "\n");
}

int main(int argc, char **argv)
{
	stbtt_fontinfo font;
	unsigned char *bytes = argc == 3 ? read_file(argv[1]) : NULL;
	FILE *out = bytes ? fopen(argv[2], "w") : NULL;
	if (!out || !stbtt_InitFont(&font, bytes, 0)) {
		fprintf(stderr, "bake_font: cannot make %s from %s\n",
			argc == 3 ? argv[2] : "?", argc == 3 ? argv[1] : "?");
		return 1;
	}
	struct {
		int width, height, left, top, advance, at;
	} glyphs[LAST - FIRST + 1];
	float scale = stbtt_ScaleForPixelHeight(&font, PIXELS);
	int total = 0;
	fprintf(out, "/* size-ok: made by tools/bake_font.c. */\n#include \"viz/font.h\"\n\n"
		     "const uint8_t viz_font_field[] = {\n");
	for (int c = FIRST; c <= LAST; c++) {
		int w = 0, h = 0, left = 0, top = 0, advance, bearing;
		unsigned char *bits =
			stbtt_GetCodepointSDF(&font, scale, c, PADDING, ON_EDGE,
					      ON_EDGE / (float)PADDING, &w, &h, &left, &top);
		stbtt_GetCodepointHMetrics(&font, c, &advance, &bearing);
		write_bits(out, bits, w * h);
		glyphs[c - FIRST].width = w, glyphs[c - FIRST].height = h;
		glyphs[c - FIRST].left = left, glyphs[c - FIRST].top = top;
		glyphs[c - FIRST].advance = (int)((float)advance * scale * 64);
		glyphs[c - FIRST].at = total;
		total += w * h;
	}
	fprintf(out, "0 };\n\nconst struct viz_glyph viz_font_glyphs[] = {\n");
	for (int i = 0; i <= LAST - FIRST; i++)
		fprintf(out, "{ %d, %d, %d, %d, %d, %d },\n", glyphs[i].width, glyphs[i].height,
			glyphs[i].left, glyphs[i].top, glyphs[i].advance, glyphs[i].at);
	fprintf(out, "};\n");
	return fclose(out) ? 1 : 0;
}
