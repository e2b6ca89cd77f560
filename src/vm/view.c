#include "vm/view.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/error.h"
#include "base/own.h"

struct error *view_init(struct view *view, const char *mount_point)
{
	view->mount_point = strdup(mount_point);
	return view->mount_point ? NULL : error_create(ERR_MEMORY, "no memory for a path");
}

void view_deinit(struct view *view)
{
	for (size_t i = 0; i < view->paths.count; i++)
		free(view->paths.items[i].path);
	VEC_FREE(&view->paths);
	free(view->mount_point);
	view->mount_point = NULL;
}

struct error *view_add(struct view *view, const char *path, bool is_writable)
{
	if (!path || *path != '/' || !strcmp(path, "/") || access(path, F_OK))
		return NULL;
	struct view_path entry = { strdup(path), is_writable };
	if (entry.path && VEC_PUSH(&view->paths, entry))
		return NULL;
	free(entry.path);
	return error_create(ERR_MEMORY, "no memory for a path");
}

struct error *view_add_program(struct view *view, const char *program)
{
	static const char *const system_paths[] = { "/usr",
						    "/lib",
						    "/lib64",
						    "/etc/ld.so.cache",
						    "/etc/resolv.conf",
						    "/etc/alternatives" };
	char real[PATH_MAX];
	for (size_t i = 0; i < sizeof(system_paths) / sizeof(*system_paths); i++)
		TRY(view_add(view, system_paths[i], false));
	/* The wrappers of the private tree begin with #!/bin/sh. */
	TRY(view_add(view, "/bin", false));
	if (!realpath(program, real) || !strncmp(real, "/usr/", 5))
		return NULL;
	/* TOP/bin/qemu-system-x86_64 needs TOP, one that was just built its own folder. */
	char *slash = strrchr(real, '/');
	if (slash)
		*slash = 0;
	char *bin = strrchr(real, '/');
	if (bin && !strcmp(bin, "/bin"))
		*bin = 0;
	return view_add(view, *real ? real : program, false);
}

struct error *view_add_word(struct view *view, const char *word)
{
	char path[PATH_MAX];
	for (const char *at = strchr(word, '/'); at; at = strchr(at, '/')) {
		size_t length = strcspn(at, ",");
		bool starts = at == word || strchr("=,:", at[-1]);
		if (starts && length < sizeof(path)) {
			memcpy(path, at, length);
			path[length] = 0;
			struct stat info;
			/* A whole folder named in passing is more than was asked for. */
			if (!stat(path, &info) && !S_ISDIR(info.st_mode))
				TRY(view_add(view, path, true));
		}
		at += length;
	}
	return NULL;
}

/* Makes the folders above path, below the current directory. */
static void make_parents(const char *path)
{
	char part[PATH_MAX];
	for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		size_t length = (size_t)(slash - path - 1);
		if (length >= sizeof(part))
			return;
		memcpy(part, path + 1, length);
		part[length] = 0;
		mkdir(part, 0755);
	}
}

/* Shows path at the same place below the current directory, which becomes the root. */
static bool bind_path(const struct view_path *entry)
{
	struct stat info, link;
	const char *inside = entry->path + 1;
	char target[PATH_MAX];
	if (lstat(entry->path, &link) || stat(entry->path, &info))
		return true;
	make_parents(entry->path);
	ssize_t length =
		S_ISLNK(link.st_mode) ? readlink(entry->path, target, sizeof(target) - 1) : -1;
	if (length > 0 && *target != '/' && !strchr(inside, '/')) {
		target[length] = 0; /* /lib -> usr/lib */
		return !symlink(target, inside) || errno == EEXIST;
	}
	if (S_ISDIR(info.st_mode)) {
		mkdir(inside, 0755);
	} else {
		int fd = open(inside, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (fd >= 0)
			close(fd);
	}
	if (mount(entry->path, inside, NULL, MS_BIND | MS_REC, NULL))
		return false;
	unsigned long flags = MS_BIND | MS_REMOUNT | MS_NOSUID;
	if (!S_ISCHR(info.st_mode))
		flags |= MS_NODEV;
	if (!entry->is_writable)
		flags |= MS_RDONLY;
	/* A mount that is read-only already, or locked, is not ours to loosen. */
	return !mount(NULL, inside, NULL, flags, NULL) || errno == EPERM;
}

/* A process list that shows QEMU only itself. */
static bool mount_proc(void)
{
	mkdir("proc", 0555);
	if (!mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		   "hidepid=invisible") ||
	    !mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "hidepid=2"))
		return true;
	return !mount("/proc", "proc", NULL, MS_BIND | MS_REC, NULL);
}

static bool bind_devices(void)
{
	static const char *const devices[] = { "/dev/null", "/dev/zero", "/dev/urandom",
					       "/dev/random", "/dev/kvm" };
	for (size_t i = 0; i < sizeof(devices) / sizeof(*devices); i++) {
		struct view_path entry = { (char *)devices[i], true };
		if (!access(entry.path, F_OK) && !bind_path(&entry))
			return false;
	}
	return true;
}

/* A folder for everybody, unless QEMU lies there and it was bound as it is. */
static bool make_scratch(const char *path)
{
	mkdir(path, 01777);
	return !chmod(path, 01777) || errno == EROFS;
}

const char *view_enter(const struct view *view)
{
	umask(022);
	if (mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("glassbox", view->mount_point, "tmpfs", MS_NOSUID | MS_NODEV,
		  "mode=755,size=1g") ||
	    chdir(view->mount_point))
		return "an empty file system";
	for (size_t i = 0; i < view->paths.count; i++)
		if (!bind_path(&view->paths.items[i]))
			return view->paths.items[i].path;
	mkdir("var", 0755);
	if (!make_scratch("tmp") || !make_scratch("var/tmp") || !bind_devices())
		return "devices";
	if (!mount_proc())
		return "/proc";
	/* The old root ends up under the new one and is taken off. */
	if (syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) || chdir("/"))
		return "the new root";
	return NULL;
}
