#include "server/pictures.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "base/vec.h"
#include "box/call.h"
#include "box/scene_label.h"
#include "box/target.h"
#include "server/picture_query.h"
#include "vm/dirty.h"
#include "viz/frame.h"
#include "viz/palette.h"
#include "viz/picture.h"
#include "viz/scene.h"

enum { LABEL_EVERY_S = 3, MAX_STUDIOS = 8 };

/* One VM's renderer. */
struct studio {
	struct studio *next;
	char *vm;
	unsigned users; /* under pictures->lock */
	pthread_mutex_t lock; /* everything below */
	struct target *target;
	struct scene_label label;
	struct viz_frames *frames;
	struct dirty *dirty;
	struct dirty_cursor cursor;
	struct dirty_pages pages;
	time_t labelled;
	struct picture_query shown; /* whose flags the scene's pages have */
	bool has_shown;
};

struct pictures {
	pthread_mutex_t lock;
	struct studio *first; /* latest used first */
	unsigned count;
};

struct error *pictures_create(struct pictures **ret)
{
	struct pictures *pictures = NULL;
	TRY(error_alloc(1, sizeof(*pictures), &pictures));
	pthread_mutex_init(&pictures->lock, NULL);
	*ret = pictures;
	return NULL;
}

static void studio_close(struct studio *studio)
{
	viz_frames_destroy(TAKE(studio->frames));
	dirty_pages_deinit(&studio->pages);
	dirty_close(TAKE(studio->dirty));
	target_destroy(TAKE(studio->target));
	studio->has_shown = false;
}

static void studio_destroy(struct studio *studio)
{
	studio_close(studio);
	pthread_mutex_destroy(&studio->lock);
	free(studio->vm);
	free(studio);
}

void pictures_destroy(struct pictures *pictures)
{
	if (!pictures)
		return;
	while (pictures->first) {
		struct studio *studio = pictures->first;
		pictures->first = studio->next;
		studio_destroy(studio);
	}
	pthread_mutex_destroy(&pictures->lock);
	free(pictures);
}

/* Takes the studio out of the list; NULL when the VM has none. */
static struct studio *unlink_studio(struct pictures *pictures, const char *vm)
{
	struct studio **link = &pictures->first;
	while (*link && strcmp((*link)->vm, vm))
		link = &(*link)->next;
	struct studio *studio = *link;
	if (studio)
		*link = studio->next;
	return studio;
}

/* Ends the least recently used one that nobody works with. */
static void drop_oldest(struct pictures *pictures)
{
	struct studio **link = &pictures->first, **last = NULL;
	for (; *link; link = &(*link)->next)
		if (!(*link)->users)
			last = link;
	if (!last)
		return;
	struct studio *studio = *last;
	*last = studio->next;
	pictures->count--;
	studio_destroy(studio);
}

static struct error *acquire(struct pictures *pictures, const char *vm, struct studio **ret)
{
	struct error *err = NULL;
	pthread_mutex_lock(&pictures->lock);
	struct studio *studio = unlink_studio(pictures, vm);
	if (!studio) {
		if (pictures->count >= MAX_STUDIOS)
			drop_oldest(pictures);
		err = error_alloc(1, sizeof(*studio), &studio);
		if (!err) {
			studio->vm = strdup(vm);
			pthread_mutex_init(&studio->lock, NULL);
			pictures->count++;
		}
	}
	if (!err) {
		studio->next = pictures->first;
		pictures->first = studio;
		studio->users++;
	}
	pthread_mutex_unlock(&pictures->lock);
	if (!err)
		pthread_mutex_lock(&studio->lock);
	*ret = studio;
	return err;
}

static void release(struct pictures *pictures, struct studio *studio)
{
	pthread_mutex_unlock(&studio->lock);
	pthread_mutex_lock(&pictures->lock);
	studio->users--;
	pthread_mutex_unlock(&pictures->lock);
}

static struct error *studio_open(struct studio *studio)
{
	if (!studio->vm)
		return error_create(ERR_MEMORY, "no memory for a picture");
	TRY(target_open(&(struct target_params){ .vm = studio->vm }, &studio->target));
	studio->label = (struct scene_label){ .target = studio->target };
	TRY(dirty_open(target_vm(studio->target), DIRTY_AUTO, &studio->dirty));
	TRY(dirty_cursor_now(studio->dirty, &studio->cursor));
	struct viz_volume volume = { .mem = target_memory(studio->target),
				     .label = scene_label_apply,
				     .label_user = &studio->label };
	return viz_frames_create(&(struct viz_frames_params){ .probe_import = true,
							      .volumes = &volume,
							      .n_volumes = 1 },
				 &studio->frames);
}

static uint32_t clock_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint32_t)now.tv_sec * 1000 + (uint32_t)(now.tv_nsec / 1000000) + 1;
}

/* Brings in what was written since the last picture, and now and then what pages are for. */
static struct error *studio_refresh(struct studio *studio)
{
	VEC(uint64_t) changed = { 0 };
	TRY(dirty_take(studio->dirty, &studio->cursor, &studio->pages));
	bool ok = true;
	for (size_t i = 0; i < studio->pages.runs.count; i++) {
		const struct dirty_run *run = &studio->pages.runs.items[i];
		for (uint64_t at = 0; at < run->size_bytes; at += PHYS_PAGE_SIZE)
			ok = ok && VEC_PUSH(&changed, (run->gpa + at) / PHYS_PAGE_SIZE);
	}
	struct error *err = ok ? viz_frames_update(studio->frames, 0, changed.items,
						   changed.count, clock_ms())
			       : error_create(ERR_MEMORY, "no memory for changed pages");
	VEC_FREE(&changed);
	time_t now = time(NULL);
	if (!err && now - studio->labelled >= LABEL_EVERY_S) {
		studio->labelled = now;
		studio->has_shown = false;
		err = scene_label_apply(&studio->label, viz_frames_scene(studio->frames, 0));
	}
	return err;
}

static struct error *studio_prepare(struct studio *studio)
{
	if (studio->target && !target_alive(studio->target))
		studio_close(studio);
	if (!studio->frames) {
		studio_close(studio);
		struct error *err = studio_open(studio);
		if (err) {
			studio_close(studio);
			return err;
		}
	}
	return studio_refresh(studio);
}

static bool is_selected(const struct picture_query *query, uint64_t frame, uint32_t owner_slot)
{
	uint64_t gpa = frame * PHYS_PAGE_SIZE;
	if (query->pid >= 0)
		return owner_slot == viz_owner_slot((uint32_t)query->pid);
	for (unsigned i = 0; i < query->n_ranges; i++)
		if (gpa >= query->ranges[i].first && gpa < query->ranges[i].end)
			return true;
	return false;
}

/* Hides and selects pages as the query says, if the last one said otherwise. */
static void apply_flags(struct studio *studio, const struct picture_query *query)
{
	struct viz_scene *scene = viz_frames_scene(studio->frames, 0);
	const struct picture_query *shown = &studio->shown;
	if (studio->has_shown && shown->hidden_kinds == query->hidden_kinds &&
	    shown->pid == query->pid && shown->n_ranges == query->n_ranges &&
	    !memcmp(shown->ranges, query->ranges, sizeof(query->ranges[0]) * query->n_ranges))
		return;
	for (uint64_t frame = 0; frame < viz_scene_frames(scene); frame++) {
		uint32_t attributes = viz_scene_attributes(scene, frame);
		uint32_t set =
			query->hidden_kinds >> (attributes & 31) & 1 ? VIZ_PAGE_HIDDEN : 0;
		if (is_selected(query, frame, attributes >> 8 & 63))
			set |= VIZ_PAGE_SELECTED;
		viz_scene_set_flags(scene, frame, set,
				    (VIZ_PAGE_HIDDEN | VIZ_PAGE_SELECTED) & ~set);
	}
	studio->shown = *query;
	studio->has_shown = true;
}

static void aim(const struct picture_query *query, struct studio *studio, struct viz_view *view)
{
	float side = (float)(1u << viz_scene_order(viz_frames_scene(studio->frames, 0)));
	viz_view_init(view, query->width, query->height);
	scene_label_palette(view);
	viz_scene_describe(viz_frames_scene(studio->frames, 0), view);
	view->mode = query->mode;
	view->explode = query->explode;
	view->opacity = query->opacity > 0.01f ? query->opacity : 0.01f;
	view->now = clock_ms();
	if (query->pid >= 0 || query->n_ranges)
		view->flags |= VIZ_SELECT;
	if (query->is_draft)
		view->lod_bias = 0.5f;
	viz_view_slice(view, query->slice, side);
	view->sphere = query->sphere;
	viz_view_aim(view, &query->camera);
}

static struct error *answer_pick(struct studio *studio, const struct picture_query *query,
				 const struct viz_view *view, struct http_response *response)
{
	struct viz_pick pick = { 0 };
	unsigned volume = 0;
	TRY(viz_frames_pick(studio->frames, view, query->pick_x, query->pick_y, &pick,
			    &volume));
	json_t *document =
		pick.hit ? json_pack("{s:b, s:o, s:b, s:[i,i,i]}", "hit", 1, "address",
				     call_hex(pick.gpa), "exact", (int)pick.is_exact, "voxel",
				     (int)pick.voxel[0], (int)pick.voxel[1], (int)pick.voxel[2])
			 : json_pack("{s:b}", "hit", 0);
	http_response_json(response, 200, document);
	return NULL;
}

static struct error *answer(struct studio *studio, const struct picture_query *query,
			    struct http_response *response)
{
	AUTO(own_viz_picture) struct viz_picture *picture = NULL;
	struct viz_view view;
	uint8_t *bytes = NULL;
	size_t size = 0;
	TRY(studio_prepare(studio));
	apply_flags(studio, query);
	aim(query, studio, &view);
	if (query->is_pick)
		return answer_pick(studio, query, &view, response);
	TRY(viz_picture_create(query->width, query->height, &picture));
	TRY(viz_frames_draw(studio->frames, &view, picture, NULL));
	TRY(viz_picture_jpeg(picture, query->is_draft ? 70 : 90, &bytes, &size));
	*response = (struct http_response){ .status = 200,
					    .content_type = "image/jpeg",
					    .body = (char *)bytes,
					    .body_bytes = size };
	return NULL;
}

struct error *pictures_answer(struct pictures *pictures, const char *vm, const char *query_text,
			      struct http_response *response)
{
	struct picture_query query;
	struct studio *studio = NULL;
	TRY(picture_query_parse(query_text, &query));
	TRY(acquire(pictures, vm, &studio));
	struct error *err = answer(studio, &query, response);
	release(pictures, studio);
	return err;
}
