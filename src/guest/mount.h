/* Mounted filesystems of every mount namespace. Thread: that of the guest. */
#ifndef GUEST_MOUNT_H
#define GUEST_MOUNT_H
#include <stdbool.h>
#include <stdint.h>

#include "guest/path.h"
struct error;
struct guest;

struct guest_mount {
	uint64_t gva; /* of its struct mount */
	int32_t id, parent;
	uint32_t ns; /* number of its namespace, as in /proc/PID/ns/mnt */
	uint32_t major, minor;
	char device[256], fstype[64], options[256];
	char mountpoint[GUEST_PATH_BYTES];
};

/* ERR_NOT_FOUND when processes cannot be listed, ERR_MEMORY. */
typedef bool guest_mount_fn(void *user, const struct guest_mount *mount);
struct error *guest_mounts_each(struct guest *guest, guest_mount_fn *visit, void *user);
#endif
