/* search: where bytes, text or a regular expression stand in memory. */
#include <ctype.h>
#include <string.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "box/calls.h"
#include "box/guest_call.h"
#include "box/target.h"
#include "guest/guest.h"
#include "guest/page_kind.h"
#include "guest/search.h"
#include "guest/search_pattern.h"
#include "guest/search_space.h"
#include "guest/space.h"

enum { LIMIT_DEFAULT = 1000, PREVIEW_BYTES = 64 };

struct collector {
	struct call_context *context;
	struct page_kinds *kinds; /* NULL: not known */
	struct page_table_of_kinds table;
	bool is_process;
	uint64_t total_bytes, reported_bytes;
	json_t *rows;
};

static json_t *preview(const struct search_match *match)
{
	char text[PREVIEW_BYTES + 1];
	size_t n = match->length_bytes < PREVIEW_BYTES ? match->length_bytes : PREVIEW_BYTES;
	for (size_t i = 0; i < n; i++)
		text[i] = isprint(match->bytes[i]) ? (char)match->bytes[i] : '.';
	return json_stringn(text, n);
}

static struct error *collect(void *user, const struct search_match *match)
{
	struct collector *c = user;
	uint64_t frame = match->physical / PHYS_PAGE_SIZE;
	bool known = c->kinds && frame < c->table.n_frames;
	uint32_t pid = known ? c->table.owner[frame] : 0;
	json_t *row = json_pack(
		"{s:o,s:o,s:I,s:o,s:o,s:o}", "address", call_hex(match->address), "physical",
		call_hex(match->physical), "length", (json_int_t)match->length_bytes, "text",
		preview(match), "kind",
		known ? json_string(page_kind_name(c->table.kind[frame])) : json_null(),
		"owner_pid", json_number_or_null(pid != 0, pid));
	return json_list_add(c->rows, row);
}

static struct error *show_progress(void *user, uint64_t done_bytes)
{
	struct collector *c = user;
	if (c->total_bytes && done_bytes - c->reported_bytes >= 64u << 20) {
		c->reported_bytes = done_bytes;
		call_progress(c->context, (double)done_bytes / (double)c->total_bytes,
			      "searching");
	}
	return NULL;
}

static struct error *pattern_of(struct call_context *context, struct search_pattern **ret)
{
	static const struct {
		const char *flag;
		enum search_syntax syntax;
	} syntaxes[] = { { "hex", SEARCH_HEX },
			 { "regex", SEARCH_REGEX },
			 { "utf16", SEARCH_UTF16 } };
	struct search_pattern_params params = { .text = call_string(context, "pattern"),
						.ignore_case =
							call_bool(context, "ignore_case") };
	size_t given = 0;
	for (size_t i = 0; i < sizeof(syntaxes) / sizeof(syntaxes[0]); i++)
		if (call_bool(context, syntaxes[i].flag)) {
			params.syntax = syntaxes[i].syntax;
			given++;
		}
	if (given > 1)
		return error_create(ERR_USAGE, "give one of --hex, --regex and --utf16");
	return search_pattern_create(&params, ret);
}

/* What owns a match is a courtesy: memory without a kernel is searched all the same. */
static void find_kinds(struct collector *c)
{
	struct guest *guest = NULL;
	struct error *err = call_guest(c->context, &guest);
	if (!err)
		err = page_kinds_create(guest, &c->kinds);
	if (!err)
		c->table = page_kinds_get(c->kinds);
	error_destroy(err);
}

static struct error *search_process(struct collector *c, struct search_params *params,
				    struct search_result *result)
{
	struct guest *guest = NULL;
	struct guest_space space;
	AUTO(own_process_memory) struct process_memory *memory = NULL;
	TRY(call_guest(c->context, &guest));
	TRY(call_space(c->context, guest, &space));
	TRY(process_memory_create(
		&space, 0, guest_word_bytes(guest) == 8 ? INT64_MAX : 0xbfffffff, &memory));
	struct search_space searched = process_memory_space(memory);
	c->total_bytes = searched.total_bytes;
	params->space = &searched;
	return search_memory(params, result);
}

static struct error *search_physical(struct collector *c, struct search_params *params,
				     struct search_result *result)
{
	struct search_space searched = { .mem = target_memory(c->context->target) };
	searched.start = call_integer(c->context, "start", 0);
	searched.end = call_integer(c->context, "end", 0);
	c->total_bytes = phys_mem_size(searched.mem);
	params->space = &searched;
	return search_memory(params, result);
}

static struct error *run_search(struct call_context *context, json_t **ret)
{
	AUTO(own_search_pattern) struct search_pattern *pattern = NULL;
	AUTO(own_json) json_t *rows = json_array();
	struct collector c = { .context = context,
			       .is_process = call_has(context, "pid"),
			       .rows = rows };
	struct search_result result;
	TRY(pattern_of(context, &pattern));
	struct search_params params = { .pattern = pattern,
					.limit = call_integer(context, "limit", LIMIT_DEFAULT),
					.found = collect,
					.progress = show_progress,
					.user = &c };
	find_kinds(&c);
	struct error *err = c.is_process ? search_process(&c, &params, &result)
					 : search_physical(&c, &params, &result);
	page_kinds_destroy(c.kinds);
	TRY(err);
	TRY(target_check_alive(context->target));
	*ret = TAKE(rows);
	return NULL;
}

static const struct call_param search_params[] = {
	{ "pattern", CALL_STRING, .positional = true, .required = true,
	  .placeholder = "PATTERN", .help = "text, or what the flags say" },
	{ "hex", CALL_BOOL, 'x', .help = "PATTERN is bytes: \"7f 45 4c 46 ?? 01\"" },
	{ "regex", CALL_BOOL, 'r', .help = "PATTERN is a regular expression over bytes" },
	{ "utf16", CALL_BOOL, .help = "PATTERN is text, looked for in UTF-16" },
	{ "ignore_case", CALL_BOOL, 'i', .help = "capital and small letters are the same" },
	{ "pid", CALL_INTEGER, .placeholder = "PID",
	  .help = "search the memory of this process instead of all RAM" },
	{ "limit", CALL_INTEGER, 'n', .placeholder = "N",
	  .help = "stop after N matches (1000; 0: never)" },
	{ "start", CALL_INTEGER, .placeholder = "ADDR", .help = "first physical address" },
	{ "end", CALL_INTEGER, .placeholder = "ADDR",
	  .help = "where matches must start before" },
	{ 0 },
};

static const struct call_column search_columns[] = {
	{ "address", "ADDRESS", COLUMN_RIGHT },
	{ "physical", "PHYSICAL", COLUMN_RIGHT },
	{ "length", "LEN", COLUMN_RIGHT },
	{ "kind", "KIND", COLUMN_LEFT },
	{ "owner_pid", "PID", COLUMN_RIGHT },
	{ "text", "TEXT", COLUMN_LEFT },
	{ 0 },
};

const struct call call_search = {
	.name = "search",
	.group = "addresses and bytes",
	.summary = "find bytes, text or a regular expression in memory",
	.details = "Matches that cross pages or pieces of RAM are found. A match of a regular "
		   "expression is at most 4096 bytes long. Memory that was never written is "
		   "not searched.",
	.examples = "  glassbox search demo 'Linux version'\n"
		    "  glassbox search demo --hex '7f 45 4c 46' --pid 1\n"
		    "  glassbox search --file dump.raw --regex '[a-z]+@[a-z]+\\.org'",
	.flags = CALL_TARGET | CALL_SLOW,
	.params = search_params,
	.columns = search_columns,
	.run = run_search,
};
