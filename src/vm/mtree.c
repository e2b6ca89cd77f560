/* The text looks like this; the flat view is what the CPU sees after all overlaps:
 *
 *   FlatView #1
 *    AS "memory", root: system
 *    AS "cpu-memory-0", root: system
 *    Root memory region: system
 *     0000000000000000-00000000000bffff (prio 0, ram): ram0
 *     00000000000c0000-00000000000dffff (prio 1, rom): pc.rom
 *     0000000000100000-0000000007ffffff (prio 0, ram): ram0 @0000000000100000
 *     0000000100000000-000000013fffffff (prio 0, ram): ram0 @00000000c0000000 KVM
 *
 * Rules: 1. only the view whose address spaces include "memory" counts. 2. Only lines of a
 * named backend count, whatever their kind (a write-protected shadow of RAM says "rom").
 * 3. A hole below 1 MiB between two ranges of the same backend at the same distance is RAM
 * behind firmware and becomes RAM again when the firmware has copied itself: it is filled,
 * except for the VGA window. */
#include "vm/mtree.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define VGA_START 0xa0000u
#define VGA_END 0xc0000u
#define LOW_END 0x100000u

/* A cursor over one line; end is one past its last character. */
struct line {
	const char *at, *end;
};

static bool next_line(const char **text, struct line *line)
{
	if (!**text)
		return false;
	size_t length = strcspn(*text, "\n");
	line->at = *text;
	line->end = *text + length;
	*text += length + ((*text)[length] == '\n');
	while (line->end > line->at && line->end[-1] == '\r')
		line->end--;
	while (line->at < line->end && *line->at == ' ')
		line->at++;
	return true;
}

static bool starts_with(const struct line *line, const char *prefix)
{
	size_t length = strlen(prefix);
	return (size_t)(line->end - line->at) >= length && !memcmp(line->at, prefix, length);
}

static bool take_hex(struct line *line, uint64_t *ret)
{
	uint64_t value = 0;
	int digits = 0;
	for (; line->at < line->end && digits <= 16; line->at++, digits++) {
		char c = *line->at;
		int digit = c >= '0' && c <= '9'   ? c - '0'
			    : c >= 'a' && c <= 'f' ? c - 'a' + 10
						   : -1;
		if (digit < 0)
			break;
		value = value << 4 | (uint64_t)digit;
	}
	*ret = value;
	return digits > 0 && digits <= 16;
}

static bool skip_past(struct line *line, const char *what)
{
	size_t length = strlen(what);
	const char *found = memmem(line->at, (size_t)(line->end - line->at), what, length);
	if (found)
		line->at = found + length;
	return found != NULL;
}

static bool is_wanted(const char *const *names, const char *name)
{
	for (; *names; names++)
		if (!strcmp(*names, name))
			return true;
	return false;
}

/* Parses "START-END (prio N, kind): NAME[ @OFFSET][ words]". */
static bool parse_range(struct line line, struct mtree_range *ret)
{
	uint64_t start, last, offset = 0;
	if (!take_hex(&line, &start) || !starts_with(&line, "-"))
		return false;
	line.at++;
	if (!take_hex(&line, &last) || last < start || last - start == UINT64_MAX ||
	    !skip_past(&line, "): "))
		return false;
	struct line name = line;
	if (skip_past(&line, " @")) {
		name.end = line.at - 2;
		if (!take_hex(&line, &offset))
			return false;
	} else if (skip_past(&line, " KVM")) {
		name.end = line.at - 4;
	}
	size_t length = (size_t)(name.end - name.at);
	if (!length || length >= sizeof(ret->name))
		return false;
	*ret = (struct mtree_range){ .gpa = start,
				     .size_bytes = last - start + 1,
				     .offset = offset };
	memcpy(ret->name, name.at, length);
	return true;
}

static bool same_distance(const struct mtree_range *a, const struct mtree_range *b)
{
	return !strcmp(a->name, b->name) && a->gpa - a->offset == b->gpa - b->offset;
}

static bool push(struct mtree_layout *layout, const struct mtree_range *range)
{
	struct mtree_range *last =
		layout->ranges.count ? &layout->ranges.items[layout->ranges.count - 1] : NULL;
	if (last && same_distance(last, range) && last->gpa + last->size_bytes == range->gpa) {
		last->size_bytes += range->size_bytes;
		return true;
	}
	return VEC_PUSH(&layout->ranges, *range);
}

/* Adds range, and before it what rule 3 says about the hole in front of it. */
static struct error *add_range(struct mtree_layout *layout, const struct mtree_range *range)
{
	if (layout->ranges.count) {
		struct mtree_range *last = &layout->ranges.items[layout->ranges.count - 1];
		uint64_t end = last->gpa + last->size_bytes;
		if (range->gpa < end)
			return error_create(ERR_BAD_DATA, "QEMU's memory ranges overlap");
		if (range->gpa <= LOW_END && same_distance(last, range)) {
			struct mtree_range filler = *last;
			filler.gpa = end > VGA_START && end < VGA_END ? VGA_END : end;
			if (end == VGA_START)
				filler.gpa = VGA_END;
			filler.offset = last->offset + (filler.gpa - last->gpa);
			filler.size_bytes = range->gpa - filler.gpa;
			if (filler.gpa < range->gpa && !push(layout, &filler))
				return error_create(ERR_MEMORY, "no memory for a layout");
		}
	}
	return push(layout, range) ? NULL : error_create(ERR_MEMORY, "no memory for a layout");
}

struct error *mtree_parse(const char *text, const char *const *names,
			  struct mtree_layout *layout)
{
	struct line line;
	bool in_memory = false, done = false;
	while (!done && next_line(&text, &line)) {
		struct mtree_range range;
		if (starts_with(&line, "FlatView")) {
			done = layout->ranges.count > 0;
			in_memory = false;
		} else if (starts_with(&line, "AS \"memory\"")) {
			in_memory = true;
		} else if (in_memory && parse_range(line, &range) &&
			   is_wanted(names, range.name)) {
			TRY(add_range(layout, &range));
		}
	}
	if (!layout->ranges.count)
		return error_create(ERR_BAD_DATA, "QEMU's memory map shows no RAM");
	return NULL;
}
