/* What QEMU, which runs hostile guests, is not allowed to do: its user, its view of the file
 * system, its network, its resources. Prepared by the starter, entered by QEMU's process just
 * before exec, taken down by the keeper. */
#ifndef VM_ISOLATION_H
#define VM_ISOLATION_H
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "vm/quota.h"
#include "vm/spec.h"
#include "vm/view.h"
struct error;

struct isolation {
	bool enabled;
	bool own_user, own_files, own_network; /* what this machine allows us to do */
	uid_t uid; /* with own_user; the group has the same number */
	gid_t kvm_gid; /* an extra group for /dev/kvm, or 0 */
	struct view view; /* with own_files: the files QEMU sees */
	struct quota limits;
};

/* Decides what is possible here and what QEMU needs to see. Caller deinits *ret, also on
 * failure. */
struct error *isolation_prepare(const struct vm_spec *spec, bool needs_kvm,
				struct isolation *ret);
void isolation_deinit(struct isolation *isolation);

/* QEMU has to open this file itself: a user of its own is not possible when only ours may read
 * it. path may be NULL. */
void isolation_need(struct isolation *isolation, const char *path);

/* Gives a file to the user that QEMU runs as. */
struct error *isolation_give(const struct isolation *isolation, int fd);

/* What `status` tells. Caller owns; NULL without memory. */
json_t *isolation_report(const struct isolation *isolation);

/* In QEMU's process, between fork and exec. Prints and ends the process when a promised
 * protection cannot be had. */
void isolation_enter(const struct isolation *isolation);

/* In the keeper, when QEMU is gone. */
void isolation_leave(const struct isolation *isolation);
#endif
