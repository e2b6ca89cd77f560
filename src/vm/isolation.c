#include "vm/isolation.h"

#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/error.h"

struct error *isolation_prepare(const struct vm_spec *spec, struct isolation *ret,
				json_t **report_ret)
{
	*ret = (struct isolation){ .enabled = spec->isolation != VM_ISOLATION_NONE };
	*report_ret = json_pack("{s:b, s:b, s:s}", "seccomp", ret->enabled, "no_new_privs",
				ret->enabled, "limits", ret->enabled ? "rlimits" : "none");
	return *report_ret ? NULL : error_create(ERR_MEMORY, "no memory for a report");
}

static void limit(int what, rlim_t most)
{
	struct rlimit now;
	if (!getrlimit(what, &now) && now.rlim_max > most) {
		now.rlim_cur = now.rlim_max = most;
		setrlimit(what, &now);
	}
}

void isolation_enter(const struct isolation *isolation)
{
	limit(RLIMIT_CORE, 0);
	if (!isolation->enabled)
		return;
	limit(RLIMIT_NOFILE, 1024);
	limit(RLIMIT_NPROC, 4096);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

void isolation_leave(const struct isolation *isolation)
{
}
