#include "mcode/work_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/own.h"

#define PLACE "/tmp"
#define PREFIX "glassbox-native-"

/* A folder is made, then locked: in between it looks abandoned, so young ones are left alone.
 */
enum { YOUNG_S = 60 };

static void remove_files(int dir)
{
	int copy = dup(dir);
	DIR *list = copy >= 0 ? fdopendir(copy) : NULL;
	if (!list) {
		if (copy >= 0)
			close(copy);
		return;
	}
	rewinddir(list);
	for (const struct dirent *entry; (entry = readdir(list));)
		unlinkat(dir, entry->d_name, 0); /* "." and ".." refuse */
	closedir(list);
}

static int open_folder(int place, const char *name)
{
	return openat(place, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static void sweep_one(int place, const char *name, unsigned age_s)
{
	struct stat st;
	AUTO(own_fd) int dir = open_folder(place, name);
	if (dir < 0 || fstat(dir, &st) || st.st_uid != geteuid() ||
	    st.st_mtime + (time_t)age_s > time(NULL) || flock(dir, LOCK_EX | LOCK_NB))
		return;
	remove_files(dir);
	unlinkat(place, name, AT_REMOVEDIR);
}

void work_dir_sweep(unsigned age_s)
{
	DIR *list = opendir(PLACE);
	if (!list)
		return;
	for (const struct dirent *entry; (entry = readdir(list));)
		if (!strncmp(entry->d_name, PREFIX, strlen(PREFIX)))
			sweep_one(dirfd(list), entry->d_name, age_s);
	closedir(list);
}

struct error *work_dir_make(struct work_dir *dir)
{
	work_dir_sweep(YOUNG_S);
	dir->lock = -1;
	snprintf(dir->path, sizeof(dir->path), PLACE "/" PREFIX "XXXXXX");
	if (!mkdtemp(dir->path))
		return error_system(errno, "cannot make %s", dir->path);
	dir->lock = open_folder(AT_FDCWD, dir->path);
	if (dir->lock >= 0 && !flock(dir->lock, LOCK_EX))
		return NULL;
	struct error *err = error_system(errno, "cannot lock %s", dir->path);
	rmdir(dir->path);
	own_fd(&dir->lock);
	dir->lock = -1;
	return err;
}

void work_dir_remove(struct work_dir *dir)
{
	if (dir->lock < 0)
		return;
	remove_files(dir->lock);
	rmdir(dir->path);
	own_fd(&dir->lock);
	dir->lock = -1;
}

struct error *work_dir_write(const struct work_dir *dir, const char *name, const char *text)
{
	char path[96];
	snprintf(path, sizeof(path), "%s/%s", dir->path, name);
	AUTO(own_file) FILE *file = fopen(path, "we");
	if (!file || fputs(text, file) < 0 || fflush(file))
		return error_system(errno, "cannot write %s", path);
	return NULL;
}
