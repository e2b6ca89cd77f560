#include "server/picture_query.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "guest/page_kind.h"
#include "server/access.h"

enum { SIDE_MAX = 4096 };

static struct error *bad(const char *name, const char *text)
{
	return error_create(ERR_USAGE, "%s=%.60s makes no sense", name, text);
}

static struct error *read_camera(const char *text, struct picture_query *query)
{
	struct viz_camera *c = &query->camera;
	char rest;
	int count = sscanf(text, "%f,%f,%f,%f,%f,%f%c", &c->yaw, &c->pitch, &c->distance,
			   &c->target[0], &c->target[1], &c->target[2], &rest);
	bool ok = count == 6 && isfinite(c->yaw) && fabsf(c->pitch) < 90 && c->distance > 0 &&
		  c->distance < 1e7f;
	for (int i = 0; i < 3; i++)
		ok = ok && fabsf(c->target[i]) < 1e7f;
	return ok ? NULL : bad("camera", text);
}

static struct error *read_size(const char *text, struct picture_query *query)
{
	char rest;
	bool ok = sscanf(text, "%5ux%5u%c", &query->width, &query->height, &rest) == 2 &&
		  query->width >= 16 && query->height >= 16 && query->width <= SIDE_MAX &&
		  query->height <= SIDE_MAX;
	return ok ? NULL : bad("size", text);
}

static struct error *read_mode(const char *text, struct picture_query *query)
{
	for (query->mode = 0; viz_mode_names[query->mode]; query->mode++)
		if (!strcmp(viz_mode_names[query->mode], text))
			return NULL;
	return bad("mode", text);
}

static struct error *read_percent(const char *name, const char *text, float *ret)
{
	char *end;
	float value = strtof(text, &end);
	if (end == text || *end || !(value >= 0 && value <= 100))
		return bad(name, text);
	*ret = value / 100;
	return NULL;
}

static struct error *read_slice(const char *text, struct picture_query *query)
{
	return !*text || viz_slice_parse(text, query->slice) ? NULL : bad("slice", text);
}

static struct error *read_sphere(const char *text, struct picture_query *query)
{
	return !*text || viz_sphere_parse(text, &query->sphere) ? NULL : bad("sphere", text);
}

/* Unknown names are left out: the page may know newer ones. */
static struct error *read_hidden(const char *text, struct picture_query *query)
{
	for (const char *at = text; at && *at;
	     at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
		size_t length = strcspn(at, ",");
		for (unsigned kind = 0; kind < PAGE_N_KINDS; kind++) {
			const char *name = page_kind_name((enum page_kind)kind);
			if (strlen(name) == length && !strncmp(name, at, length))
				query->hidden_kinds |= 1u << kind;
		}
	}
	return NULL;
}

static struct error *read_pid(const char *text, struct picture_query *query)
{
	char *end;
	if (!*text)
		return NULL;
	errno = 0;
	query->pid = strtoll(text, &end, 10);
	return errno || *end || query->pid < 0 ? bad("pid", text) : NULL;
}

static struct error *read_ranges(const char *text, struct picture_query *query)
{
	for (const char *at = text; at && *at && query->n_ranges < PICTURE_MAX_RANGES;) {
		char *end = NULL;
		uint64_t first = strtoull(at, &end, 16);
		if (*end != '-')
			return bad("focus", text);
		uint64_t last = strtoull(end + 1, &end, 16);
		if ((*end && *end != ',') || last <= first)
			return bad("focus", text);
		query->ranges[query->n_ranges].first = first;
		query->ranges[query->n_ranges++].end = last;
		at = *end ? end + 1 : NULL;
	}
	return NULL;
}

static struct error *read_pick(const char *text, struct picture_query *query)
{
	char rest;
	query->is_pick = true;
	return sscanf(text, "%5u,%5u%c", &query->pick_x, &query->pick_y, &rest) == 2
		       ? NULL
		       : bad("pick", text);
}

static struct error *read_explode(const char *text, struct picture_query *query)
{
	return read_percent("explode", text, &query->explode);
}

static struct error *read_opacity(const char *text, struct picture_query *query)
{
	return read_percent("opacity", text, &query->opacity);
}

static struct error *read_draft(const char *text, struct picture_query *query)
{
	query->is_draft = *text == '1';
	return NULL;
}

struct error *picture_query_parse(const char *text, struct picture_query *ret)
{
	static const struct {
		const char *name;
		struct error *(*read)(const char *text, struct picture_query *query);
	} readers[] = { { "camera", read_camera },   { "size", read_size },
			{ "mode", read_mode },	     { "explode", read_explode },
			{ "opacity", read_opacity }, { "slice", read_slice },
			{ "hidden", read_hidden },   { "pid", read_pid },
			{ "focus", read_ranges },    { "pick", read_pick },
			{ "draft", read_draft },     { "sphere", read_sphere } };
	*ret = (struct picture_query){ .camera = { .yaw = 38, .pitch = 27 },
				       .width = 640,
				       .height = 360,
				       .opacity = 1,
				       .slice = { { 0, 1 }, { 0, 1 }, { 0, 1 } },
				       .pid = -1 };
	for (size_t i = 0; i < sizeof(readers) / sizeof(*readers); i++) {
		AUTO(own_free) char *value = access_query_value(text, readers[i].name);
		if (value)
			TRY(readers[i].read(value, ret));
	}
	if (ret->is_pick && (ret->pick_x >= ret->width || ret->pick_y >= ret->height))
		return error_create(ERR_USAGE, "pick lies outside the picture");
	return NULL;
}
