#include "vm/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "vm/state.h"

#define LOG_LIMIT (1 << 20)
#define ARGS_LIMIT 2048u
#define READ_LIMIT (1 << 19)

static void complain_once(const char *path)
{
	static atomic_bool said;
	if (!atomic_exchange(&said, true))
		fprintf(stderr, "glassbox: cannot write the audit log %s: %s\n", path,
			strerror(errno));
}

/* Opens the log for appending; a full one first becomes PATH.1. */
static int open_log(const char *path)
{
	for (int attempt = 0; attempt < 2; attempt++) {
		struct stat info;
		AUTO(own_fd)
		int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
			      0600);
		if (fd < 0 || fstat(fd, &info))
			return -1;
		if (info.st_size < LOG_LIMIT || attempt)
			return own_fd_take(&fd);
		AUTO(own_free) char *older = NULL;
		struct stat there;
		/* Whoever comes second finds another file under the name already. */
		if (!flock(fd, LOCK_EX) && !stat(path, &there) && there.st_ino == info.st_ino &&
		    asprintf(&older, "%s.1", path) >= 0)
			rename(path, older);
	}
	return -1;
}

static void append(const char *path, const char *line)
{
	AUTO(own_fd) int fd = open_log(path);
	/* One write: lines of several processes do not mix. */
	if (fd < 0 || write(fd, line, strlen(line)) != (ssize_t)strlen(line))
		complain_once(path);
}

static char *format_line(const struct audit_entry *entry)
{
	struct timespec now;
	struct tm utc;
	char when[96], user[32], *line = NULL;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	snprintf(when, sizeof(when), "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ", utc.tm_year + 1900,
		 utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
		 now.tv_nsec / 1000000);
	snprintf(user, sizeof(user), "uid %u", (unsigned)getuid());
	char *args = json_dumps(entry->args, JSON_COMPACT);
	if (args && strlen(args) > ARGS_LIMIT)
		memcpy(args + ARGS_LIMIT, "...", 4);
	json_t *document = json_pack("{s:s, s:s, s:i, s:s?, s:s, s:s?, s:s?}", "time", when,
				     "user", entry->user ? entry->user : user, "pid",
				     (int)getpid(), "vm", entry->vm, "call", entry->call,
				     "args", args, "outcome", entry->outcome);
	char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;
	if (!text || asprintf(&line, "%s\n", text) < 0)
		line = NULL;
	json_decref(document);
	free(args);
	free(text);
	return line;
}

void audit_write(const struct audit_entry *entry)
{
	AUTO(own_free) char *line = format_line(entry);
	AUTO(own_free) char *own = NULL;
	AUTO(own_free) char *common = NULL;
	struct error *err = state_path("audit.log", NULL, &common);
	if (!err && line)
		append(common, line);
	/* A VM that just ended has no folder any more, and gets none. */
	if (!err && line && entry->vm && entry->is_ours && state_is_running(entry->vm)) {
		err = state_path(entry->vm, "audit.log", &own);
		if (!err)
			append(own, line);
	}
	error_destroy(err);
}

/* Adds the lines of text, newest last, to list. */
static void add_lines(char *text, json_t *list)
{
	for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
		json_t *entry = json_loadb(line, (size_t)(end - line), 0, NULL);
		if (json_is_object(entry))
			json_array_append(list, entry);
		json_decref(entry);
	}
}

struct error *audit_read(const char *vm, uint64_t most, json_t **ret)
{
	AUTO(own_free) char *path = NULL;
	AUTO(own_free) char *text = calloc(1, READ_LIMIT + 1);
	TRY(state_path(vm, "audit.log", &path));
	AUTO(own_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (!text)
		return error_create(ERR_MEMORY, "no memory for the audit log");
	off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	off_t from = size > READ_LIMIT ? size - READ_LIMIT : 0;
	ssize_t got = fd < 0 ? 0 : pread(fd, text, READ_LIMIT, from);
	if (got < 0)
		return error_system(errno, "cannot read %s", path);
	json_t *list = json_array();
	char *first = from ? strchr(text, '\n') : NULL;
	add_lines(first ? first + 1 : text, list);
	while (json_array_size(list) > most)
		json_array_remove(list, 0);
	*ret = list;
	return NULL;
}
