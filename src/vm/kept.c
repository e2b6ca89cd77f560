#include "vm/kept.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "vm/snapshot_file.h"
#include "vm/state.h"

#define SUFFIX ".gbs"
#define MOST_FILES 10000u

OWN_DECLARE(own_json, json_t *, json_decref)
OWN_DECLARE(own_dir, DIR *, closedir)

/* Makes the folders that are missing. Caller owns *ret. */
static struct error *folder(char **ret)
{
	const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
	AUTO(own_free) char *path = NULL;
	bool has_data = data && *data == '/';
	if (!has_data && !home)
		return error_create(ERR_NOT_FOUND, "neither XDG_DATA_HOME nor HOME is set");
	if (asprintf(&path, "%s%s/glassbox/snapshots", has_data ? data : home,
		     has_data ? "" : "/.local/share") < 0)
		return error_create(ERR_MEMORY, "no memory for a path");
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	if (mkdir(path, 0700) && errno != EEXIST)
		return error_system(errno, "cannot make %s", path);
	*ret = TAKE(path);
	return NULL;
}

struct error *kept_path(const char *name, char **ret)
{
	AUTO(own_free) char *in = NULL;
	TRY(state_check_name(name));
	TRY(folder(&in));
	if (asprintf(ret, "%s/%s" SUFFIX, in, name) >= 0)
		return NULL;
	*ret = NULL;
	return error_create(ERR_MEMORY, "no memory for a path");
}

/* A row, or NULL for what is not a snapshot. */
static json_t *row(const char *in, const char *file)
{
	AUTO(own_free) char *path = NULL;
	AUTO(own_snapshot_file) struct snapshot_file *snapshot = NULL;
	size_t length = strlen(file), suffix = strlen(SUFFIX);
	struct stat info;
	if (length <= suffix || strcmp(file + length - suffix, SUFFIX))
		return NULL;
	if (asprintf(&path, "%s/%s", in, file) < 0) {
		path = NULL;
		return NULL;
	}
	struct error *err = snapshot_file_open(path, &snapshot);
	if (err || stat(path, &info)) {
		error_destroy(err);
		return NULL;
	}
	return json_pack("{s:s%, s:I, s:I, s:I}", "name", file, length - suffix, "taken",
			 (json_int_t)info.st_mtime, "bytes", (json_int_t)info.st_blocks * 512,
			 "mem_bytes", (json_int_t)snapshot_file_spec(snapshot)->mem_bytes);
}

static void insert_by_age(json_t *list, json_t *entry)
{
	json_int_t taken = json_integer_value(json_object_get(entry, "taken"));
	size_t at = 0;
	while (at < json_array_size(list) &&
	       json_integer_value(json_object_get(json_array_get(list, at), "taken")) > taken)
		at++;
	json_array_insert_new(list, at, entry);
}

struct error *kept_list(json_t **ret)
{
	AUTO(own_free) char *in = NULL;
	AUTO(own_json) json_t *list = json_array();
	TRY(folder(&in));
	AUTO(own_dir) DIR *dir = opendir(in);
	if (!dir)
		return error_system(errno, "cannot read %s", in);
	struct dirent *entry;
	for (unsigned i = 0; i < MOST_FILES && (entry = readdir(dir)); i++) {
		json_t *found = row(in, entry->d_name);
		if (found)
			insert_by_age(list, found);
	}
	*ret = TAKE(list);
	return NULL;
}

struct error *kept_remove(const char *name)
{
	AUTO(own_free) char *path = NULL;
	TRY(kept_path(name, &path));
	if (!unlink(path))
		return NULL;
	return errno == ENOENT ? error_create(ERR_NOT_FOUND, "no snapshot '%s' is kept", name)
			       : error_system(errno, "cannot remove %s", path);
}
