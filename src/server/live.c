#include "server/live.h"

#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "base/vec.h"
#include "box/target.h"
#include "guest/guest.h"
#include "guest/page_kind.h"
#include "vm/dirty.h"
#include "vm/vm.h"
#include "viz/look.h"

/* ORDER stream messages: docs/stream.md and web/src/stream.js. Each is: u32 type, u32 length,
 * payload. */
enum message { MESSAGE_HELLO = 1, MESSAGE_PAGES = 2, MESSAGE_COARSE = 3, MESSAGE_STATE = 4 };

enum {
	TICK_MS = 50,
	KINDS_EVERY_TICKS =
		40, /* what pages are for: every two seconds, and at the first tick */
	PAGE_HAS_DATA = 1 << 8, /* in a record's kind word: a byte is not zero */
	PAGE_HAS_BYTES = 1 << 9, /* 4096 bytes follow */
	RECORD_WORDS = 4,
	COARSE_PER_CHUNK = 4000,
};

struct live_viewer {
	struct live_viewer *next;
	struct live *live;
	uint64_t *pending; /* bit per frame: its record must be sent */
	uint64_t n_frames; /* 0 until hello was sent */
	uint64_t scan; /* where the search for bits goes on */
	uint64_t coarse; /* next frame of the first, coarse round */
	uint64_t prefer_first, prefer_end;
	unsigned hello_sent, state_sent; /* number of the hello and the state that went out */
};

struct live {
	struct live *next;
	struct lives *lives;
	char *vm;
	pthread_t thread;
	pthread_mutex_t lock;
	unsigned users; /* under lives->lock */
	bool ends; /* all below: under lock */
	struct live_viewer *viewers;
	struct target *target;
	uint64_t n_frames, top_bytes;
	uint8_t *kind; /* by frame */
	uint32_t *owner;
	uint32_t *written_ms; /* of the clock below; 0: not since we look */
	uint32_t *look;
	char *hello, *state; /* JSON texts, with their numbers */
	unsigned hello_number, state_number;
	bool gone;
};

struct lives {
	pthread_mutex_t lock;
	struct live *first; /* under lock */
	void (*wake)(void *user);
	void *user;
};

static uint32_t clock_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint32_t)now.tv_sec * 1000 + (uint32_t)(now.tv_nsec / 1000000) + 1;
}

/* --- the thread that follows the VM ----------------------------------------------------------
 */

/* What only the thread touches. */
struct follower {
	struct live *live;
	struct dirty *dirty;
	struct dirty_cursor cursor;
	struct dirty_pages pages;
	VEC(uint32_t) looks; /* of the pages of this tick, in their order */
	unsigned ticks;
};

static void mark(struct live *live, uint64_t frame)
{
	for (struct live_viewer *viewer = live->viewers; viewer; viewer = viewer->next)
		if (frame < viewer->n_frames)
			viewer->pending[frame / 64] |= UINT64_C(1) << frame % 64;
}

static void set_state(struct live *live, const char *state, const char *reason)
{
	json_t *document = json_pack("{s:s, s:s?}", "state", state, "reason", reason);
	char *text = json_dumps(document, JSON_COMPACT);
	json_decref(document);
	if (text && live->state && !strcmp(text, live->state)) {
		free(text);
		return;
	}
	free(live->state);
	live->state = text;
	live->state_number++;
}

static json_t *kinds_document(void)
{
	json_t *list = json_array();
	for (int kind = 0; kind < PAGE_N_KINDS; kind++)
		json_array_append_new(
			list, json_pack("{s:s, s:i, s:s}", "name",
					page_kind_name((enum page_kind)kind), "colour",
					(int)page_kind_colour((enum page_kind)kind), "words",
					page_kind_words((enum page_kind)kind)));
	return list;
}

static void set_hello(struct live *live, const char *dirty_source)
{
	json_t *document =
		json_pack("{s:s, s:I, s:I, s:s, s:o}", "vm", live->vm, "top_bytes",
			  (json_int_t)live->top_bytes, "frames", (json_int_t)live->n_frames,
			  "dirty_source", dirty_source, "kinds", kinds_document());
	free(live->hello);
	live->hello = json_dumps(document, JSON_COMPACT);
	json_decref(document);
	live->hello_number++;
}

static struct error *allocate(struct live *live, struct phys_mem *mem)
{
	live->top_bytes = phys_mem_end(mem);
	live->n_frames = (live->top_bytes + PHYS_PAGE_SIZE - 1) / PHYS_PAGE_SIZE;
	TRY(error_alloc(live->n_frames, 1, &live->kind));
	TRY(error_alloc(live->n_frames, 4, &live->owner));
	TRY(error_alloc(live->n_frames, 4, &live->written_ms));
	return error_alloc(live->n_frames, 4, &live->look);
}

static uint32_t look_at(struct phys_mem *mem, uint64_t frame)
{
	uint8_t page[PHYS_PAGE_SIZE];
	if (!phys_mem_read(mem, frame * PHYS_PAGE_SIZE, page, sizeof(page)))
		return 0;
	return viz_look_of_page(page);
}

/* Looks of all data, run by run; holes stay 0 and are never touched. */
static void look_at_all(struct live *live, struct phys_mem *mem)
{
	uint64_t start, end, at = 0;
	while (!live->ends && phys_mem_next_data(mem, at, &start, &end)) {
		for (uint64_t frame = start / PHYS_PAGE_SIZE; frame < end / PHYS_PAGE_SIZE;
		     frame++)
			live->look[frame] = look_at(mem, frame);
		at = end;
	}
}

static struct error *start_following(struct follower *f)
{
	struct live *live = f->live;
	struct target *target = NULL;
	TRY(target_open(&(struct target_params){ .vm = live->vm }, &target));
	pthread_mutex_lock(&live->lock);
	live->target = target;
	pthread_mutex_unlock(&live->lock);
	struct phys_mem *mem = target_memory(target);
	TRY(allocate(live, mem));
	if (target_vm(target)) {
		TRY(dirty_open(target_vm(target), DIRTY_AUTO, &f->dirty));
		TRY(dirty_cursor_now(f->dirty, &f->cursor));
	}
	look_at_all(live, mem);
	pthread_mutex_lock(&live->lock);
	set_hello(live, f->dirty ? dirty_source_name(dirty_source(f->dirty)) : "none");
	pthread_mutex_unlock(&live->lock);
	return NULL;
}

static void take_kinds(struct live *live, const struct page_table_of_kinds *table)
{
	uint64_t count = table->n_frames < live->n_frames ? table->n_frames : live->n_frames;
	for (uint64_t frame = 0; frame < count; frame++) {
		if (live->kind[frame] == table->kind[frame] &&
		    live->owner[frame] == table->owner[frame])
			continue;
		live->kind[frame] = table->kind[frame];
		live->owner[frame] = table->owner[frame];
		mark(live, frame);
	}
}

/* A kernel that cannot be found leaves all kinds as they are: pictures then show bytes only. */
static void follow_kinds(struct follower *f)
{
	struct guest *guest = NULL;
	struct page_kinds *kinds = NULL;
	struct error *err = target_guest(f->live->target, &guest);
	if (!err) {
		guest_begin(guest);
		err = page_kinds_create(guest, &kinds);
	}
	if (!err) {
		struct page_table_of_kinds table = page_kinds_get(kinds);
		pthread_mutex_lock(&f->live->lock);
		take_kinds(f->live, &table);
		pthread_mutex_unlock(&f->live->lock);
		page_kinds_destroy(kinds);
	}
	error_destroy(err);
}

/* Looks at the written pages before the lock is taken, so that viewers do not wait for it. */
static void look_at_dirty(struct follower *f)
{
	struct phys_mem *mem = target_memory(f->live->target);
	f->looks.count = 0;
	for (size_t i = 0; i < f->pages.runs.count; i++) {
		const struct dirty_run *run = &f->pages.runs.items[i];
		for (uint64_t at = 0; at < run->size_bytes; at += PHYS_PAGE_SIZE)
			if (!VEC_PUSH(&f->looks,
				      look_at(mem, (run->gpa + at) / PHYS_PAGE_SIZE)))
				return;
	}
}

static void take_dirty(struct follower *f)
{
	struct live *live = f->live;
	uint32_t now = clock_ms();
	size_t k = 0;
	for (size_t i = 0; i < f->pages.runs.count; i++) {
		const struct dirty_run *run = &f->pages.runs.items[i];
		uint64_t frame = run->gpa / PHYS_PAGE_SIZE,
			 end = frame + run->size_bytes / PHYS_PAGE_SIZE;
		for (; frame < end && k < f->looks.count; frame++, k++) {
			if (frame >= live->n_frames)
				continue;
			live->written_ms[frame] = now;
			live->look[frame] = f->looks.items[k];
			mark(live, frame);
		}
	}
}

static struct error *follow_once(struct follower *f)
{
	struct live *live = f->live;
	if (!target_alive(live->target))
		return error_create(ERR_PEER, "the VM has ended");
	if (f->dirty) {
		TRY(dirty_take(f->dirty, &f->cursor, &f->pages));
		look_at_dirty(f);
		pthread_mutex_lock(&live->lock);
		take_dirty(f);
		pthread_mutex_unlock(&live->lock);
	}
	if (f->ticks++ % KINDS_EVERY_TICKS == 0) {
		follow_kinds(f);
		if (target_vm(live->target))
			error_destroy(vm_refresh(target_vm(live->target)));
	}
	const json_t *document =
		target_vm(live->target) ? vm_document(target_vm(live->target)) : NULL;
	const char *state = json_string_value(json_object_get(document, "state"));
	pthread_mutex_lock(&live->lock);
	set_state(live, state ? state : "running", NULL);
	pthread_mutex_unlock(&live->lock);
	return NULL;
}

static bool should_end(struct live *live)
{
	pthread_mutex_lock(&live->lock);
	bool ends = live->ends;
	pthread_mutex_unlock(&live->lock);
	return ends;
}

static void *follow(void *argument)
{
	struct live *live = argument;
	struct follower f = { .live = live };
	struct error *err = start_following(&f);
	while (!err && !should_end(live)) {
		err = follow_once(&f);
		live->lives->wake(live->lives->user);
		struct timespec pause = { .tv_nsec = TICK_MS * 1000000 };
		nanosleep(&pause, NULL);
	}
	pthread_mutex_lock(&live->lock);
	if (err) {
		live->gone = true;
		set_state(live, "gone", error_message(err));
	}
	pthread_mutex_unlock(&live->lock);
	error_destroy(err);
	live->lives->wake(live->lives->user);
	VEC_FREE(&f.looks);
	dirty_pages_deinit(&f.pages);
	dirty_close(f.dirty);
	return NULL;
}

/* --- lives -----------------------------------------------------------------------------------
 */

struct error *lives_create(void (*wake)(void *user), void *user, struct lives **ret)
{
	struct lives *lives = NULL;
	TRY(error_alloc(1, sizeof(*lives), &lives));
	pthread_mutex_init(&lives->lock, NULL);
	lives->wake = wake;
	lives->user = user;
	*ret = lives;
	return NULL;
}

void lives_destroy(struct lives *lives)
{
	if (!lives)
		return;
	CHECK(!lives->first);
	pthread_mutex_destroy(&lives->lock);
	free(lives);
}

static void live_destroy(struct live *live)
{
	pthread_mutex_lock(&live->lock);
	live->ends = true;
	pthread_mutex_unlock(&live->lock);
	pthread_join(live->thread, NULL);
	target_destroy(live->target);
	pthread_mutex_destroy(&live->lock);
	free(live->kind);
	free(live->owner);
	free(live->written_ms);
	free(live->look);
	free(live->hello);
	free(live->state);
	free(live->vm);
	free(live);
}

static struct error *live_create(struct lives *lives, const char *vm, struct live **ret)
{
	struct live *live = NULL;
	TRY(error_alloc(1, sizeof(*live), &live));
	live->lives = lives;
	live->vm = strdup(vm);
	pthread_mutex_init(&live->lock, NULL);
	int failed = live->vm ? pthread_create(&live->thread, NULL, follow, live) : ENOMEM;
	if (failed) {
		free(live->vm);
		free(live);
		return error_system(failed, "cannot follow VM '%s'", vm);
	}
	*ret = live;
	return NULL;
}

/* A live whose VM is gone is not handed out again: the name may be a new VM's. */
static struct error *find_or_create(struct lives *lives, const char *vm, struct live **ret)
{
	for (struct live *live = lives->first; live; live = live->next) {
		pthread_mutex_lock(&live->lock);
		bool fits = !live->gone && !strcmp(live->vm, vm);
		pthread_mutex_unlock(&live->lock);
		if (fits) {
			*ret = live;
			return NULL;
		}
	}
	TRY(live_create(lives, vm, ret));
	(*ret)->next = lives->first;
	lives->first = *ret;
	return NULL;
}

/* --- viewers
 * ----------------------------------------------------------------------------------- */

struct error *live_viewer_create(struct lives *lives, const char *vm, struct live_viewer **ret)
{
	struct live_viewer *viewer = NULL;
	TRY(error_alloc(1, sizeof(*viewer), &viewer));
	pthread_mutex_lock(&lives->lock);
	struct error *err = find_or_create(lives, vm, &viewer->live);
	if (!err)
		viewer->live->users++;
	pthread_mutex_unlock(&lives->lock);
	if (err) {
		free(viewer);
		return err;
	}
	struct live *live = viewer->live;
	pthread_mutex_lock(&live->lock);
	viewer->next = live->viewers;
	live->viewers = viewer;
	pthread_mutex_unlock(&live->lock);
	*ret = viewer;
	return NULL;
}

void live_viewer_destroy(struct live_viewer *viewer)
{
	if (!viewer)
		return;
	struct live *live = viewer->live;
	struct lives *lives = live->lives;
	pthread_mutex_lock(&live->lock);
	struct live_viewer **link = &live->viewers;
	while (*link != viewer)
		link = &(*link)->next;
	*link = viewer->next;
	pthread_mutex_unlock(&live->lock);
	free(viewer->pending);
	free(viewer);
	pthread_mutex_lock(&lives->lock);
	bool is_last = !--live->users;
	if (is_last) {
		struct live **at = &lives->first;
		while (*at != live)
			at = &(*at)->next;
		*at = live->next;
	}
	pthread_mutex_unlock(&lives->lock);
	if (is_last)
		live_destroy(live);
}

bool live_viewer_done(struct live_viewer *viewer)
{
	struct live *live = viewer->live;
	pthread_mutex_lock(&live->lock);
	bool done = live->gone && viewer->state_sent == live->state_number;
	pthread_mutex_unlock(&live->lock);
	return done;
}

void live_viewer_prefer(struct live_viewer *viewer, uint64_t first_frame, uint64_t end_frame)
{
	pthread_mutex_lock(&viewer->live->lock);
	viewer->prefer_first = first_frame;
	viewer->prefer_end = end_frame;
	viewer->scan = first_frame;
	pthread_mutex_unlock(&viewer->live->lock);
}

/* --- writing messages
 * -------------------------------------------------------------------------- */

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

/* Next pending frame: preferred ones first, then round and round; UINT64_MAX when there is
 * none. */
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

static uint64_t next_pending(struct live_viewer *viewer)
{
	uint64_t end =
		viewer->prefer_end < viewer->n_frames ? viewer->prefer_end : viewer->n_frames;
	uint64_t frame = next_in(viewer, viewer->prefer_first, end);
	if (frame == UINT64_MAX)
		frame = next_in(viewer, viewer->scan, viewer->n_frames);
	if (frame == UINT64_MAX && viewer->scan)
		frame = next_in(viewer, 0, viewer->scan);
	if (frame == UINT64_MAX)
		return frame;
	viewer->scan = frame + 1 < viewer->n_frames ? frame + 1 : 0;
	viewer->pending[frame / 64] &= ~(UINT64_C(1) << frame % 64);
	return frame;
}

/* {frame, kind word, owner, milliseconds since the write or ~0} each followed by its bytes if
 * it has any. */
static size_t put_pages(struct live_viewer *viewer, uint8_t *to, size_t size)
{
	struct live *live = viewer->live;
	struct phys_mem *mem = target_memory(live->target);
	uint32_t count = 0, now = clock_ms();
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

static size_t read_locked(struct live_viewer *viewer, uint8_t *to, size_t size)
{
	struct live *live = viewer->live;
	if (live->hello && viewer->hello_sent != live->hello_number) {
		if (!begin_frames(viewer))
			return 0;
		viewer->hello_sent = live->hello_number;
		viewer->coarse = 0;
		return put_text(to, size, MESSAGE_HELLO, live->hello);
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
