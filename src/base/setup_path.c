#include "base/setup_path.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char found[PATH_MAX] = "tools/setup";

static void find(void)
{
	/* From the program's folder: build/, PREFIX/bin, and a folder below build/ (tests). */
	static const char *const places[] = { "../tools/setup", "../share/glassbox/tools/setup",
					      "../../../tools/setup" };
	char program[PATH_MAX], path[PATH_MAX + 64], whole[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);
	program[n > 0 ? n : 0] = 0;
	char *slash = strrchr(program, '/');
	if (!slash)
		return;
	slash[1] = 0;
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		snprintf(path, sizeof(path), "%s%s", program, places[i]);
		if (!access(path, X_OK) && realpath(path, whole)) {
			snprintf(found, sizeof(found), "%s", whole);
			return;
		}
	}
}

const char *setup_path(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, find);
	return found;
}
