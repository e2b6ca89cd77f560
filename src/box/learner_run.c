#include "box/learner_run.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "box/guest_call.h"

extern char **environ;

static struct error *learner_path(char ret[PATH_MAX])
{
	static const char *const places[] = { "src/learn/", "", "../src/learn/",
					      "../../src/learn/", "../libexec/glassbox/" };
	char program[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);
	program[n > 0 ? n : 0] = 0;
	char *slash = strrchr(program, '/');
	if (slash)
		slash[1] = 0;
	for (size_t i = 0; slash && i < sizeof(places) / sizeof(*places); i++) {
		int length =
			snprintf(ret, PATH_MAX, "%s%sglassbox-learner", program, places[i]);
		if (length > 0 && length < PATH_MAX && !access(ret, X_OK))
			return NULL;
	}
	return error_hint(error_create(ERR_NOT_FOUND, "glassbox-learner is not here"),
			  "it lies beside glassbox where `make` builds it");
}

struct error *learner_run(FILE *candidates, FILE *results, const char *option,
			  const char *value)
{
	char path[PATH_MAX];
	posix_spawn_file_actions_t actions;
	pid_t child;
	int status;
	TRY(learner_path(path));
	fflush(candidates);
	rewind(candidates);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fileno(candidates), 0);
	posix_spawn_file_actions_adddup2(&actions, fileno(results), 1);
	char *argv[] = { path, (char *)(uintptr_t)option, (char *)(uintptr_t)value, NULL };
	int failed = posix_spawn(&child, path, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (failed)
		return error_system(failed, "cannot start %s", path);
	while (waitpid(child, &status, 0) < 0) {
		if (errno != EINTR)
			return error_system(errno, "cannot wait for the learner");
		kill(child, SIGTERM); /* a signal told us to end (CALL_ENDS_EARLY) */
	}
	if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGINT || WTERMSIG(status) == SIGTERM))
		return error_create(ERR_PEER, "learning was ended; what was learned until then "
					      "is in the library");
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return error_create(ERR_PEER, "the learner ended badly");
	rewind(results);
	return NULL;
}

struct error *learner_rows(FILE *results, json_t **ret)
{
	AUTO(own_json) json_t *rows = json_array();
	AUTO(own_free) char *line = NULL;
	size_t capacity = 0;
	while (getline(&line, &capacity, results) > 0)
		TRY(json_list_add(rows, json_loads(line, 0, NULL)));
	*ret = TAKE(rows);
	return NULL;
}
