/* dmesg, stack, irqs, cgroups. */
#include <string.h>

#include "base/error.h"
#include "box/calls.h"
#include "box/guest_call.h"
#include "guest/cgroup.h"
#include "guest/dmesg.h"
#include "guest/guest.h"
#include "guest/irq.h"
#include "guest/stack.h"
#include "guest/task.h"

/* --- dmesg ---------------------------------------------------------------------------------
 */

static bool record_row(void *user, const struct guest_record *record)
{
	return call_rows_add(user,
			     json_pack("{s:I,s:i,s:o,s:i,s:I}", "time_ns",
				       (json_int_t)record->time_ns, "level", (int)record->level,
				       "text", json_guest_text(record->text, record->length),
				       "facility", (int)record->facility, "sequence",
				       (json_int_t)record->sequence));
}

static struct error *run_dmesg(struct call_context *context, json_t **ret)
{
	struct guest *guest = NULL;
	TRY(call_guest(context, &guest));
	AUTO(call_rows_deinit)
	struct call_rows rows = { .guest = guest, .list = json_array() };
	TRY(guest_dmesg_each(guest, record_row, &rows));
	return call_rows_take(&rows, ret);
}

static const struct call_column dmesg_columns[] = {
	{ "time_ns", "TIME_NS", COLUMN_RIGHT },
	{ "level", "LEVEL", COLUMN_RIGHT },
	{ "text", "TEXT", COLUMN_LEFT },
	{ 0 },
};

const struct call call_dmesg = {
	.name = "dmesg",
	.group = "introspection",
	.summary = "show the kernel's log",
	.flags = CALL_TARGET,
	.columns = dmesg_columns,
	.run = run_dmesg,
};

/* --- stack ---------------------------------------------------------------------------------
 */

static bool frame_row(void *user, const struct guest_frame *frame)
{
	struct call_rows *rows = user;
	char symbol[256];
	guest_symbol_text(rows->guest, frame->address, symbol, sizeof(symbol));
	return call_rows_add(
		rows, json_pack("{s:i,s:o,s:o,s:s}", "frame", (int)json_array_size(rows->list),
				"address", call_hex(frame->address), "symbol",
				json_guest_text(symbol, sizeof(symbol)), "how", frame->how));
}

static struct error *run_stack(struct call_context *context, json_t **ret)
{
	struct guest *guest = NULL;
	struct guest_task task;
	TRY(call_guest(context, &guest));
	TRY(call_task(context, guest, &task));
	AUTO(call_rows_deinit)
	struct call_rows rows = { .guest = guest, .list = json_array() };
	TRY(guest_stack_each(guest, &task, frame_row, &rows));
	return call_rows_take(&rows, ret);
}

static const struct call_param stack_params[] = {
	{ "pid", CALL_INTEGER, .positional = true, .required = true, .placeholder = "PID",
	  .help = "process or thread, as `threads` numbers it" },
	{ 0 },
};

static const struct call_column stack_columns[] = {
	{ "frame", "FRAME", COLUMN_RIGHT },
	{ "address", "ADDRESS", COLUMN_LEFT },
	{ "how", "HOW", COLUMN_LEFT },
	{ "symbol", "SYMBOL", COLUMN_LEFT },
	{ 0 },
};

const struct call call_stack = {
	.name = "stack",
	.group = "introspection",
	.summary = "show the kernel stack of a process",
	.details =
		"Unwound by the kernel's own ORC tables, else by frame pointers; a frame that "
		"is only\n"
		"a guess says so.",
	.flags = CALL_TARGET,
	.params = stack_params,
	.columns = stack_columns,
	.run = run_stack,
};

/* --- irqs ----------------------------------------------------------------------------------
 */

static bool irq_row(void *user, const struct guest_irq *irq)
{
	json_t *counts = json_array();
	for (unsigned i = 0; i < irq->n_counts; i++)
		json_array_append_new(counts, json_integer(irq->counts[i]));
	return call_rows_add(user, json_pack("{s:s,s:I,s:o,s:o,s:o,s:o,s:o}", "irq", irq->name,
					     "total", (json_int_t)irq->total, "counts", counts,
					     "chip", json_text_or_null(irq->chip), "hwirq",
					     json_number_or_null(irq->hwirq >= 0, irq->hwirq),
					     "flow", json_text_or_null(irq->flow), "actions",
					     json_text_or_null(irq->actions)));
}

static struct error *run_irqs(struct call_context *context, json_t **ret)
{
	struct guest *guest = NULL;
	TRY(call_guest(context, &guest));
	AUTO(call_rows_deinit)
	struct call_rows rows = { .guest = guest, .list = json_array() };
	guest_irqs_each(guest, irq_row, &rows);
	return call_rows_take(&rows, ret);
}

static const struct call_column irqs_columns[] = {
	{ "irq", "IRQ", COLUMN_RIGHT },
	{ "total", "TOTAL", COLUMN_RIGHT },
	{ "chip", "CHIP", COLUMN_LEFT },
	{ "hwirq", "HWIRQ", COLUMN_RIGHT },
	{ "flow", "FLOW", COLUMN_LEFT },
	{ "actions", "ACTIONS", COLUMN_LEFT },
	{ 0 },
};

const struct call call_irqs = {
	.name = "irqs",
	.group = "introspection",
	.summary = "list interrupts",
	.flags = CALL_TARGET,
	.columns = irqs_columns,
	.run = run_irqs,
};

/* --- cgroups --------------------------------------------------------------------------------
 */

static bool cgroup_row(void *user, const struct guest_cgroup *cgroup)
{
	json_t *pids = json_array();
	for (size_t i = 0; i < cgroup->n_pids; i++)
		json_array_append_new(pids, json_integer(cgroup->pids[i]));
	return call_rows_add(user,
			     json_pack("{s:o,s:s,s:I,s:i,s:I,s:o}", "path",
				       json_guest_text(cgroup->path, SIZE_MAX), "hierarchy",
				       cgroup->hierarchy, "id", (json_int_t)cgroup->id, "depth",
				       (int)cgroup->depth, "processes",
				       (json_int_t)cgroup->n_pids, "pids", pids));
}

static struct error *run_cgroups(struct call_context *context, json_t **ret)
{
	struct guest *guest = NULL;
	TRY(call_guest(context, &guest));
	AUTO(call_rows_deinit)
	struct call_rows rows = { .guest = guest, .list = json_array() };
	TRY(guest_cgroups_each(guest, cgroup_row, &rows));
	return call_rows_take(&rows, ret);
}

static const struct call_column cgroups_columns[] = {
	{ "hierarchy", "HIERARCHY", COLUMN_LEFT },
	{ "id", "ID", COLUMN_RIGHT },
	{ "processes", "PROCS", COLUMN_RIGHT },
	{ "path", "PATH", COLUMN_LEFT },
	{ 0 },
};

const struct call call_cgroups = {
	.name = "cgroups",
	.group = "introspection",
	.summary = "list control groups and their processes",
	.flags = CALL_TARGET,
	.columns = cgroups_columns,
	.run = run_cgroups,
};
