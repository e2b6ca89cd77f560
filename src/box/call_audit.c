#include "box/call_audit.h"

#include "base/error.h"
#include "vm/audit.h"
#include "vm/state.h"

void call_audit(const struct call *call, const char *user, const char *vm, const json_t *args,
		const struct error *err)
{
	if (!(call->flags & (CALL_TARGET | CALL_CHANGES)))
		return;
	struct error *strange = vm ? state_check_name(vm) : NULL;
	audit_write(&(struct audit_entry){ .user = user,
					   .vm = vm,
					   .is_ours = vm && !strange,
					   .call = call->name,
					   .args = args,
					   .outcome = err ? error_message(err) : "ok" });
	error_destroy(strange);
}
