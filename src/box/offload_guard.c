/* QEMU serves one client of its monitor at a time. The connection is held throughout, so that
 * two who switch at once come one after the other, and nobody copies the VM in between. */
#include "box/offload_guard.h"

#include "base/error.h"
#include "offload/slots.h"
#include "trace/source.h"
#include "vm/migration.h"
#include "vm/plugin_state.h"
#include "vm/qmp.h"
#include "vm/vm.h"

static bool is_on(struct vm *vm)
{
	struct gb_control control;
	return plugin_state_read(vm, &control) &&
	       (control.request.offload != GB_OFFLOAD_OFF || control.offload != GB_OFFLOAD_OFF);
}

static struct error *switch_on(struct vm *vm, struct trace_source *source,
			       const struct offload_wish *wish, bool *can_migrate_ret)
{
	AUTO(own_qmp) struct qmp *qmp = NULL;
	bool refuses;
	TRY(vm_qmp(vm, &qmp));
	TRY(migration_refuse(qmp, &refuses));
	struct error *err = offload_switch(source, wish);
	if (err && !is_on(vm))
		error_destroy(migration_allow(qmp));
	*can_migrate_ret = !refuses;
	return err;
}

static struct error *switch_off(struct vm *vm, struct trace_source *source)
{
	AUTO(own_qmp) struct qmp *qmp = NULL;
	struct error *no_monitor = vm_qmp(vm, &qmp);
	struct error *err =
		offload_switch(source, &(struct offload_wish){ .offload = GB_OFFLOAD_OFF });
	if (err)
		error_destroy(no_monitor);
	else
		err = no_monitor ? no_monitor : migration_allow(qmp);
	return err;
}

struct error *offload_guarded(struct vm *vm, struct trace_source *source,
			      const struct offload_wish *wish, bool *can_migrate_ret)
{
	*can_migrate_ret = true;
	if (wish->offload != GB_OFFLOAD_OFF)
		return switch_on(vm, source, wish, can_migrate_ret);
	return error_wrap(switch_off(vm, source), "offload of VM %s", vm_name(vm));
}
