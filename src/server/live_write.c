/* What a viewer is sent: hello, looks of all pages, then pages as they are now. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "box/target.h"
#include "server/live.h"
#include "server/live_state.h"

static void put_u32(uint8_t *to, uint32_t value)
{
	memcpy(to, &value, 4);
}

static size_t put_text(uint8_t *to, size_t size, enum message type, const char *text)
{
	size_t length = strlen(text);
	if (length + 8 > size)
		return 0;
	put_u32(to, type);
	put_u32(to + 4, (uint32_t)length);
	memcpy(to + 8, text, length);
	return length + 8;
}

/* After hello every frame with data is pending; its look goes first. */
static bool begin_frames(struct live_viewer *viewer)
{
	struct live *live = viewer->live;
	free(viewer->pending);
	viewer->pending = calloc(live->n_frames / 64 + 1, 8);
	if (!viewer->pending)
		return false;
	viewer->n_frames = live->n_frames;
	for (uint64_t frame = 0; frame < live->n_frames; frame++)
		if (live->look[frame])
			viewer->pending[frame / 64] |= UINT64_C(1) << frame % 64;
	return true;
}

static uint32_t kind_word(const struct live *live, uint64_t frame, bool has_bytes)
{
	return live->kind[frame] | (live->look[frame] ? PAGE_HAS_DATA : 0) |
	       (has_bytes ? PAGE_HAS_BYTES : 0);
}

/* {frame, kind word, owner, look} of frames with data or a kind. */
static size_t put_coarse(struct live_viewer *viewer, uint8_t *to, size_t size)
{
	const struct live *live = viewer->live;
	uint32_t count = 0;
	uint8_t *at = to + 12;
	for (; viewer->coarse < live->n_frames && count < COARSE_PER_CHUNK &&
	       at + 16 <= to + size;
	     viewer->coarse++) {
		uint64_t frame = viewer->coarse;
		if (!live->look[frame] && !live->kind[frame])
			continue;
		put_u32(at, (uint32_t)frame);
		put_u32(at + 4, kind_word(live, frame, false));
		put_u32(at + 8, live->owner[frame]);
		put_u32(at + 12, live->look[frame]);
		at += 16;
		count++;
	}
	if (!count)
		return 0;
	put_u32(to, MESSAGE_COARSE);
	put_u32(to + 4, (uint32_t)(at - to - 8));
	put_u32(to + 8, count);
	return (size_t)(at - to);
}

/* Next pending frame: those near the camera first, then round and round; UINT64_MAX when there
 * is none. */
static uint64_t next_in(struct live_viewer *viewer, uint64_t first, uint64_t end)
{
	for (uint64_t frame = first; frame < end;) {
		uint64_t word = viewer->pending[frame / 64] >> frame % 64;
		if (!word) {
			frame = (frame / 64 + 1) * 64;
			continue;
		}
		frame += (uint64_t)__builtin_ctzll(word);
		return frame < end ? frame : UINT64_MAX;
	}
	return UINT64_MAX;
}

static uint64_t next_near(struct live_viewer *viewer)
{
	for (; viewer->near_at < viewer->n_near; viewer->near_at++) {
		const struct live_range *range = &viewer->near[viewer->near_at];
		uint64_t end = range->end < viewer->n_frames ? range->end : viewer->n_frames;
		uint64_t frame = next_in(viewer, range->first, end);
		if (frame != UINT64_MAX)
			return frame;
	}
	return UINT64_MAX;
}

static uint64_t next_pending(struct live_viewer *viewer)
{
	uint64_t frame = next_near(viewer);
	if (frame == UINT64_MAX) {
		frame = next_in(viewer, viewer->scan, viewer->n_frames);
		if (frame == UINT64_MAX && viewer->scan)
			frame = next_in(viewer, 0, viewer->scan);
		if (frame == UINT64_MAX)
			return frame;
		viewer->scan = frame + 1 < viewer->n_frames ? frame + 1 : 0;
	}
	viewer->pending[frame / 64] &= ~(UINT64_C(1) << frame % 64);
	return frame;
}

/* {frame, kind word, owner, milliseconds since the write or ~0} each followed by its bytes if
 * it has any. */
static size_t put_pages(struct live_viewer *viewer, uint8_t *to, size_t size)
{
	struct live *live = viewer->live;
	struct phys_mem *mem = target_memory(live->target);
	uint32_t count = 0, now = live_clock_ms();
	uint8_t *at = to + 12;
	while (at + 16 + PHYS_PAGE_SIZE <= to + size) {
		uint64_t frame = next_pending(viewer);
		if (frame == UINT64_MAX)
			break;
		bool has_bytes = live->look[frame] && phys_mem_read(mem, frame * PHYS_PAGE_SIZE,
								    at + 16, PHYS_PAGE_SIZE);
		put_u32(at, (uint32_t)frame);
		put_u32(at + 4, kind_word(live, frame, has_bytes));
		put_u32(at + 8, live->owner[frame]);
		put_u32(at + 12,
			live->written_ms[frame] ? now - live->written_ms[frame] : UINT32_MAX);
		at += 16 + (has_bytes ? PHYS_PAGE_SIZE : 0);
		count++;
	}
	if (!count)
		return 0;
	put_u32(to, MESSAGE_PAGES);
	put_u32(to + 4, (uint32_t)(at - to - 8));
	put_u32(to + 8, count);
	return (size_t)(at - to);
}

/* The hello of the VM with this viewer's stream number in it. */
static size_t put_hello(const struct live_viewer *viewer, uint8_t *to, size_t size)
{
	AUTO(own_free) char *text = NULL;
	if (asprintf(&text, "{\"stream\":%llu,%s", (unsigned long long)viewer->id,
		     viewer->live->hello + 1) < 0)
		text = NULL;
	return text ? put_text(to, size, MESSAGE_HELLO, text) : 0;
}

static size_t read_locked(struct live_viewer *viewer, uint8_t *to, size_t size)
{
	struct live *live = viewer->live;
	if (live->hello && viewer->hello_sent != live->hello_number) {
		if (!begin_frames(viewer))
			return 0;
		viewer->hello_sent = live->hello_number;
		viewer->coarse = 0;
		return put_hello(viewer, to, size);
	}
	if (live->state && viewer->state_sent != live->state_number) {
		viewer->state_sent = live->state_number;
		return put_text(to, size, MESSAGE_STATE, live->state);
	}
	if (!viewer->n_frames || live->gone)
		return 0;
	size_t length = put_coarse(viewer, to, size);
	return length ? length : put_pages(viewer, to, size);
}

size_t live_viewer_read(struct live_viewer *viewer, uint8_t *to, size_t size)
{
	CHECK(size >= LIVE_CHUNK_BYTES);
	pthread_mutex_lock(&viewer->live->lock);
	size_t length = read_locked(viewer, to, size);
	pthread_mutex_unlock(&viewer->live->lock);
	return length;
}
