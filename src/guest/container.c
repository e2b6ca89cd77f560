#include "guest/container.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { ID_DIGITS = 64, SHOWN_DIGITS = 12 };

/* ORDER container runtimes: how a part of the path begins, what ends it, and how to name it.
 * With is_id the rest must be an id of 64 digits. */
static const struct runtime {
	const char *prefix, *suffix, *name;
	bool is_id;
} runtimes[] = {
	{ "docker-", ".scope", "docker", true },
	{ "cri-containerd-", ".scope", "containerd", true },
	{ "nerdctl-", ".scope", "containerd", true },
	{ "crio-", ".scope", "cri-o", true },
	{ "libpod-", ".scope", "podman", true },
	{ "libpod-", "", "podman", true },
	{ "lxc.payload.", "", "lxc", false },
	{ "machine-", ".scope", "machine", false },
	{ "systemd-nspawn@", ".service", "machine", false },
};

/* Folders whose parts are containers by name or id. */
static const struct runtime folders[] = {
	{ "docker", "", "docker", true },
	{ "lxc", "", "lxc", false },
	{ "garden", "", "garden", false },
};

static bool is_id(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (!isxdigit((unsigned char)text[i]))
			return false;
	return length == ID_DIGITS;
}

static bool name_it(const struct runtime *runtime, const char *name, size_t length, char *ret,
		    size_t size)
{
	if (!length || (runtime->is_id && !is_id(name, length)))
		return false;
	snprintf(ret, size, "%s %.*s", runtime->name,
		 runtime->is_id ? SHOWN_DIGITS : (int)length, name);
	return true;
}

static bool part_is(const struct runtime *runtime, const char *part, size_t length, char *ret,
		    size_t size)
{
	size_t before = strlen(runtime->prefix), after = strlen(runtime->suffix);
	if (length < before + after || memcmp(part, runtime->prefix, before) ||
	    memcmp(part + length - after, runtime->suffix, after))
		return false;
	return name_it(runtime, part + before, length - before - after, ret, size);
}

static bool part_of_folder(const char *folder, size_t folder_length, const char *part,
			   size_t length, char *ret, size_t size)
{
	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++)
		if (strlen(folders[i].prefix) == folder_length &&
		    !memcmp(folder, folders[i].prefix, folder_length) &&
		    name_it(&folders[i], part, length, ret, size))
			return true;
	/* A pod of Kubernetes names its containers by their ids alone. */
	static const struct runtime kubernetes = { "", "", "kubernetes", true };
	return folder_length > 3 && !memcmp(folder, "pod", 3) &&
	       name_it(&kubernetes, part, length, ret, size);
}

bool container_of_path(const char *path, char *ret, size_t size)
{
	const char *folder = "";
	size_t folder_length = 0;
	while (*path) {
		const char *part = path + strspn(path, "/");
		size_t length = strcspn(part, "/");
		for (size_t i = 0; i < sizeof(runtimes) / sizeof(*runtimes); i++)
			if (part_is(&runtimes[i], part, length, ret, size))
				return true;
		if (part_of_folder(folder, folder_length, part, length, ret, size))
			return true;
		folder = part;
		folder_length = length;
		path = part + length;
	}
	return false;
}

bool unit_of_path(const char *path, char *ret, size_t size)
{
	static const char *const kinds[] = { ".service", ".scope", ".socket", ".mount",
					     ".swap" };
	bool found = false;
	while (*path) {
		const char *part = path + strspn(path, "/");
		size_t length = strcspn(part, "/");
		for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
			size_t tail = strlen(kinds[i]);
			if (length <= tail || memcmp(part + length - tail, kinds[i], tail))
				continue;
			snprintf(ret, size, "%.*s", (int)length, part);
			found = true;
		}
		path = part + length;
	}
	return found;
}
