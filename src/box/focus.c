#include "box/focus.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "base/vec.h"
#include "box/guest_call.h"
#include "guest/guest.h"
#include "guest/page_detail.h"
#include "guest/page_kind.h"
#include "guest/space.h"

struct range {
	uint64_t first, end; /* frames */
};

/* What a frame must be to belong to the focus. */
struct wanted {
	int kind; /* -1: any */
	int64_t owner; /* pid; -1: any */
	const char *file; /* part of a path, or NULL */
	struct guest *guest;
	const struct page_kinds *kinds;
};

typedef VEC(struct range) range_vec;

static bool names_file(const struct wanted *wanted, uint64_t frame)
{
	char text[512] = "";
	page_owner_text(wanted->guest, wanted->kinds, frame, text, sizeof(text));
	return strstr(text, wanted->file);
}

static bool belongs(const struct wanted *wanted, const struct page_table_of_kinds *table,
		    uint64_t frame)
{
	if (wanted->kind >= 0 && table->kind[frame] != wanted->kind)
		return false;
	if (wanted->owner >= 0 && table->owner[frame] != (uint64_t)wanted->owner)
		return false;
	return !wanted->file || names_file(wanted, frame);
}

static struct error *collect(const struct wanted *wanted, range_vec *ranges)
{
	struct page_table_of_kinds table = page_kinds_get(wanted->kinds);
	for (uint64_t frame = 0; frame < table.n_frames; frame++) {
		if (!belongs(wanted, &table, frame))
			continue;
		struct range *last = ranges->count ? &ranges->items[ranges->count - 1] : NULL;
		if (last && last->end == frame)
			last->end++;
		else if (!VEC_PUSH(ranges, (struct range){ frame, frame + 1 }))
			return error_create(ERR_MEMORY, "no memory for ranges");
	}
	return NULL;
}

static int by_size(const void *a, const void *b)
{
	const struct range *left = a, *right = b;
	uint64_t l = left->end - left->first, r = right->end - right->first;
	return l > r ? -1 : l < r;
}

static int by_place(const void *a, const void *b)
{
	const struct range *left = a, *right = b;
	return left->first < right->first ? -1 : left->first > right->first;
}

static json_t *ranges_document(range_vec *ranges)
{
	json_t *list = json_array();
	if (ranges->count > FOCUS_MAX_RANGES) {
		qsort(ranges->items, ranges->count, sizeof(*ranges->items), by_size);
		ranges->count = FOCUS_MAX_RANGES;
		qsort(ranges->items, ranges->count, sizeof(*ranges->items), by_place);
	}
	for (size_t i = 0; i < ranges->count; i++)
		json_array_append_new(
			list,
			json_pack("{s:o, s:o}", "start",
				  call_hex(ranges->items[i].first * PHYS_PAGE_SIZE), "end",
				  call_hex(ranges->items[i].end * PHYS_PAGE_SIZE)));
	return list;
}

static struct error *collect_frames(struct guest *guest, struct wanted *wanted, json_t **ret)
{
	AUTO(own_page_kinds) struct page_kinds *kinds = NULL;
	range_vec ranges = { 0 };
	TRY(page_kinds_create(guest, &kinds));
	wanted->guest = guest;
	wanted->kinds = kinds;
	struct error *err = collect(wanted, &ranges);
	if (!err)
		*ret = ranges_document(&ranges);
	VEC_FREE(&ranges);
	return err;
}

/* One address: its page. Kernel addresses are translated. */
static struct error *address_range(struct guest *guest, uint64_t address, json_t **ret)
{
	struct guest_mapping mapping;
	uint64_t gpa = address;
	bool is_virtual = address >> 56 == 0xff;
	if (is_virtual) {
		enum guest_walk status =
			guest_space_walk(guest_kernel_space(guest), address, &mapping);
		if (status != GUEST_WALK_OK)
			return error_create(ERR_FAULT, "%#llx is %s",
					    (unsigned long long)address,
					    guest_walk_text(status));
		gpa = mapping.gpa;
	}
	struct range one = { gpa / PHYS_PAGE_SIZE, gpa / PHYS_PAGE_SIZE + 1 };
	range_vec ranges = { .items = &one, .count = 1, .capacity = 1 };
	*ret = ranges_document(&ranges);
	return NULL;
}

static int kind_number(const char *name)
{
	for (int kind = 0; kind < PAGE_N_KINDS; kind++)
		if (!strcmp(page_kind_name((enum page_kind)kind), name))
			return kind;
	return -1;
}

/* Which frames a focus word with a pid means. */
static bool wanted_of_pid(const char *word, const char *what, struct wanted *wanted)
{
	static const struct {
		const char *word;
		int kind;
	} words[] = { { "pid", -1 },
		      { "heap", PAGE_ANON_HEAP },
		      { "pagetables", PAGE_TABLE },
		      { "stack", PAGE_KERNEL_STACK },
		      { "userstack", PAGE_ANON_STACK } };
	char *end;
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (strcmp(words[i].word, word))
			continue;
		wanted->kind = words[i].kind;
		wanted->owner = strtoll(what, &end, 10);
		return end != what && !*end && wanted->owner >= 0;
	}
	return false;
}

struct error *focus_ranges(struct call_context *context, const char *focus, json_t **ret)
{
	struct guest *guest = NULL;
	const char *colon = strchr(focus, ':');
	char word[24] = "";
	struct wanted wanted = { .kind = -1, .owner = -1 };
	uint64_t address;
	if (!colon || (size_t)(colon - focus) >= sizeof(word))
		return error_create(ERR_USAGE,
				    "'%s' is not a focus such as pid:42 or kind:slab", focus);
	memcpy(word, focus, (size_t)(colon - focus));
	const char *what = colon + 1;
	TRY(call_guest(context, &guest));
	if (!strcmp(word, "address"))
		return address_range(guest, strtoull(what, NULL, 0), ret);
	if (!strcmp(word, "symbol")) {
		if (!guest_symbol(guest, what, &address))
			return error_create(ERR_NOT_FOUND, "no symbol '%s'", what);
		return address_range(guest, address, ret);
	}
	if (!strcmp(word, "kind"))
		wanted.kind = kind_number(what);
	else if (!strcmp(word, "file"))
		wanted = (struct wanted){ .kind = PAGE_CACHE, .owner = -1, .file = what };
	else if (!wanted_of_pid(word, what, &wanted))
		return error_create(ERR_USAGE,
				    "'%s' is not a focus such as pid:42 or kind:slab", focus);
	if (!strcmp(word, "kind") && wanted.kind < 0)
		return error_create(ERR_USAGE, "no kind of page is called '%s'", what);
	return collect_frames(guest, &wanted, ret);
}
