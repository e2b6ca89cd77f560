/* Paths of files, as the guest's own /proc shows them. Thread: that of the guest. */
#ifndef GUEST_PATH_H
#define GUEST_PATH_H
#include <stddef.h>
#include <stdint.h>
struct guest;

enum { GUEST_PATH_BYTES = 4096 };

/* Path of a dentry seen through a vfsmount: "/etc/passwd", "pipe:[123]", "/x (deleted)". */
void guest_path_text(struct guest *guest, uint64_t vfsmount, uint64_t dentry, char *text,
		     size_t size);
/* Path of a dentry from the root of its own filesystem. */
void guest_dentry_path(struct guest *guest, uint64_t dentry, char *text, size_t size);
/* Path of an open struct file. */
void guest_file_path(struct guest *guest, uint64_t file, char *text, size_t size);
/* Where a struct mount is mounted, from the root of its namespace. */
void guest_mount_point(struct guest *guest, uint64_t mount, char *text, size_t size);
#endif
