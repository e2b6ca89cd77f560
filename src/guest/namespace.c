#include "guest/namespace.h"

#include "guest/internal.h"
#include "guest/task.h"

static const struct {
	const char *name, *pointer, *number;
} namespaces[GUEST_NS_COUNT] = {
#define GUEST_NAMESPACE_ROW(name, pointer, number) { #name, pointer, number },
	GUEST_NAMESPACES(GUEST_NAMESPACE_ROW)
#undef GUEST_NAMESPACE_ROW
		{ "user", "cred.user_ns", "user_namespace.ns.inum" },
};

const char *guest_namespace_name(enum guest_namespace which)
{
	return namespaces[which].name;
}

uint32_t guest_task_namespace(struct guest *guest, const struct guest_task *task,
			      enum guest_namespace which)
{
	const char *from =
		which == GUEST_NS_user ? "task_struct.real_cred" : "task_struct.nsproxy";
	bool is_basic = which == GUEST_NS_mnt; /* every kernel has these */
	struct field pointer = guest_field(guest, namespaces[which].pointer);
	struct field number =
		(is_basic ? guest_need_field : guest_field)(guest, namespaces[which].number);
	uint64_t holder = guest_load(guest, task->gva, guest_field(guest, from));
	uint64_t ns = holder && pointer.found ? guest_load(guest, holder, pointer) : 0;
	return ns && number.found ? (uint32_t)guest_load(guest, ns, number) : 0;
}
