/* delta, compare: which pages differ between two moments of a VM, or between two files. */
#include <poll.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "box/calls.h"
#include "box/guest_call.h"
#include "box/target.h"
#include "vm/dump.h"
#include "vm/snapshot.h"
#include "vm/vm.h"

OWN_DECLARE(own_phys_mem, struct phys_mem *, phys_mem_destroy)

#define WAIT_MS 1000
#define WAIT_MOST_MS 60000

static const struct call_column delta_columns[] = {
	{ "start", "START", COLUMN_RIGHT },
	{ "end", "END", COLUMN_RIGHT },
	{ "pages", "PAGES", COLUMN_RIGHT },
	{ 0 },
};

/* One row for each run of neighbouring pages that differ. */
static struct error *rows(struct phys_mem *before, struct phys_mem *after, json_t **ret)
{
	struct dirty_pages pages = { 0 };
	AUTO(own_json) json_t *list = json_array();
	struct error *err = snapshot_diff(before, after, &pages);
	for (size_t i = 0; !err && i < pages.runs.count; i++) {
		const struct dirty_run *run = &pages.runs.items[i];
		err = json_list_add(
			list, json_pack("{s:o, s:o, s:I}", "start", call_hex(run->gpa), "end",
					call_hex(run->gpa + run->size_bytes), "pages",
					(json_int_t)(run->size_bytes / PHYS_PAGE_SIZE)));
	}
	dirty_pages_deinit(&pages);
	TRY(err);
	*ret = TAKE(list);
	return NULL;
}

/* A copy of a running VM's memory of one moment. Caller owns *ret. */
static struct error *copy_now(struct vm *vm, struct snapshot **ret)
{
	struct snapshot_stats stats;
	AUTO(own_snapshot) struct snapshot *snapshot = NULL;
	TRY(snapshot_create(vm, &snapshot));
	TRY(snapshot_take(snapshot, NULL, &stats));
	*ret = TAKE(snapshot);
	return NULL;
}

static struct error *run_delta(struct call_context *context, json_t **ret)
{
	AUTO(own_snapshot) struct snapshot *before = NULL;
	AUTO(own_snapshot) struct snapshot *after = NULL;
	struct vm *vm = target_vm(context->target);
	uint64_t wait_ms = call_integer(context, "wait_ms", WAIT_MS);
	if (wait_ms > WAIT_MOST_MS)
		return error_create(ERR_USAGE, "wait_ms must be 0 to %d", WAIT_MOST_MS);
	TRY(copy_now(vm, &before));
	poll(NULL, 0, (int)wait_ms);
	TRY(copy_now(vm, &after));
	return rows(snapshot_memory(before), snapshot_memory(after), ret);
}

static const struct call_param delta_params[] = {
	{ "wait_ms", CALL_INTEGER, .placeholder = "MS",
	  .help = "time between the two copies (default: 1000)" },
	{ 0 },
};

const struct call call_delta = {
	.name = "delta",
	.group = "addresses and bytes",
	.summary = "which pages of memory a VM changes within a moment",
	.details = "Two consistent copies are compared byte by byte: a page that was written "
		   "with\n"
		   "what it held does not count.",
	.examples = "  glassbox delta demo --wait-ms 100",
	.flags = CALL_TARGET | CALL_LIVE_ONLY | CALL_SLOW,
	.params = delta_params,
	.columns = delta_columns,
	.run = run_delta,
};

static struct error *run_compare(struct call_context *context, json_t **ret)
{
	AUTO(own_phys_mem) struct phys_mem *before = NULL;
	AUTO(own_snapshot) struct snapshot *copy = NULL;
	TRY(dump_open(call_string(context, "before"), &before));
	if (target_vm(context->target))
		TRY(copy_now(target_vm(context->target), &copy));
	TRY(rows(before, copy ? snapshot_memory(copy) : target_memory(context->target), ret));
	if (!phys_mem_alive(before))
		return error_create(ERR_BAD_DATA, "%s was cut short",
				    call_string(context, "before"));
	return target_check_alive(context->target);
}

static const struct call_param compare_params[] = {
	{ "before", CALL_PATH, .positional = true, .required = true, .placeholder = "F",
	  .help = "dump or snapshot to compare with" },
	{ 0 },
};

const struct call call_compare = {
	.name = "compare",
	.group = "exchange",
	.summary = "which pages differ from those of a dump or snapshot",
	.examples = "  glassbox snapshot demo before.gbs\n  glassbox compare demo before.gbs\n"
		    "  glassbox compare --file after.lime before.lime",
	.flags = CALL_TARGET | CALL_CLI_ONLY,
	.params = compare_params,
	.columns = delta_columns,
	.run = run_compare,
};
