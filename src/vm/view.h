/* The files that QEMU sees: an empty tree in memory into which only what it needs is bound, at
 * the same paths as outside. Thread: one. */
#ifndef VM_VIEW_H
#define VM_VIEW_H
#include <stdbool.h>

#include "base/vec.h"
struct error;

struct view_path {
	char *path;
	bool is_writable;
};

struct view {
	char *mount_point; /* an existing folder that is covered, in QEMU's namespace only */
	VEC(struct view_path) paths;
};

struct error *view_init(struct view *view, const char *mount_point);
void view_deinit(struct view *view);

/* Lets QEMU see a file or folder; one that does not exist is left out. */
struct error *view_add(struct view *view, const char *path, bool is_writable);

/* Adds the system's libraries, and the tree that a QEMU outside of /usr lies in. */
struct error *view_add_program(struct view *view, const char *program);

/* Adds every existing absolute path named in a word of the command line. */
struct error *view_add_word(struct view *view, const char *word);

/* In QEMU's process, in a mount namespace of its own: makes the view and goes into it. Returns
 * what failed, with errno set, or NULL. */
const char *view_enter(const struct view *view);
#endif
