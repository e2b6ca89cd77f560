#include "guest/credentials.h"

#include "guest/internal.h"

enum { GROUPS_LIMIT = 65536 }; /* NGROUPS_MAX */

static uint32_t id(struct guest *guest, uint64_t cred, const char *field)
{
	return (uint32_t)guest_load(guest, cred, guest_need_field(guest, field));
}

static void read_groups(struct guest *guest, uint64_t cred, struct guest_credentials *c)
{
	struct field count = guest_field(guest, "group_info.ngroups");
	struct field list = guest_field(guest, "group_info.gid");
	uint64_t info = guest_load(guest, cred, guest_field(guest, "cred.group_info"));
	if (!info || !count.found || !list.found)
		return;
	uint64_t n = guest_load(guest, info, count);
	c->n_groups = n <= GROUPS_LIMIT ? (size_t)n : 0;
	for (size_t i = 0; i < c->n_groups && i < GUEST_GROUPS_MAX; i++)
		c->groups[i] = guest_read_u32(guest, info + list.offset + i * 4);
}

bool guest_credentials_read(struct guest *guest, uint64_t task_gva,
			    struct guest_credentials *ret)
{
	struct guest_credentials c = { 0 };
	unsigned faults = guest->faults;
	uint64_t cred =
		guest_load(guest, task_gva, guest_need_field(guest, "task_struct.real_cred"));
	if (!cred || !guest_field(guest, "cred.uid").found)
		return false;
	c.uid = id(guest, cred, "cred.uid");
	c.euid = id(guest, cred, "cred.euid");
	c.suid = id(guest, cred, "cred.suid");
	c.fsuid = id(guest, cred, "cred.fsuid");
	c.gid = id(guest, cred, "cred.gid");
	c.egid = id(guest, cred, "cred.egid");
	c.sgid = id(guest, cred, "cred.sgid");
	c.fsgid = id(guest, cred, "cred.fsgid");
/* Two words of 32 bits until 6.2, one of 64 since (f122a08b197d): the same bytes. */
#define READ_SET(name, path) c.name = guest_load(guest, cred, guest_need_field(guest, path));
	GUEST_CAPABILITY_SETS(READ_SET)
#undef READ_SET
	read_groups(guest, cred, &c);
	*ret = c;
	return guest->faults == faults;
}

const char *guest_capability_name(unsigned number)
{
	/* The order of the guest's ABI (capability.h). */
	static const char *const names[] = {
		"cap_chown",
		"cap_dac_override",
		"cap_dac_read_search",
		"cap_fowner",
		"cap_fsetid",
		"cap_kill",
		"cap_setgid",
		"cap_setuid",
		"cap_setpcap",
		"cap_linux_immutable",
		"cap_net_bind_service",
		"cap_net_broadcast",
		"cap_net_admin",
		"cap_net_raw",
		"cap_ipc_lock",
		"cap_ipc_owner",
		"cap_sys_module",
		"cap_sys_rawio",
		"cap_sys_chroot",
		"cap_sys_ptrace",
		"cap_sys_pacct",
		"cap_sys_admin",
		"cap_sys_boot",
		"cap_sys_nice",
		"cap_sys_resource",
		"cap_sys_time",
		"cap_sys_tty_config",
		"cap_mknod",
		"cap_lease",
		"cap_audit_write",
		"cap_audit_control",
		"cap_setfcap",
		"cap_mac_override",
		"cap_mac_admin",
		"cap_syslog",
		"cap_wake_alarm",
		"cap_block_suspend",
		"cap_audit_read",
		"cap_perfmon",
		"cap_bpf",
		"cap_checkpoint_restore",
	};
	return number < sizeof(names) / sizeof(*names) ? names[number] : NULL;
}
