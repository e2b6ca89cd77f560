/* Members of mm_struct, vm_area_struct and the maple tree.
 *
 * - start_code .. env_end: eleven user addresses in an order that a program's memory always
 * has.
 * - The areas are a list from the first word of mm (until 6.0), or a maple tree whose root is a
 *   marked pointer to a node of 256 bytes.
 * - vm_start and vm_end are the first words of an area; vm_mm is the address of mm; the flags
 *   are two words behind it.
 * - vm_ops, vm_pgoff, vm_file: none in a stack, an address of the image and a file in a
 * mapping.
 */
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "guest/inferred.h"
#include "guest/internal.h"
#include "guest/shape.h"

enum {
	MM_BYTES = 2048,
	AREA_BYTES = 256,
	SPAN_WORDS = 11,
	AREAS_MAX = 16,
	MAPLE_NODE_BYTES = 256,
	PAGE_OFFSET_MAX = 1 << 28,
};

static bool is_user(const struct shape *s, uint64_t gva)
{
	return gva >= 4096 && (s->word == 8 ? gva >> 57 == 0 : gva < 0xffff0000);
}

/* code, code_end, data, data_end, brk_start, brk, stack, args, args_end, env, env_end */
static bool spans_here(const struct shape *s, uint64_t gva)
{
	uint64_t v[SPAN_WORDS];
	for (unsigned i = 0; i < SPAN_WORDS; i++) {
		v[i] = shape_word(s, gva + i * s->word);
		if (!is_user(s, v[i]))
			return false;
	}
	return v[0] < v[1] && v[2] <= v[3] && v[4] <= v[5] && v[6] <= v[7] && v[7] < v[8] &&
	       v[8] == v[9] && v[9] <= v[10] && v[10] - v[6] < 16 << 20 && v[5] < v[6];
}

static void infer_spans(const struct shape *s, uint64_t mm)
{
	static const char *const names[SPAN_WORDS] = { "start_code",  "end_code",  "start_data",
						       "end_data",    "start_brk", "brk",
						       "start_stack", "arg_start", "arg_end",
						       "env_start",   "env_end" };
	char path[64];
	for (uint32_t at = 0; at < MM_BYTES; at += s->word) {
		if (!spans_here(s, mm + at))
			continue;
		for (unsigned i = 0; i < SPAN_WORDS; i++) {
			snprintf(path, sizeof(path), "mm_struct.%s", names[i]);
			inferred_add(s->guest, path, at + i * s->word, s->word);
		}
		return;
	}
}

/* --- areas ---------------------------------------------------------------------------------
 */

/* Offset of vm_mm in the area at gva, 0 when this is none. */
static uint32_t area_here(const struct shape *s, uint64_t gva, uint64_t mm)
{
	uint64_t start = shape_word(s, gva), end = shape_word(s, gva + s->word);
	if (!is_user(s, start) || start % 4096 || end % 4096 || end <= start)
		return 0;
	for (uint32_t at = 2 * s->word; at < AREA_BYTES; at += s->word)
		if (shape_word(s, gva + at) == mm)
			return at;
	return 0;
}

static void infer_area(const struct shape *s, uint32_t mm_at)
{
	/* An entry of a page table lies between: 8 bytes with PAE. */
	uint32_t entry = s->guest->paging == GUEST_PAGING_PAE ? 8 : s->word;
	inferred_add(s->guest, "vm_area_struct.vm_start", 0, s->word);
	inferred_add(s->guest, "vm_area_struct.vm_end", s->word, s->word);
	inferred_add(s->guest, "vm_area_struct.vm_mm", mm_at, s->word);
	inferred_add(s->guest, "vm_area_struct.vm_flags", mm_at + s->word + entry, s->word);
}

static uint64_t ops_or_none(const struct shape *s, uint64_t area, uint32_t at, bool *good)
{
	uint64_t ops = shape_word(s, area + at);
	*good = !ops || shape_is_image(s, ops) || shape_is_pointer(s, ops);
	return ops;
}

/* Counts in how many areas (ops, pgoff, file) at this offset can be of a file; -1: never. */
static int files_here(const struct shape *s, const uint64_t *areas, size_t count, uint32_t at)
{
	int files = 0;
	for (size_t i = 0; i < count; i++) {
		bool good;
		uint64_t ops = ops_or_none(s, areas[i], at, &good);
		uint64_t pgoff = shape_word(s, areas[i] + at + s->word);
		uint64_t file = shape_word(s, areas[i] + at + 2 * s->word);
		if (!good || (file && (!ops || !shape_is_image(s, ops) ||
				       !shape_is_pointer(s, file) || pgoff >= PAGE_OFFSET_MAX)))
			return -1;
		files += file != 0;
	}
	return files;
}

static void infer_area_file(const struct shape *s, const uint64_t *areas, size_t count,
			    uint32_t mm_at)
{
	for (uint32_t at = mm_at + 2 * s->word; at < AREA_BYTES; at += s->word) {
		int files = files_here(s, areas, count, at);
		if (files < 1 || (size_t)files == count)
			continue;
		inferred_add(s->guest, "vm_area_struct.vm_ops", at, s->word);
		inferred_add(s->guest, "vm_area_struct.vm_pgoff", at + s->word, s->word);
		inferred_add(s->guest, "vm_area_struct.vm_file", at + 2 * s->word, s->word);
		inferred_add(s->guest, "vm_area_struct.vm_private_data", at + 3 * s->word,
			     s->word);
		inferred_add(s->guest, "vm_special_mapping.name", 0, s->word);
		return;
	}
}

static bool infer_list(const struct shape *s, uint64_t mm)
{
	uint64_t areas[AREAS_MAX], area = shape_word(s, mm);
	uint32_t mm_at = shape_is_pointer(s, area) ? area_here(s, area, mm) : 0;
	size_t count = 0;
	if (!mm_at || !area_here(s, shape_word(s, area + 2 * s->word), mm))
		return false;
	for (; area && count < AREAS_MAX && area_here(s, area, mm) == mm_at;
	     area = shape_word(s, area + 2 * s->word))
		areas[count++] = area;
	inferred_add(s->guest, "mm_struct.mmap", 0, s->word);
	inferred_add(s->guest, "vm_area_struct.vm_next", 2 * s->word, s->word);
	inferred_add(s->guest, "vm_area_struct.vm_prev", 3 * s->word, s->word);
	infer_area(s, mm_at);
	infer_area_file(s, areas, count, mm_at);
	return true;
}

/* --- the maple tree -------------------------------------------------------------------------
 */

static void infer_maple_node(const struct shape *s)
{
	/* parent, pivots, slots: as many as fit 256 bytes, for leaves and for inner nodes. */
	unsigned slots = s->word == 8 ? 16 : 32, inner = s->word == 8 ? 10 : 21;
	unsigned all = MAPLE_NODE_BYTES / s->word - 1;
	inferred_add(s->guest, "maple_node.slot", s->word, all * s->word);
	inferred_add(s->guest, "maple_range_64.pivot", s->word, (slots - 1) * s->word);
	inferred_add(s->guest, "maple_range_64.slot", slots * s->word, slots * s->word);
	inferred_add(s->guest, "maple_arange_64.pivot", s->word, (inner - 1) * s->word);
	inferred_add(s->guest, "maple_arange_64.slot", inner * s->word, inner * s->word);
}

/* The areas in the slots of the leftmost leaf below a root. */
static size_t leaf_areas(const struct shape *s, uint64_t entry, uint64_t mm, uint64_t *areas)
{
	unsigned slots = s->word == 8 ? 16 : 32, inner = s->word == 8 ? 10 : 21;
	size_t count = 0;
	for (int depth = 0; depth < 4 && (entry >> 3 & 0xf) > 1; depth++)
		entry = shape_word(s,
				   (entry & ~0xffull) +
					   ((entry >> 3 & 0xf) == 2 ? slots : inner) * s->word);
	uint64_t node = entry & ~0xffull;
	for (unsigned i = 0; i < slots && count < AREAS_MAX; i++) {
		uint64_t area = shape_word(s, node + (slots + i) * s->word);
		if (area > 4096 && shape_is_pointer(s, area) && area_here(s, area, mm))
			areas[count++] = area;
	}
	return count;
}

static bool infer_maple(const struct shape *s, uint64_t mm)
{
	for (uint32_t at = 0; at < 256; at += s->word) {
		uint64_t root = shape_word(s, mm + at), areas[AREAS_MAX];
		if (!(root & 2) || (root >> 3 & 0xf) > 3 ||
		    !shape_is_pointer(s, root & ~0xffull))
			continue;
		size_t count = leaf_areas(s, root, mm, areas);
		if (!count)
			continue;
		inferred_add(s->guest, "mm_struct.mm_mt", at, s->word);
		inferred_add(s->guest, "maple_tree.ma_root", 0, s->word);
		infer_maple_node(s);
		uint32_t mm_at = area_here(s, areas[0], mm);
		infer_area(s, mm_at);
		infer_area_file(s, areas, count, mm_at);
		return true;
	}
	return false;
}

void shape_infer_memory(const struct shape *s, const struct shape_sample *sample)
{
	uint64_t mm = s->mm ? shape_word(s, s->init + s->mm) : 0;
	if (!mm)
		return;
	infer_spans(s, mm);
	if (!infer_list(s, mm))
		infer_maple(s, mm);
}
