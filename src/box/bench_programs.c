/* On the host a folder stands for the guest's: bin/ with the guest's busybox and workload, the
 * data beside it. Both sides make the data by the same commands and compare their sums. */
#include "box/bench_programs.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/setup_path.h"
#include "box/bench_guest.h"
#include "box/bench_native.h"
#include "box/guest_shell.h"

OWN_DECLARE(own_json, json_t *, json_decref)

enum { SHELL_MS = 600000 };

#define SQLITE "$OPT/ld.so --library-path $OPT $OPT/sqlite3 $DATA.db"

/* ORDER programs */
static const struct bench_program programs[] = {
	{ "gzip", "$BIN/gzip -c $DATA >/dev/null", NULL, NULL },
	{ "sha256sum", "$BIN/sha256sum $DATA >/dev/null", NULL, NULL },
	{ "md5sum", "$BIN/md5sum $DATA >/dev/null", NULL, NULL },
	{ "image filter", "$BIN/workload grey 8388608 4 >/dev/null", NULL, NULL },
	{ "grep", "$BIN/grep -c glassbox $DATA >/dev/null || true", NULL, NULL },
	{ "shell loop", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done", NULL, NULL },
	{ "40 processes", "i=0; while [ $i -lt 40 ]; do i=$((i+1)); $BIN/true; done", NULL,
	  NULL },
	{ "sqlite query", SQLITE " <$DATA.sql >/dev/null", "$OPT/sqlite3", "bench_guest" },
};

/* A table of 100000 rows with an index; a pattern, grouping, sorting, a join. */
static const char *const make_data[] = {
	"cat $BIN/busybox $BIN/workload $BIN/busybox >$DATA",
	"echo \"select n % 97, count(*), sum(value), max(word) from t where word like '%7%' "
	"group by 1 order by 3 desc; select word, count(*) c, avg(value) from t group by word "
	"order by c desc, word limit 20; select count(*), sum(length(a.word || b.word)) from t "
	"a "
	"join t b on b.value = a.n;\" >$DATA.sql",
	"if [ -e $OPT/sqlite3 ]; then " SQLITE
	" \"create table t (n integer primary key, value integer, word text); with recursive "
	"c(n) as (select 1 union all select n + 1 from c where n < 100000) insert into t "
	"select "
	"n, n * 7919 % 100003, 'word' || (n * 31 % 5003) from c; create index i on t "
	"(value);\"; "
	"fi",
};
#define SUM "cat $DATA* | $BIN/md5sum"

static const char *const applets[] = { "gzip", "sha256sum", "md5sum", "grep", "true", "cat" };

struct bench_programs {
	struct guest_shell *shell;
	char folder[64];
	char bin[96], data[96], opt[512]; /* of the environment */
	double empty_ms; /* of a shell that does nothing */
};

const struct bench_program *bench_program(size_t i)
{
	return i < sizeof(programs) / sizeof(*programs) ? &programs[i] : NULL;
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
	(void)info, (void)type, (void)ftw;
	return remove(path);
}

void bench_programs_close(struct bench_programs *p)
{
	if (!p)
		return;
	if (*p->folder)
		nftw(p->folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	free(p);
}

static struct error *put_program(const struct bench_programs *p, const char *name, int from)
{
	char path[128];
	struct stat info;
	off_t at = 0;
	snprintf(path, sizeof(path), "%s/bin/%s", p->folder, name);
	AUTO(own_fd) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
	if (fd < 0 || fstat(from, &info))
		return error_system(errno, "cannot write %s", path);
	while (at < info.st_size)
		if (sendfile(fd, from, &at, (size_t)(info.st_size - at)) <= 0)
			return error_system(errno, "cannot write %s", path);
	return NULL;
}

static struct error *make_folder(struct bench_programs *p, int workload_fd)
{
	AUTO(own_fd) int busybox = -1;
	char path[128];
	snprintf(p->folder, sizeof(p->folder), "/tmp/glassbox-bench-XXXXXX");
	if (!mkdtemp(p->folder)) {
		*p->folder = '\0';
		return error_system(errno, "cannot make a folder for the guest's programs");
	}
	snprintf(path, sizeof(path), "%s/bin", p->folder);
	if (mkdir(path, 0700))
		return error_system(errno, "cannot make %s", path);
	TRY(bench_native_fetch(p->shell, "/bin/busybox", &busybox));
	TRY(put_program(p, "busybox", busybox));
	TRY(put_program(p, "workload", workload_fd));
	for (size_t i = 0; i < sizeof(applets) / sizeof(*applets); i++) {
		snprintf(path, sizeof(path), "%s/bin/%s", p->folder, applets[i]);
		if (symlink("busybox", path))
			return error_system(errno, "cannot make %s", path);
	}
	snprintf(p->bin, sizeof(p->bin), "BIN=%s/bin", p->folder);
	snprintf(p->data, sizeof(p->data), "DATA=%s/data", p->folder);
	AUTO(own_free) char *opt = NULL;
	TRY(bench_guest_extras(&opt));
	snprintf(p->opt, sizeof(p->opt), "OPT=%s", opt);
	return NULL;
}

static bool here(struct bench_programs *p, const char *command, struct bench_native_run *ret)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/bin/busybox", p->folder);
	char *words[] = { (char *)(uintptr_t) "busybox", (char *)(uintptr_t) "sh",
			  (char *)(uintptr_t) "-c", (char *)(uintptr_t)command, NULL };
	char *environment[] = { p->bin, p->data, p->opt, (char *)(uintptr_t) "HOME=/", NULL };
	return bench_native_exec(path, words, environment, ret);
}

static struct error *there(struct bench_programs *p, const char *command, char **output_ret)
{
	return guest_shell_run(p->shell, command, SHELL_MS, output_ret);
}

static struct error *do_both(struct bench_programs *p, const char *command)
{
	AUTO(own_free) char *output = NULL;
	struct bench_native_run run;
	if (!here(p, command, &run))
		return error_create(ERR_SYSTEM, "the host cannot run the guest's `%s`",
				    command);
	return there(p, command, &output);
}

static struct error *compare_data(struct bench_programs *p)
{
	AUTO(own_free) char *output = NULL;
	struct bench_native_run run;
	TRY(there(p, SUM, &output));
	if (!here(p, SUM, &run) || strlen(run.output) < 32)
		return error_create(ERR_SYSTEM, "the host cannot run the guest's md5sum");
	run.output[32] = '\0';
	return strstr(output, run.output)
		       ? NULL
		       : error_create(ERR_BAD_DATA, "the guest's data is not the host's");
}

struct error *bench_programs_open(struct guest_shell *shell, int workload_fd,
				  struct bench_programs **ret)
{
	AUTO(own_bench_programs) struct bench_programs *p = NULL;
	AUTO(own_free) char *output = NULL;
	TRY(error_alloc(1, sizeof(*p), &p));
	p->shell = shell;
	TRY(make_folder(p, workload_fd));
	TRY(there(p, "export BIN=/bin DATA=/root/data OPT=/opt/bench", &output));
	for (size_t i = 0; i < sizeof(make_data) / sizeof(*make_data); i++)
		TRY(do_both(p, make_data[i]));
	TRY(compare_data(p));
	p->empty_ms = bench_programs_native_ms(p, ":");
	*ret = TAKE(p);
	return NULL;
}

void bench_left_out(json_t *rows, const char *what)
{
	json_array_append_new(rows, json_pack("{s:o, s:n, s:s, s:n, s:n, s:n, s:n}", "name",
					      json_sprintf("hybrid: %s", what), "value", "unit",
					      "", "baseline", "ratio", "goal", "pass"));
}

struct error *bench_programs_can(struct bench_programs *p, const struct bench_program *program,
				 json_t *rows, bool *ret)
{
	AUTO(own_free) char *line = NULL, *output = NULL, *name = NULL;
	*ret = true;
	if (!program->needs)
		return NULL;
	if (asprintf(&line, "[ -e %s ] && echo it is th''ere", program->needs) < 0) {
		line = NULL;
		return error_create(ERR_MEMORY, "no memory for a command");
	}
	TRY(there(p, line, &output));
	*ret = strstr(output, "it is there");
	if (*ret)
		return NULL;
	int folder = (int)(strrchr(setup_path(), '/') + 1 - setup_path());
	if (asprintf(&name, "%s: left out, `%.*s%s` adds it to the guest", program->name,
		     folder, setup_path(), program->hint) < 0) {
		name = NULL;
		return error_create(ERR_MEMORY, "no memory for a row");
	}
	bench_left_out(rows, name);
	return NULL;
}

double bench_programs_native_ms(struct bench_programs *p, const char *command)
{
	struct bench_native_run run;
	if (!here(p, command, &run))
		return 0;
	return run.cpu_ms > p->empty_ms ? run.cpu_ms - p->empty_ms : 0;
}
