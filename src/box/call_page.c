/* page, regions: what frames of memory are for. */
#include <string.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "box/calls.h"
#include "box/guest_call.h"
#include "guest/guest.h"
#include "guest/page_detail.h"
#include "guest/page_kind.h"
#include "guest/page_struct.h"
#include "guest/space.h"
#include "guest/task.h"
#include "guest/vma.h"
#include "viz/hilbert.h"

/* Areas are looked up for so many mappings of a page; libraries can have thousands. */
enum { MAPPINGS_WITH_AREA = 32 };

/* --- page ------------------------------------------------------------------------------ */

/* An address of the process with --pid, of the kernel if it is in the upper half, else
 * physical. */
static struct error *page_address(struct call_context *context, struct guest *guest,
				  uint64_t *gpa_ret)
{
	uint64_t address;
	TRY(call_address(context, guest, "address", &address));
	bool is_virtual = call_has(context, "pid") ||
			  (guest_word_bytes(guest) == 8 && address >> 56 == 0xff);
	*gpa_ret = address;
	if (!is_virtual)
		return NULL;
	struct guest_space space;
	struct guest_mapping mapping;
	TRY(call_space(context, guest, &space));
	enum guest_walk status = guest_space_walk(&space, address, &mapping);
	if (status != GUEST_WALK_OK)
		return error_create(ERR_FAULT, "%#llx is %s", (unsigned long long)address,
				    guest_walk_text(status));
	*gpa_ret = mapping.gpa;
	return NULL;
}

static json_t *voxel_of(struct guest *guest, uint64_t gpa)
{
	unsigned order = hilbert_order(phys_mem_end(guest_memory(guest)));
	struct hilbert_point at = hilbert_point(order, gpa);
	return json_pack("[i,i,i]", (int)at.x, (int)at.y, (int)at.z);
}

static json_t *text_or_null(const char *text, size_t size)
{
	return *text ? json_guest_text(text, size) : json_null();
}

static json_t *flags_of(const struct page_kinds *kinds, const struct page_detail *detail)
{
	const char *names[64];
	json_t *list = json_array();
	size_t n = page_detail_flags(kinds, detail, names, 64);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_string(names[i]));
	return detail->has_struct ? list : (json_decref(list), json_null());
}

static json_t *rights_of(uint64_t flags)
{
	char text[4] = { 'r', flags & GUEST_PTE_WRITE ? 'w' : '-',
			 flags & GUEST_PTE_NX ? '-' : 'x', 0 };
	return json_string(text);
}

/* The memory area of a process that holds an address. */
struct area_search {
	uint64_t gva;
	json_t *found;
};

static bool compare_area(void *user, const struct guest_vma *vma)
{
	struct area_search *search = user;
	if (search->gva < vma->start || search->gva >= vma->end)
		return true;
	search->found = json_pack("{s:o,s:o,s:s,s:s,s:o}", "start", call_hex(vma->start), "end",
				  call_hex(vma->end), "perms", vma->perms, "kind", vma->kind,
				  "path", text_or_null(vma->path, sizeof(vma->path)));
	return false;
}

static json_t *area_of(struct guest *guest, const struct page_mapper *mapper)
{
	struct area_search search = { .gva = mapper->gva };
	struct guest_task task;
	struct error *err = guest_task_find(guest, mapper->pid, &task);
	if (!err)
		guest_vmas_each(guest, &task, compare_area, &search);
	error_destroy(err);
	return search.found ? search.found : json_null();
}

static json_t *mappings_of(struct guest *guest, const struct page_detail *detail)
{
	json_t *list = json_array();
	for (size_t i = 0; i < detail->n_mappers; i++) {
		const struct page_mapper *mapper = &detail->mappers[i];
		bool few = i < MAPPINGS_WITH_AREA;
		json_array_append_new(
			list,
			json_pack("{s:i,s:o,s:o,s:o,s:I,s:o}", "pid", (int)mapper->pid, "comm",
				  json_guest_text(mapper->comm, sizeof(mapper->comm)),
				  "virtual", call_hex(mapper->gva), "perms",
				  rights_of(mapper->flags), "page_size",
				  (json_int_t)mapper->page_bytes, "area",
				  few ? area_of(guest, mapper) : json_null()));
	}
	return list;
}

static json_t *symbol_of(struct guest *guest, const struct page_detail *detail, uint64_t gpa)
{
	char text[512];
	bool in_image = detail->kind == PAGE_KERNEL_TEXT ||
			detail->kind == PAGE_KERNEL_RODATA || detail->kind == PAGE_KERNEL_DATA;
	if (!in_image || !detail->kernel_gva)
		return json_null();
	guest_symbol_text(guest, detail->kernel_gva + gpa % PHYS_PAGE_SIZE, text, sizeof(text));
	return json_guest_text(text, sizeof(text));
}

static json_t *page_object(struct guest *guest, const struct page_kinds *kinds,
			   const struct page_detail *detail, uint64_t gpa)
{
	bool is_table = detail->kind == PAGE_TABLE, is_file = *detail->filesystem;
	return json_pack(
		"{s:o,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "physical",
		call_hex(gpa), "kind", page_kind_name(detail->kind), "owner_pid",
		json_number_or_null(detail->owner_pid != 0, detail->owner_pid), "owner",
		text_or_null(detail->owner, sizeof(detail->owner)), "refcount",
		json_number_or_null(detail->has_struct, detail->refcount), "mapcount",
		json_number_or_null(detail->has_struct, detail->mapcount), "flags",
		flags_of(kinds, detail), "voxel", voxel_of(guest, gpa), "meaning",
		page_kind_words(detail->kind), "level",
		json_number_or_null(is_table, detail->level), "filesystem",
		text_or_null(detail->filesystem, sizeof(detail->filesystem)), "file_offset",
		json_number_or_null(is_file, (int64_t)detail->file_offset), "kernel_address",
		json_hex_or_null(detail->kernel_gva != 0,
				 detail->kernel_gva + gpa % PHYS_PAGE_SIZE),
		"struct_page", json_hex_or_null(detail->has_struct, detail->struct_gva),
		"symbol", symbol_of(guest, detail, gpa), "mappings",
		mappings_of(guest, detail));
}

static struct error *run_page(struct call_context *context, json_t **ret)
{
	struct guest *guest = NULL;
	AUTO(own_page_kinds) struct page_kinds *kinds = NULL;
	struct page_detail detail;
	uint64_t gpa;
	TRY(call_guest(context, &guest));
	TRY(page_address(context, guest, &gpa));
	TRY(page_kinds_create(guest, &kinds));
	TRY(page_detail_read(guest, kinds, gpa, &detail));
	*ret = page_object(guest, kinds, &detail, gpa);
	page_detail_deinit(&detail);
	return *ret ? NULL : error_create(ERR_MEMORY, "no memory for an answer");
}

static const struct call_param page_params[] = {
	{ "address", CALL_STRING, .positional = true, .required = true, .placeholder = "ADDR",
	  .help = "physical address, kernel address or symbol; with --pid of the process" },
	{ "pid", CALL_INTEGER, .placeholder = "PID", .help = "ADDR is in this process" },
	{ 0 },
};

const struct call call_page = {
	.name = "page",
	.group = "addresses and bytes",
	.summary = "what a page is for, who owns it and who maps it",
	.examples = "  glassbox page demo 0x1000000\n  glassbox page demo init_task\n"
		    "  glassbox page demo 0x7ffd1000 --pid 1",
	.flags = CALL_TARGET,
	.params = page_params,
	.run = run_page,
};

/* --- regions --------------------------------------------------------------------------- */

/* Turns the table of kinds into rows; pids become names through the task list. */
struct region_list {
	struct guest *guest;
	const struct page_kinds *kinds;
	struct page_table_of_kinds table;
	struct guest_tasks tasks;
	bool has_names;
	int kind; /* only this; -1: all */
	int64_t pid; /* only this; -1: all */
	json_t *rows;
};

static const char *comm_of(const struct region_list *list, uint32_t pid)
{
	for (size_t i = 0; i < list->tasks.count; i++)
		if ((uint32_t)list->tasks.items[i].pid == pid)
			return list->tasks.items[i].comm;
	return "";
}

static json_t *owner_of(const struct region_list *list, size_t frame)
{
	char text[PAGE_OWNER_BYTES] = "";
	if (list->has_names)
		page_owner_text(list->guest, list->kinds, frame, text, sizeof(text));
	else if (list->table.owner[frame])
		return text_or_null(comm_of(list, list->table.owner[frame]), GUEST_COMM_BYTES);
	return text_or_null(text, sizeof(text));
}

static bool same_region(const struct region_list *list, size_t a, size_t b)
{
	return list->table.kind[a] == list->table.kind[b] &&
	       list->table.owner[a] == list->table.owner[b];
}

static bool is_wanted(const struct region_list *list, size_t frame)
{
	enum page_kind kind = list->table.kind[frame];
	if (list->pid >= 0 && list->table.owner[frame] != (uint64_t)list->pid)
		return false;
	return list->kind < 0 ? kind != PAGE_NOT_RAM : (int)kind == list->kind;
}

static struct error *add_region(struct region_list *list, size_t first, size_t end,
				json_t *owner)
{
	uint32_t pid = list->table.owner[first];
	return json_list_add(list->rows,
			     json_pack("{s:o,s:o,s:I,s:s,s:o,s:o}", "start",
				       call_hex((uint64_t)first * PHYS_PAGE_SIZE), "end",
				       call_hex((uint64_t)end * PHYS_PAGE_SIZE), "pages",
				       (json_int_t)(end - first), "kind",
				       page_kind_name(list->table.kind[first]), "owner_pid",
				       json_number_or_null(pid != 0, pid), "owner", owner));
}

static struct error *list_regions(struct region_list *list)
{
	for (size_t first = 0, end; first < list->table.n_frames; first = end) {
		end = first + 1;
		if (!is_wanted(list, first)) {
			while (end < list->table.n_frames && same_region(list, first, end))
				end++;
			continue;
		}
		AUTO(own_json) json_t *owner = owner_of(list, first);
		for (; end < list->table.n_frames && same_region(list, first, end); end++) {
			if (!list->has_names)
				continue;
			AUTO(own_json) json_t *next = owner_of(list, end);
			if (!json_equal(owner, next))
				break;
		}
		TRY(add_region(list, first, end, TAKE(owner)));
	}
	return NULL;
}

static struct error *list_totals(struct region_list *list)
{
	struct page_kinds_summary summary;
	page_kinds_summarise(list->kinds, &summary);
	for (int kind = 0; kind < PAGE_N_KINDS; kind++) {
		if (kind == PAGE_NOT_RAM || (list->kind >= 0 && kind != list->kind))
			continue;
		TRY(json_list_add(list->rows,
				  json_pack("{s:s,s:I,s:I,s:s}", "kind", page_kind_name(kind),
					    "pages", (json_int_t)summary.frames[kind], "bytes",
					    (json_int_t)summary.frames[kind] * PHYS_PAGE_SIZE,
					    "meaning", page_kind_words(kind))));
	}
	return NULL;
}

static struct error *find_kind(const char *name, int *ret)
{
	*ret = -1;
	for (int kind = 0; name && kind < PAGE_N_KINDS; kind++)
		if (!strcmp(page_kind_name(kind), name))
			*ret = kind;
	if (name && *ret < 0)
		return error_hint(
			error_create(ERR_USAGE, "no kind of page is called '%s'", name),
			"`glassbox regions VM --totals` lists them");
	return NULL;
}

static struct error *run_regions(struct call_context *context, json_t **ret)
{
	AUTO(own_page_kinds) struct page_kinds *kinds = NULL;
	AUTO(own_json) json_t *rows = json_array();
	struct region_list list = { .has_names = call_bool(context, "names"),
				    .pid = call_has(context, "pid")
						   ? (int64_t)call_integer(context, "pid", 0)
						   : -1,
				    .rows = rows };
	TRY(find_kind(call_string(context, "kind"), &list.kind));
	TRY(call_guest(context, &list.guest));
	TRY(page_kinds_create(list.guest, &kinds));
	list.kinds = kinds;
	list.table = page_kinds_get(kinds);
	error_destroy(guest_tasks_read(list.guest, true, &list.tasks));
	struct error *err =
		call_bool(context, "totals") ? list_totals(&list) : list_regions(&list);
	guest_tasks_deinit(&list.tasks);
	TRY(err);
	*ret = TAKE(rows);
	return NULL;
}

static const struct call_param regions_params[] = {
	{ "kind", CALL_STRING, .placeholder = "KIND", .help = "only this kind of page" },
	{ "pid", CALL_INTEGER, .placeholder = "PID", .help = "only what this process owns" },
	{ "names", CALL_BOOL, .help = "name files and slab caches; regions are split by them" },
	{ "totals", CALL_BOOL, .help = "how much there is of each kind, instead of a list" },
	{ 0 },
};

static const struct call_column regions_columns[] = {
	{ "start", "START", COLUMN_RIGHT },
	{ "end", "END", COLUMN_RIGHT },
	{ "pages", "PAGES", COLUMN_RIGHT },
	{ "bytes", "SIZE", COLUMN_BYTES },
	{ "kind", "KIND", COLUMN_LEFT },
	{ "owner_pid", "PID", COLUMN_RIGHT },
	{ "owner", "OWNER", COLUMN_LEFT },
	{ "meaning", "MEANING", COLUMN_LEFT },
	{ 0 },
};

const struct call call_regions = {
	.name = "regions",
	.group = "addresses and bytes",
	.summary = "runs of pages by what they are for",
	.examples = "  glassbox regions demo --totals\n"
		    "  glassbox regions demo --kind page-table --pid 1\n"
		    "  glassbox regions --file dump.raw --kind slab --names",
	.flags = CALL_TARGET,
	.params = regions_params,
	.columns = regions_columns,
	.run = run_regions,
};
