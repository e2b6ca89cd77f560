/* Open files of processes. Thread: that of the guest. */
#ifndef GUEST_FILE_H
#define GUEST_FILE_H
#include <stdbool.h>
#include <stdint.h>

#include "guest/path.h"
struct guest;
struct guest_task;

struct guest_file {
	uint64_t gva; /* of struct file */
	uint32_t fd;
	const char *type; /* "file", "directory", "character", "block", "pipe", "socket",
			     "link", "anonymous" */
	bool has_position, has_flags;
	uint64_t inode, position;
	uint32_t flags;
};

/* Calls visit for every descriptor of a process; false from it ends the walk. */
typedef bool guest_file_fn(void *user, const struct guest_file *file);
void guest_files_each(struct guest *guest, const struct guest_task *task, guest_file_fn *visit,
		      void *user);
#endif
