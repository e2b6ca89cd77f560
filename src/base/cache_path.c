#include "base/cache_path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/own.h"

struct error *cache_path(const char *rest, char **ret)
{
	const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	int length;
	if (cache && *cache == '/')
		length = asprintf(ret, "%s/glassbox/%s", cache, rest);
	else if (home && *home)
		length = asprintf(ret, "%s/.cache/glassbox/%s", home, rest);
	else
		return error_create(ERR_NOT_FOUND, "neither HOME nor XDG_CACHE_HOME is set");
	return length < 0 ? error_create(ERR_MEMORY, "no memory for a path") : NULL;
}

static struct error *make_folder(const char *path)
{
	if (mkdir(path, 0700) && errno != EEXIST)
		return error_system(errno, "cannot make the folder %s", path);
	return NULL;
}

struct error *cache_folder(const char *name, char **ret)
{
	AUTO(own_free) char *top = NULL;
	AUTO(own_free) char *path = NULL;
	TRY(cache_path("", &top));
	TRY(cache_path(name, &path));
	TRY(make_folder(top));
	TRY(make_folder(path));
	*ret = TAKE(path);
	return NULL;
}
