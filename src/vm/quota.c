#include "vm/quota.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/own.h"

#define CGROUP "/sys/fs/cgroup"
/* QEMU's own memory on top of the guest's: code cache, devices, buffers. */
#define OVERHEAD_BYTES (1ull << 30)
#define MAX_TASKS 512
#define CPU_PERIOD_US 100000u

static bool put(const char *folder, const char *file, const char *text)
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/%s", folder, file);
	AUTO(own_fd) int fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

static bool put_number(const char *folder, const char *file, unsigned long long value)
{
	char text[32];
	snprintf(text, sizeof(text), "%llu", value);
	return put(folder, file, text);
}

/* Our own place in a hierarchy, from /proc/self/cgroup: "4:memory:/a/b" or "0::/a/b". */
static bool own_group(const char *controller, char *to, size_t size)
{
	char line[PATH_MAX];
	AUTO(own_file) FILE *file = fopen("/proc/self/cgroup", "re");
	while (file && fgets(line, sizeof(line), file)) {
		char *name = strchr(line, ':'), *path = name ? strchr(name + 1, ':') : NULL;
		if (!path)
			continue;
		*path++ = 0;
		path[strcspn(path, "\n")] = 0;
		if (!strcmp(name + 1, controller)) {
			snprintf(to, size, "%s", strcmp(path, "/") ? path : "");
			return true;
		}
	}
	return false;
}

static char *make_group(const char *above, const char *name)
{
	char *path = NULL;
	if (asprintf(&path, "%s/glassbox-%s", above, name) < 0)
		return NULL;
	if (!mkdir(path, 0755) || errno == EEXIST)
		return path;
	free(path);
	return NULL;
}

static bool use_version2(const struct vm_spec *spec, struct quota *limits)
{
	char own[PATH_MAX], above[PATH_MAX + 32] = CGROUP, text[64];
	if (access(CGROUP "/cgroup.controllers", F_OK) || !own_group("", own, sizeof(own)))
		return false;
	/* A user's own part, delegated by systemd; root uses the top. */
	char *service = strstr(own, "user@");
	char *end = service ? strchr(service, '/') : NULL;
	if (geteuid() && service) {
		if (end)
			*end = 0;
		snprintf(above, sizeof(above), CGROUP "%s", own);
	}
	put(above, "cgroup.subtree_control", "+memory +cpu +pids");
	limits->groups[0] = make_group(above, spec->name);
	if (!limits->groups[0])
		return false;
	if (put_number(limits->groups[0], "memory.max", limits->memory_bytes)) {
		put_number(limits->groups[0], "pids.max", MAX_TASKS);
		snprintf(text, sizeof(text), "%u %u",
			 limits->cpu_percent * (CPU_PERIOD_US / 100), CPU_PERIOD_US);
		if (limits->cpu_percent)
			put(limits->groups[0], "cpu.max", text);
		return true;
	}
	quota_leave(limits);
	quota_deinit(limits);
	return false;
}

static bool use_version1(const struct vm_spec *spec, struct quota *limits)
{
	static const char *const controllers[] = { "memory", "cpu", "pids" };
	char own[PATH_MAX], above[PATH_MAX + 64];
	for (size_t i = 0; i < 3; i++) {
		if (!own_group(controllers[i], own, sizeof(own)))
			continue;
		snprintf(above, sizeof(above), CGROUP "/%s%s", controllers[i], own);
		limits->groups[i] = make_group(above, spec->name);
	}
	if (limits->groups[1] && limits->cpu_percent) {
		put_number(limits->groups[1], "cpu.cfs_period_us", CPU_PERIOD_US);
		put_number(limits->groups[1], "cpu.cfs_quota_us",
			   limits->cpu_percent * (CPU_PERIOD_US / 100));
	}
	if (limits->groups[2])
		put_number(limits->groups[2], "pids.max", MAX_TASKS);
	return limits->groups[0] &&
	       put_number(limits->groups[0], "memory.limit_in_bytes", limits->memory_bytes);
}

void quota_prepare(const struct vm_spec *spec, struct quota *ret)
{
	*ret = (struct quota){ .memory_bytes = spec->mem_bytes + OVERHEAD_BYTES,
			       .cpu_percent = spec->cpu_percent };
	if (use_version2(spec, ret)) {
		ret->kind = QUOTA_CGROUP2;
	} else if (use_version1(spec, ret)) {
		ret->kind = QUOTA_CGROUP1;
	} else {
		quota_leave(ret);
		quota_deinit(ret);
		ret->kind = QUOTA_PROCESS;
	}
}

void quota_deinit(struct quota *limits)
{
	for (size_t i = 0; i < 3; i++) {
		free(limits->groups[i]);
		limits->groups[i] = NULL;
	}
}

const char *quota_name(const struct quota *limits)
{
	static const char *const names[] = { [QUOTA_NONE] = "none",
					     [QUOTA_PROCESS] = "rlimits",
					     [QUOTA_CGROUP1] = "cgroup v1",
					     [QUOTA_CGROUP2] = "cgroup v2" };
	return names[limits->kind];
}

static void limit(int what, rlim_t most)
{
	struct rlimit now;
	if (!getrlimit(what, &now) && now.rlim_max > most) {
		now.rlim_cur = now.rlim_max = most;
		setrlimit(what, &now);
	}
}

void quota_enter(const struct quota *limits)
{
	limit(RLIMIT_CORE, 0);
	if (limits->kind == QUOTA_NONE)
		return;
	limit(RLIMIT_NOFILE, 1024);
	for (size_t i = 0; i < 3; i++)
		if (limits->groups[i])
			put_number(limits->groups[i], "cgroup.procs",
				   (unsigned long long)getpid());
	/* Address space is no measure of use; leave room for the code cache and libraries. */
	if (limits->kind == QUOTA_PROCESS)
		limit(RLIMIT_AS, limits->memory_bytes * 2 + (8ull << 30));
}

void quota_leave(const struct quota *limits)
{
	for (size_t i = 0; i < 3; i++)
		for (int attempt = 0; limits->groups[i] && attempt < 50; attempt++) {
			if (!rmdir(limits->groups[i]) || errno != EBUSY)
				break;
			usleep(2000);
		}
}
