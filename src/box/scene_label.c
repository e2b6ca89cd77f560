#include "box/scene_label.h"

#include <string.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "box/target.h"
#include "guest/guest.h"
#include "guest/page_kind.h"
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

static struct error *apply_kinds(struct guest *guest, struct viz_scene *scene)
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
	return viz_scene_flush(scene);
}

struct error *scene_label_apply(void *user, struct viz_scene *scene)
{
	struct scene_label *label = user;
	struct guest *guest = NULL;
	struct error *err = target_guest(label->target, &guest);
	if (!err)
		err = apply_kinds(guest, scene);
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
