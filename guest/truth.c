/*
 * Tells what the guest's own kernel says about itself, for tests to compare with. Output is one
 * frame:
 *
 *     @@truth WHAT begin
 *     ... JSON lines, or the bytes of a file
 *     @@truth WHAT end bytes=N adler=HHHHHHHH
 *
 * on standard output, or with -o on a file or block device (much faster than a serial console).
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE ((uint64_t)4096)

static FILE *out;

static size_t slurp(const char *path, char *to, size_t max)
{
	size_t n = 0;
	int fd = open(path, O_RDONLY);

	if (fd < 0)
		return 0;
	while (n < max - 1) {
		ssize_t got = read(fd, to + n, max - 1 - n);
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	close(fd);
	to[n] = 0;
	return n;
}

static void put_string(const char *s, size_t n)
{
	fputc('"', out);
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];
		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			fprintf(out, "\\u%04x", c);
		else
			fputc(c, out);
	}
	fputc('"', out);
}

/* The number after "Key:" of a status file; -1 when there is none. column counts from 0. */
static long long status_number(const char *status, const char *key, int column)
{
	size_t len = strlen(key);

	for (const char *line = status; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, len) || line[len] != ':')
			continue;
		char *at = (char *)line + len + 1;
		long long value = -1;
		for (int i = 0; i <= column; i++)
			value = strtoll(at, &at, 10);
		return value;
	}
	return -1;
}

/* Fields of /proc/PID/stat by number (3 is the state); the name before them may hold anything.
 */
static unsigned long long stat_number(const char *stat, int field)
{
	const char *at = strrchr(stat, ')');

	for (int i = 2; at && i < field; i++) {
		at = strchr(at, ' ');
		at = at ? at + 1 : NULL;
	}
	return at ? strtoull(at, NULL, 10) : 0;
}

/* The arguments, as ps shows them: separated by one blank. */
static void put_args(const char *dir)
{
	char path[320], args[8192];

	snprintf(path, sizeof(path), "%s/cmdline", dir);
	size_t n = slurp(path, args, sizeof(args));
	while (n && !args[n - 1])
		n--;
	for (size_t i = 0; i < n; i++) {
		if (!args[i])
			args[i] = ' ';
	}
	put_string(args, n);
}

static void put_task(const char *dir)
{
	char path[320], status[8192], stat[2048], comm[64];

	snprintf(path, sizeof(path), "%s/status", dir);
	if (!slurp(path, status, sizeof(status)))
		return;
	snprintf(path, sizeof(path), "%s/stat", dir);
	slurp(path, stat, sizeof(stat));
	snprintf(path, sizeof(path), "%s/comm", dir);
	size_t n = slurp(path, comm, sizeof(comm));
	const char *state = strstr(status, "\nState:\t");
	fprintf(out, "{\"pid\":%lld,\"tgid\":%lld,\"ppid\":%lld,\"comm\":",
		status_number(status, "Pid", 0), status_number(status, "Tgid", 0),
		status_number(status, "PPid", 0));
	put_string(comm, n ? n - 1 : 0);
	fprintf(out,
		",\"state\":\"%c\",\"uid\":%lld,\"gid\":%lld,\"euid\":%lld,\"threads\":%lld",
		state ? state[8] : '?', status_number(status, "Uid", 0),
		status_number(status, "Gid", 0), status_number(status, "Uid", 1),
		status_number(status, "Threads", 0));
	fprintf(out,
		",\"kthread\":%s,\"start_ticks\":%llu,\"vsize\":%llu,\"rss_pages\":%llu,"
		"\"args\":",
		stat_number(stat, 9) & 0x00200000 ? "true" : "false", stat_number(stat, 22),
		stat_number(stat, 23), stat_number(stat, 24));
	put_args(dir);
	fprintf(out, "}\n");
}

static int next_number(DIR *dir, const char **name)
{
	for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		*name = e->d_name;
		return 1;
	}
	return 0;
}

/* Calls each("/proc/PID") for all processes but this one. */
static void for_processes(void (*each)(const char *dir))
{
	DIR *proc = opendir("/proc");
	const char *name;

	while (proc && next_number(proc, &name)) {
		char dir[288];
		snprintf(dir, sizeof(dir), "/proc/%s", name);
		if (atoi(name) != getpid())
			each(dir);
	}
	if (proc)
		closedir(proc);
}

static void put_threads(const char *dir)
{
	char path[300];
	const char *name;

	snprintf(path, sizeof(path), "%s/task", dir);
	DIR *tasks = opendir(path);
	while (tasks && next_number(tasks, &name)) {
		char task[600];
		snprintf(task, sizeof(task), "%s/%s", path, name);
		put_task(task);
	}
	if (tasks)
		closedir(tasks);
}

static void put_maps(const char *dir)
{
	static char maps[1 << 20];
	char path[300], *save = NULL;

	snprintf(path, sizeof(path), "%s/maps", dir);
	slurp(path, maps, sizeof(maps));
	for (char *line = strtok_r(maps, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		unsigned long long start, end, offset;
		char perms[8];
		int skip = 0;
		if (sscanf(line, "%llx-%llx %7s %llx %*s %*s%n", &start, &end, perms, &offset,
			   &skip) < 4)
			continue;
		const char *name = line + skip;
		name += strspn(name, " ");
		fprintf(out,
			"{\"pid\":%d,\"start\":\"0x%llx\",\"end\":\"0x%llx\",\"perms\":\"%s\"",
			atoi(dir + 6), start, end, perms);
		fprintf(out, ",\"offset\":\"0x%llx\",\"path\":", offset);
		put_string(name, strlen(name));
		fprintf(out, "}\n");
	}
}

static void put_files(const char *dir)
{
	char path[300], link[600], target[512];
	const char *name;

	snprintf(path, sizeof(path), "%s/fd", dir);
	DIR *fds = opendir(path);
	while (fds && next_number(fds, &name)) {
		snprintf(link, sizeof(link), "%s/%s", path, name);
		ssize_t n = readlink(link, target, sizeof(target));
		if (n < 0)
			continue;
		fprintf(out, "{\"pid\":%d,\"fd\":%s,\"path\":", atoi(dir + 6), name);
		put_string(target, (size_t)n);
		fprintf(out, "}\n");
	}
	if (fds)
		closedir(fds);
}

static void put_env(const char *dir)
{
	char path[300], env[16384];

	snprintf(path, sizeof(path), "%s/environ", dir);
	size_t n = slurp(path, env, sizeof(env));
	fprintf(out, "{\"pid\":%d,\"env\":[", atoi(dir + 6));
	for (size_t at = 0; at < n; at += strlen(env + at) + 1) {
		fputs(at ? "," : "", out);
		put_string(env + at, strlen(env + at));
	}
	fprintf(out, "]}\n");
}

/* One entry of /proc/PID/pagemap; 0 when it cannot be read. */
static uint64_t pagemap_entry(const char *pid, uint64_t address)
{
	char path[300];
	uint64_t entry = 0;

	snprintf(path, sizeof(path), "/proc/%s/pagemap", pid);
	int fd = open(path, O_RDONLY);
	if (fd < 0)
		return 0;
	if (pread(fd, &entry, sizeof(entry), (off_t)(address / PAGE * 8)) != sizeof(entry))
		entry = 0;
	close(fd);
	return entry;
}

static void put_translation(const char *pid, uint64_t address)
{
	uint64_t entry = pagemap_entry(pid, address);

	fprintf(out, "{\"pid\":\"%s\",\"virtual\":\"0x%" PRIx64 "\",\"physical\":", pid,
		address);
	if (entry >> 63)
		fprintf(out, "\"0x%" PRIx64 "\"",
			(entry & ((UINT64_C(1) << 55) - 1)) * PAGE + address % PAGE);
	else
		fprintf(out, "null");
	fprintf(out, ",\"file\":%s,\"swap\":%s}\n", entry >> 61 & 1 ? "true" : "false",
		entry >> 62 & 1 ? "true" : "false");
}

/* Every present page of a process: what the page tables say, as the kernel itself reports it.
 */
static void put_pagemap_all(const char *pid)
{
	char path[300], line[512];

	snprintf(path, sizeof(path), "/proc/%s/maps", pid);
	FILE *maps = fopen(path, "r");
	while (maps && fgets(line, sizeof(line), maps)) {
		unsigned long long start, end;
		if (sscanf(line, "%llx-%llx", &start, &end) != 2 || start >> 63)
			continue;
		for (; start < end; start += PAGE) {
			if (pagemap_entry(pid, start) >> 63)
				put_translation(pid, start);
		}
	}
	if (maps)
		fclose(maps);
}

/* Flags and map counts of all page frames, equal neighbours joined. */
static void put_page_flags(void)
{
	int flags_fd = open("/proc/kpageflags", O_RDONLY);
	int count_fd = open("/proc/kpagecount", O_RDONLY);
	uint64_t flags[512], counts[512], run_flags = 0, run_count = 0, run_start = 0, pfn = 0;

	for (;;) {
		ssize_t got = read(flags_fd, flags, sizeof(flags));
		if (got <= 0 || read(count_fd, counts, (size_t)got) != got)
			break;
		for (size_t i = 0; i < (size_t)got / 8; i++, pfn++) {
			if (pfn && flags[i] == run_flags && counts[i] == run_count)
				continue;
			if (pfn)
				fprintf(out,
					"{\"pfn\":%" PRIu64 ",\"pages\":%" PRIu64
					",\"flags\":\"0x%" PRIx64 "\",\"mapcount\":%" PRIu64
					"}\n",
					run_start, pfn - run_start, run_flags, run_count);
			run_start = pfn;
			run_flags = flags[i];
			run_count = counts[i];
		}
	}
	if (pfn)
		fprintf(out,
			"{\"pfn\":%" PRIu64 ",\"pages\":%" PRIu64 ",\"flags\":\"0x%" PRIx64
			"\",\"mapcount\":%" PRIu64 "}\n",
			run_start, pfn - run_start, run_flags, run_count);
	close(flags_fd);
	close(count_fd);
}

static void put_file(const char *path)
{
	static char block[1 << 16];
	FILE *in = fopen(path, "r");

	for (size_t n = in ? fread(block, 1, sizeof(block), in) : 0; n;
	     n = fread(block, 1, sizeof(block), in))
		fwrite(block, 1, n, out);
	if (in)
		fclose(in);
}

static void put_region(const char *name, unsigned char *at, size_t size, bool last)
{
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", getpid());
	uint64_t entry = pagemap_entry(pid, (uint64_t)(uintptr_t)at);
	fprintf(out, "{\"name\":\"%s\",\"virtual\":\"0x%" PRIxPTR "\",\"physical\":", name,
		(uintptr_t)at);
	if (entry >> 63)
		fprintf(out, "\"0x%" PRIx64 "\"", (entry & ((UINT64_C(1) << 55) - 1)) * PAGE);
	else
		fprintf(out, "null");
	fprintf(out, ",\"size\":%zu,\"first\":%u}%s", size, at[0], last ? "" : ",");
}

/* Regions with known contents in a process that stays: byte i of a region is (first + i) mod
 * 251. */
static void hold(void)
{
	const size_t huge = 2u << 20;
	unsigned char *anon = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char *shared =
		mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned char *big = mmap(NULL, 2 * huge, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (anon == MAP_FAILED || shared == MAP_FAILED || big == MAP_FAILED)
		exit(1);
	big = (unsigned char *)(((uintptr_t)big + huge - 1) & ~(huge - 1));
	madvise(big, huge, MADV_HUGEPAGE);
	for (size_t i = 0; i < 16 * PAGE; i++)
		anon[i] = (unsigned char)((1 + i) % 251);
	for (size_t i = 0; i < 4 * PAGE; i++)
		shared[i] = (unsigned char)((2 + i) % 251);
	for (size_t i = 0; i < huge; i++)
		big[i] = (unsigned char)((3 + i) % 251);
	fprintf(out, "{\"pid\":%d,\"regions\":[", getpid());
	put_region("anonymous", anon, 16 * PAGE, false);
	put_region("shared", shared, 4 * PAGE, false);
	put_region("huge", big, huge, true);
	fprintf(out, "]}\n");
}

static uint32_t adler(const unsigned char *p, size_t n)
{
	uint32_t a = 1, b = 0;

	for (size_t i = 0; i < n; i++) {
		a = (a + p[i]) % 65521;
		b = (b + a) % 65521;
	}
	return b << 16 | a;
}

static int write_frame(const char *target, const char *what, const char *body, size_t n)
{
	FILE *to = target ? fopen(target, "r+") : stdout;

	if (!to) {
		fprintf(stderr, "truth: cannot write %s: %s\n", target, strerror(errno));
		return 1;
	}
	fprintf(to, "@@truth %s begin\n", what);
	fwrite(body, 1, n, to);
	fprintf(to, "@@truth %s end bytes=%zu adler=%08x\n", what, n,
		adler((const unsigned char *)body, n));
	int bad = fflush(to) != 0 || ferror(to);
	if (target) {
		bad |= fsync(fileno(to)) != 0;
		bad |= fclose(to) != 0;
	}
	return bad;
}

static int usage(void)
{
	fprintf(stderr,
		"usage: truth [-o FILE] ps|threads|maps|files|env|kpageflags|hold|file PATH|"
		"pagemap PID [ADDRESS...]\n");
	return 2;
}

static bool put_listing(const char *what)
{
	static const struct {
		const char *name;
		void (*each)(const char *dir);
	} listings[] = {
		{ "ps", put_task },	{ "threads", put_threads }, { "maps", put_maps },
		{ "files", put_files }, { "env", put_env },
	};

	for (size_t i = 0; i < sizeof(listings) / sizeof(listings[0]); i++) {
		if (!strcmp(what, listings[i].name)) {
			for_processes(listings[i].each);
			return true;
		}
	}
	return false;
}

static bool put_other(int argc, char **argv)
{
	if (!strcmp(argv[0], "kpageflags")) {
		put_page_flags();
	} else if (!strcmp(argv[0], "hold")) {
		hold();
	} else if (!strcmp(argv[0], "file") && argc == 2) {
		put_file(argv[1]);
	} else if (!strcmp(argv[0], "pagemap") && argc == 2) {
		put_pagemap_all(argv[1]);
	} else if (!strcmp(argv[0], "pagemap") && argc > 2) {
		for (int i = 2; i < argc; i++)
			put_translation(argv[1], strtoull(argv[i], NULL, 16));
	} else {
		return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	const char *target = NULL;
	char *body = NULL;
	size_t n = 0;

	if (argc > 2 && !strcmp(argv[1], "-o")) {
		target = argv[2];
		argc -= 2;
		argv += 2;
	}
	out = open_memstream(&body, &n);
	if (!out || argc < 2 || !(put_listing(argv[1]) || put_other(argc - 1, argv + 1)))
		return usage();
	fclose(out);
	int rc = write_frame(target, argv[1], body, n);
	while (!rc && !strcmp(argv[1], "hold")) {
		fclose(stdout);
		for (;;)
			pause();
	}
	return rc;
}
