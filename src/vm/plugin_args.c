#include "vm/plugin_args.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/setup_path.h"
#include "plugin/versions.h"
#include "vm/qemu.h"
#include "vm/state.h"

/* plugin/ beside the program in a build tree, else where the build installs it. */
static struct error *find_file(const char *file, char *ret, size_t ret_bytes)
{
	char program[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);
	program[n > 0 ? n : 0] = 0;
	char *slash = strrchr(program, '/');
	if (slash)
		*slash = 0;
	const char *const forms[] = { "%s/plugin/%s", "%s/../plugin/%s", "%s/../../plugin/%s" };
	for (size_t i = 0; slash && i < sizeof(forms) / sizeof(*forms); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		int length = snprintf(ret, ret_bytes, forms[i], program, file);
#pragma GCC diagnostic pop
		if (length > 0 && (size_t)length < ret_bytes && !access(ret, R_OK))
			return NULL;
	}
	int length = snprintf(ret, ret_bytes, "%s/%s", GLASSBOX_PLUGIN_DIR, file);
	if (length > 0 && (size_t)length < ret_bytes && !access(ret, R_OK))
		return NULL;
	return error_hint(error_create(ERR_NOT_FOUND, "the plugin %s is not here", file),
			  "build it with `make`, or install it to %s", GLASSBOX_PLUGIN_DIR);
}

struct error *plugin_args(const struct qemu_binary *qemu, const char *vm_name,
			  const char *ram_path, char **ret)
{
	char path[PATH_MAX];
	AUTO(own_free) char *trace = NULL;
	AUTO(own_free) char *pixel = NULL;
	const char *file = gb_plugin_file_for(qemu->major, qemu->minor);
	if (!file)
		return error_hint(
			error_create(ERR_UNSUPPORTED,
				     "no plugin for QEMU %d.%d: learning is not possible",
				     qemu->major, qemu->minor),
			"QEMU 11.1 is best: `%s qemu` fetches a private copy", setup_path());
	TRY(find_file(file, path, sizeof(path)));
	TRY(state_shm_path(vm_name, "trace", &trace));
	TRY(state_shm_path(vm_name, "pixel", &pixel));
	if (strchr(path, ',') || strchr(ram_path, ','))
		return error_create(ERR_UNSUPPORTED,
				    "QEMU takes no comma in the plugin's path %s", path);
	if (asprintf(ret, "%s,control=%s,ram=%s,pixel=%s", path, trace, ram_path, pixel) < 0) {
		*ret = NULL;
		return error_create(ERR_MEMORY, "out of memory");
	}
	return NULL;
}
