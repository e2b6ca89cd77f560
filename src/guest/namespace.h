/* Namespaces of a process. Thread: that of the guest. */
#ifndef GUEST_NAMESPACE_H
#define GUEST_NAMESPACE_H
#include <stdbool.h>
#include <stdint.h>
struct guest;
struct guest_task;

/* ORDER namespaces: name as in /proc/PID/ns, and the path from a task to it. */
#define GUEST_NAMESPACES(X)                                                         \
	X(cgroup, "nsproxy.cgroup_ns", "cgroup_namespace.ns.inum")                  \
	X(ipc, "nsproxy.ipc_ns", "ipc_namespace.ns.inum")                           \
	X(mnt, "nsproxy.mnt_ns", "mnt_namespace.ns.inum")                           \
	X(net, "nsproxy.net_ns", "net.ns.inum")                                     \
	X(pid_for_children, "nsproxy.pid_ns_for_children", "pid_namespace.ns.inum") \
	X(time, "nsproxy.time_ns", "time_namespace.ns.inum")                        \
	X(uts, "nsproxy.uts_ns", "uts_namespace.ns.inum")

enum guest_namespace {
#define GUEST_NAMESPACE_ENUM(name, pointer, number) GUEST_NS_##name,
	GUEST_NAMESPACES(GUEST_NAMESPACE_ENUM)
#undef GUEST_NAMESPACE_ENUM
		GUEST_NS_user,
	GUEST_NS_COUNT
};
const char *guest_namespace_name(enum guest_namespace which);

/* Number of the namespace, 0 when the process has none or the kernel does not know it. */
uint32_t guest_task_namespace(struct guest *guest, const struct guest_task *task,
			      enum guest_namespace which);
#endif
