/* audit: who asked what of a VM. */
#include "base/error.h"
#include "box/calls.h"
#include "box/target.h"
#include "vm/audit.h"
#include "vm/vm.h"

#define ENTRIES 500u

static const struct call_param audit_params[] = {
	{ "entries", CALL_INTEGER, .letter = 'n', .placeholder = "N",
	  .help = "how many of the last ones; 500 if not given" },
	{ 0 },
};

static struct error *run_audit(struct call_context *context, json_t **ret)
{
	const struct vm *vm = target_vm(context->target);
	if (!vm_is_ours(vm))
		return error_create(ERR_UNSUPPORTED, "VM %s was not started by glassbox",
				    vm_name(vm));
	return audit_read(vm_name(vm), call_integer(context, "entries", ENTRIES), ret);
}

static const struct call_column audit_columns[] = {
	{ "time", "TIME", COLUMN_LEFT },
	{ "user", "USER", COLUMN_LEFT },
	{ "pid", "PID", COLUMN_HIDDEN },
	{ "call", "CALL", COLUMN_LEFT },
	{ "args", "ARGUMENTS", COLUMN_LEFT },
	{ "outcome", "OUTCOME", COLUMN_LEFT },
	{ 0 },
};

const struct call call_audit_log = {
	.name = "audit",
	.group = "lifecycle",
	.summary = "show who asked what of a VM, the oldest first",
	.flags = CALL_TARGET | CALL_LIVE_ONLY,
	.params = audit_params,
	.columns = audit_columns,
	.run = run_audit,
};
