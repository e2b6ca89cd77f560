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
#include "server/live_state.h"
#include "vm/dirty.h"
#include "vm/vm.h"
#include "viz/look.h"

struct lives {
	pthread_mutex_t lock;
	struct live *first; /* under lock */
	uint64_t last_id; /* of a viewer; under lock */
	void (*wake)(void *user);
	void *user;
};

uint32_t live_clock_ms(void)
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
		if (frame < viewer->n_frames) {
			viewer->pending[frame / 64] |= UINT64_C(1) << frame % 64;
			viewer->near_at = 0;
		}
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
	uint32_t now = live_clock_ms();
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

static void prefer(struct live_viewer *viewer, const struct live_range *ranges, size_t count)
{
	viewer->n_near = count < LIVE_MAX_NEAR ? count : LIVE_MAX_NEAR;
	viewer->near_at = 0;
	memcpy(viewer->near, ranges, viewer->n_near * sizeof(*ranges));
}

struct error *live_viewer_create(struct lives *lives, const char *vm, struct live_viewer **ret)
{
	struct live_viewer *viewer = NULL;
	TRY(error_alloc(1, sizeof(*viewer), &viewer));
	pthread_mutex_lock(&lives->lock);
	struct error *err = find_or_create(lives, vm, &viewer->live);
	viewer->id = ++lives->last_id;
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

void lives_prefer(struct lives *lives, uint64_t stream, const struct live_range *ranges,
		  size_t count)
{
	pthread_mutex_lock(&lives->lock);
	for (struct live *live = lives->first; live; live = live->next) {
		pthread_mutex_lock(&live->lock);
		for (struct live_viewer *viewer = live->viewers; viewer; viewer = viewer->next)
			if (viewer->id == stream)
				prefer(viewer, ranges, count);
		pthread_mutex_unlock(&live->lock);
	}
	pthread_mutex_unlock(&lives->lock);
}
