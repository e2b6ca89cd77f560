/* A VM's screen, viewer by viewer: QEMU's VNC server listens nowhere and is handed one end of a
 * socket pair instead, so a screen can only be reached by those who may reach the monitor. */
#include <errno.h>
#include <sys/socket.h>

#include "base/error.h"
#include "vm/qmp.h"
#include "vm/vm.h"

#define FD_NAME "screen"

struct error *vm_screen(struct vm *vm, int *fd_ret)
{
	int ends[2];
	if (!json_is_true(json_object_get(vm_document(vm), "screen")))
		return error_hint(
			error_create(ERR_UNSUPPORTED, "VM %s has no screen", vm_name(vm)),
			"start it with --screen");
	AUTO(own_qmp) struct qmp *qmp = NULL;
	TRY(vm_qmp(vm, &qmp));
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return error_system(errno, "cannot make a socket pair");
	AUTO(own_fd) int ours = ends[0];
	AUTO(own_fd) int theirs = ends[1];
	TRY(qmp_give_fd(qmp, theirs, FD_NAME));
	TRY(error_wrap(qmp_commandf(qmp, NULL, "add_client", "{s:s, s:s, s:b}", "protocol",
				    "vnc", "fdname", FD_NAME, "skipauth", 1),
		       "the screen of VM %s", vm_name(vm)));
	*fd_ret = own_fd_take(&ours);
	return NULL;
}
