#include "guest/scan.h"

#include "base/bytes.h"
#include "base/own.h"
#include "base/phys_mem.h"

enum { SCAN_PIECE_BYTES = 1 << 20, SCAN_MAPPED_BYTES = 4 << 20 };

static uint64_t lower(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* One run without a mapping: copied out piece by piece. */
static bool scan_copied(struct phys_mem *mem, uint64_t start, uint64_t end, size_t overlap,
			scan_fn *fn, void *user)
{
	AUTO(own_free) uint8_t *piece = malloc(SCAN_PIECE_BYTES + overlap);
	if (!piece)
		return true;
	for (uint64_t at = start; at < end; at += SCAN_PIECE_BYTES) {
		size_t length = (size_t)lower(end - at, SCAN_PIECE_BYTES + overlap);
		if (phys_mem_read(mem, at, piece, length) && !fn(user, at, piece, length))
			return false;
	}
	return true;
}

/* One run that is mapped: shown in place, and let go piece by piece. */
static bool scan_mapped(struct phys_mem *mem, uint64_t start, uint64_t end, size_t overlap,
			scan_fn *fn, void *user)
{
	for (uint64_t at = start; at < end; at += SCAN_MAPPED_BYTES) {
		size_t length = (size_t)lower(end - at, SCAN_MAPPED_BYTES + overlap);
		const uint8_t *bytes = phys_mem_at(mem, at, length);
		if (!bytes)
			return true;
		bool go_on = fn(user, at, bytes, length);
		phys_mem_forget(mem, at, (size_t)lower(end - at, SCAN_MAPPED_BYTES));
		if (!go_on)
			return false;
	}
	return true;
}

void scan_data(struct phys_mem *mem, uint64_t start, uint64_t end, size_t overlap_bytes,
	       scan_fn *fn, void *user)
{
	uint64_t at = start, run_start, run_end;
	while (at < end && phys_mem_next_data(mem, at, &run_start, &run_end)) {
		if (run_start >= end || run_end <= run_start)
			return;
		run_end = lower(run_end, end);
		size_t length = (size_t)(run_end - run_start);
		bool is_mapped = phys_mem_at(mem, run_start, length) != NULL;
		bool go_on = (is_mapped ? scan_mapped : scan_copied)(mem, run_start, run_end,
								     overlap_bytes, fn, user);
		if (!go_on)
			return;
		at = run_end;
	}
}

size_t scan_copy(struct phys_mem *mem, uint64_t gpa, size_t length_bytes, uint8_t **ret)
{
	*ret = NULL;
	const struct phys_segment *segment = phys_mem_segment(mem, gpa);
	if (!segment)
		return 0;
	size_t length = (size_t)lower(length_bytes, segment->size_bytes - (gpa - segment->gpa));
	AUTO(own_free) uint8_t *copy = malloc(length ? length : 1);
	if (!copy || !phys_mem_read(mem, gpa, copy, length))
		return 0;
	phys_mem_forget(mem, gpa, length);
	*ret = TAKE(copy);
	return length;
}
