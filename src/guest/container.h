/* What the path of a control group tells: which container, which systemd unit. Thread: any. */
#ifndef GUEST_CONTAINER_H
#define GUEST_CONTAINER_H
#include <stdbool.h>
#include <stddef.h>

/* "docker 0123456789ab", "lxc web": the runtime and the name or the first 12 digits of the id.
 * False when the path is of no known runtime. */
bool container_of_path(const char *path, char *ret, size_t size);
/* The innermost service, scope, socket or mount, "ssh.service". False when there is none. */
bool unit_of_path(const char *path, char *ret, size_t size);
#endif
