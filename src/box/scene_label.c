#include "box/scene_label.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "box/target.h"
#include "guest/guest.h"
#include "guest/page_kind.h"
#include "guest/task.h"
#include "viz/palette.h"
#include "viz/scene.h"

_Static_assert((int)PAGE_N_KINDS <= (int)VIZ_CONTENT_EMPTY, "kinds of the kernel come first");

static void count_frames(struct scene_label *label, const struct viz_scene *scene)
{
	memset(label->frames, 0, sizeof(label->frames));
	for (uint64_t frame = 0; frame < viz_scene_frames(scene); frame++) {
		uint32_t attributes = viz_scene_attributes(scene, frame);
		if (attributes & VIZ_PAGE_DATA)
			label->frames[attributes & 31]++;
	}
}

/* Who has most pages of each palette slot: a majority vote, since slots are shared by hashing.
 */
struct vote {
	uint32_t pid;
	uint32_t count;
};

static void cast(struct vote *vote, uint32_t pid)
{
	if (!vote->count)
		vote->pid = pid;
	vote->count += vote->pid == pid ? 1 : UINT32_MAX;
}

static void name_owners(struct guest *guest, const struct page_table_of_kinds *table,
			struct scene_label *label)
{
	struct vote votes[VIZ_PALETTE_OWNERS] = { 0 };
	for (uint64_t frame = 0; frame < table->n_frames; frame++)
		if (table->owner[frame])
			cast(&votes[viz_owner_slot(table->owner[frame])], table->owner[frame]);
	memset(label->owner_text, 0, sizeof(label->owner_text));
	snprintf(label->owner_text[0], sizeof(label->owner_text[0]), "kernel");
	for (unsigned slot = 1; slot < VIZ_PALETTE_OWNERS; slot++) {
		struct guest_task task;
		if (!votes[slot].count)
			continue;
		struct error *err = guest_task_find(guest, votes[slot].pid, &task);
		if (!err)
			snprintf(label->owner_text[slot], sizeof(label->owner_text[slot]),
				 "%.20s %d", task.comm, task.pid);
		error_destroy(err);
	}
}

static struct error *apply_kinds(struct guest *guest, struct viz_scene *scene,
				 struct scene_label *label)
{
	AUTO(own_page_kinds) struct page_kinds *kinds = NULL;
	guest_begin(guest);
	TRY(page_kinds_create(guest, &kinds));
	struct page_table_of_kinds table = page_kinds_get(kinds);
	uint64_t n = viz_scene_frames(scene);
	for (uint64_t frame = 0; frame < n && frame < table.n_frames; frame++) {
		viz_scene_set_kind(scene, frame, table.kind[frame]);
		viz_scene_set_owner(scene, frame, viz_owner_slot(table.owner[frame]));
	}
	name_owners(guest, &table, label);
	return viz_scene_flush(scene);
}

struct error *scene_label_apply(void *user, struct viz_scene *scene)
{
	struct scene_label *label = user;
	struct guest *guest = NULL;
	struct error *err = target_guest(label->target, &guest);
	if (!err)
		err = apply_kinds(guest, scene, label);
	label->is_true = !err;
	if (err && (error_kind(err) == ERR_NOT_FOUND || error_kind(err) == ERR_UNSUPPORTED ||
		    error_kind(err) == ERR_BAD_DATA)) {
		error_destroy(err);
		err = viz_scene_guess_kinds(scene, target_memory(label->target));
	}
	if (!err)
		count_frames(label, scene);
	return err;
}

void scene_label_palette(struct viz_view *view)
{
	for (unsigned kind = 0; kind < PAGE_N_KINDS; kind++)
		viz_palette_set(view, kind, page_kind_colour((enum page_kind)kind));
}

const char *scene_label_name(unsigned kind, uint32_t *rgb_ret)
{
	if (kind < PAGE_N_KINDS) {
		*rgb_ret = page_kind_colour((enum page_kind)kind);
		return page_kind_name((enum page_kind)kind);
	}
	if (kind < VIZ_CONTENT_EMPTY || kind >= VIZ_CONTENT_END)
		return NULL;
	*rgb_ret = viz_content_colour((enum viz_content)kind);
	return viz_content_name((enum viz_content)kind);
}

const char *scene_label_words(unsigned kind, uint32_t *rgb_ret)
{
	if (!scene_label_name(kind, rgb_ret))
		return NULL;
	return kind < PAGE_N_KINDS ? page_kind_words((enum page_kind)kind)
				   : viz_content_words((enum viz_content)kind);
}

bool scene_label_is_free(unsigned kind)
{
	return kind == PAGE_NOT_RAM || kind == PAGE_FREE || kind == VIZ_CONTENT_EMPTY;
}
