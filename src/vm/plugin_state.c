#include "vm/plugin_state.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"
#include "plugin/control.h"
#include "vm/state.h"
#include "vm/vm.h"

bool plugin_state_read(struct vm *vm, struct gb_control *ret)
{
	AUTO(own_free) char *path = NULL;
	if (!vm_is_ours(vm))
		return false;
	struct error *err = state_shm_path(vm_name(vm), "trace", &path);
	AUTO(own_fd) int fd = err ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	error_destroy(err);
	return fd >= 0 && pread(fd, ret, sizeof(*ret), 0) == sizeof(*ret) &&
	       ret->magic == GB_MAGIC && ret->version == GB_VERSION;
}
