/* Whom a process acts for and what it may do. Thread: that of the guest. */
#ifndef GUEST_CREDENTIALS_H
#define GUEST_CREDENTIALS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
struct guest;

enum { GUEST_GROUPS_MAX = 64 };

/* ORDER capability sets: as /proc/PID/status and struct cred name them. */
#define GUEST_CAPABILITY_SETS(X)               \
	X(inheritable, "cred.cap_inheritable") \
	X(permitted, "cred.cap_permitted")     \
	X(effective, "cred.cap_effective")     \
	X(bounding, "cred.cap_bset")           \
	X(ambient, "cred.cap_ambient")

struct guest_credentials {
	uint32_t uid, euid, suid, fsuid;
	uint32_t gid, egid, sgid, fsgid;
#define GUEST_CAPABILITY_MEMBER(name, path) uint64_t name;
	GUEST_CAPABILITY_SETS(GUEST_CAPABILITY_MEMBER)
#undef GUEST_CAPABILITY_MEMBER
	uint32_t groups[GUEST_GROUPS_MAX]; /* supplementary; the first of them */
	size_t n_groups; /* all of them */
};

/* The objective credentials of a task: what others see of it. False when they cannot be read.
 */
bool guest_credentials_read(struct guest *guest, uint64_t task_gva,
			    struct guest_credentials *ret);

/* "cap_net_admin" of a bit's number; NULL for one that has no name yet. */
const char *guest_capability_name(unsigned number);
#endif
